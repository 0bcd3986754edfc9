"""Families of image diffusion models whose chains can be split."""

from netdiffuse.denoising.families.base import Conditioning, Family, fingerprint
from netdiffuse.denoising.families.flux import Flux
from netdiffuse.denoising.families.loading import open_model, wrap
from netdiffuse.denoising.families.sd3 import StableDiffusion3
from netdiffuse.denoising.families.sdxl import StableDiffusionXL
from netdiffuse.denoising.families.stable_diffusion import StableDiffusion

__all__ = [
    "Conditioning",
    "Family",
    "Flux",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
    "fingerprint",
    "open_model",
    "wrap",
]

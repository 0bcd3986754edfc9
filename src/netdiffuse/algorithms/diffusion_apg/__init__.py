"""Analytic policy gradient through a differentiable utility and the denoising chain."""

from netdiffuse.algorithms.diffusion_apg.diffusion_apg import DiffusionAPG

__all__ = ["DiffusionAPG"]

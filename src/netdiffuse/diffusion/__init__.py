"""The generative core of a policy: schedules, denoisers, samplers, losses."""

from netdiffuse.diffusion.denoisers import Denoiser, EquivariantDenoiser, MLPDenoiser
from netdiffuse.diffusion.losses import denoising_loss
from netdiffuse.diffusion.model import DiffusionModel
from netdiffuse.diffusion.samplers import ddim, ddpm
from netdiffuse.diffusion.schedules import CosineSchedule, LinearSchedule, Schedule, VPSchedule, make_schedule

__all__ = [
    "CosineSchedule",
    "Denoiser",
    "DiffusionModel",
    "EquivariantDenoiser",
    "LinearSchedule",
    "MLPDenoiser",
    "Schedule",
    "VPSchedule",
    "ddim",
    "ddpm",
    "denoising_loss",
    "make_schedule",
]

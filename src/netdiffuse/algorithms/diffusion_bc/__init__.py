"""Behaviour cloning: a diffusion model imitates expert decisions."""

from netdiffuse.algorithms.diffusion_bc.diffusion_bc import DiffusionBC

__all__ = ["DiffusionBC"]

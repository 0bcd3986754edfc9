"""D2SAC: discrete soft actor-critic whose actor is a diffusion model."""

from netdiffuse.algorithms.d2sac.d2sac import D2SAC

__all__ = ["D2SAC"]

"""G-DDPG: DDPG whose actor is a diffusion model."""

from netdiffuse.algorithms.gddpg.gddpg import GDDPG

__all__ = ["GDDPG"]

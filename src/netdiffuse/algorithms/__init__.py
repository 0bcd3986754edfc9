"""How a policy learns: algorithms with Stable-Baselines3's API."""

from stable_baselines3.common.base_class import BaseAlgorithm

from netdiffuse.algorithms.d2sac import D2SAC
from netdiffuse.algorithms.diffusion_apg import DiffusionAPG
from netdiffuse.algorithms.diffusion_bc import DiffusionBC
from netdiffuse.algorithms.gddpg import GDDPG

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "gddpg": GDDPG,
    "diffusion-apg": DiffusionAPG,
    "diffusion-bc": DiffusionBC,
    "d2sac": D2SAC,
}

__all__ = ["ALGORITHMS", "D2SAC", "GDDPG", "DiffusionAPG", "DiffusionBC"]

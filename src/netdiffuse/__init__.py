"""Diffusion reinforcement learning for communication networks.

Importing the package registers its environments with Gymnasium (`netdiffuse/PowerAllocation-v0` and so on). The names
below are imported when they are first used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netdiffuse.registration import register_environments

if TYPE_CHECKING:
    from netdiffuse.algorithms import D2SAC, GDDPG, DiffusionAPG, DiffusionBC
    from netdiffuse.experiments import load
    from netdiffuse.problems import Problem, make_problem

__version__ = "0.1.0"
__all__ = ["D2SAC", "GDDPG", "DiffusionAPG", "DiffusionBC", "Problem", "__version__", "load", "make_problem"]

_PLACES = {
    "D2SAC": "netdiffuse.algorithms",
    "GDDPG": "netdiffuse.algorithms",
    "DiffusionAPG": "netdiffuse.algorithms",
    "DiffusionBC": "netdiffuse.algorithms",
    "Problem": "netdiffuse.problems",
    "make_problem": "netdiffuse.problems",
    "load": "netdiffuse.experiments",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'netdiffuse' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


register_environments()

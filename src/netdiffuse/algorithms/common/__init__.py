"""What the algorithms share: policies, critics, replay, set-up."""

from netdiffuse.algorithms.common.policies import DiffusionPolicy, EquivariantDiffusionPolicy

__all__ = ["DiffusionPolicy", "EquivariantDiffusionPolicy"]

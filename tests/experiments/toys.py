"""A problem of our own, small enough to check by hand."""

import torch
from torch import Tensor

from netdiffuse.problems import Problem
from netdiffuse.problems.feasible import Box


class Target(Problem):
    """Name the number: utility = 1 - (decision - context)^2, context uniform in [-1, 1]."""

    def __init__(self, size: int = 1, known: bool = True) -> None:
        self.context_shape = (size,)
        self.feasible = Box(-1.0, 1.0, (size,))
        self.known = known

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, *self.context_shape, generator=generator) * 2 - 1

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        return 1 - (decisions - contexts).square().mean(-1)

    def reference(self, contexts: Tensor) -> Tensor | None:
        return contexts if self.known else None


def parameters(model) -> list[Tensor]:
    """All tensors of a model: weights, target networks and optimizer states."""

    def walk(value):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                yield from walk(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from walk(item)

    return list(walk(model.get_parameters()))

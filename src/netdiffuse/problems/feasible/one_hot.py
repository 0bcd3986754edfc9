"""One of n alternatives without an order."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from netdiffuse.common.checks import integer
from netdiffuse.problems.feasible.base import FeasibleSet


class OneHot(FeasibleSet):
    """One of n alternatives (a server, a channel), as a vector with a single 1.

    The decision is the one-hot vector of the largest coordinate (the first of equals), exactly; its gradient
    is that of softmax(a), straight-through (Bengio et al., "Estimating or propagating gradients through
    stochastic neurons", 2013). The canonical action is +1 at the alternative and -1 elsewhere.

    Args:
        n: number of alternatives.

    Raises:
        InvalidValueError: n below 1.
    """

    discrete = True
    continuous = False

    def __init__(self, n: int) -> None:
        self.n = integer("n", n)
        self.action_size = self.n
        self.decision_shape = (self.n,)

    def at_bound(self, action: Tensor, margin: float = 0.01) -> Tensor:  # noqa: ARG002
        """All False: a choice stands at its bounds by nature, and is not stuck there."""
        return torch.zeros_like(action, dtype=torch.bool)

    def choices(self, most: int) -> Tensor | None:
        """The alternatives; see `FeasibleSet.choices`."""
        return 2 * torch.eye(self.n) - 1 if self.n <= most else None

    def _decode(self, action: Tensor) -> Tensor:
        soft = action.softmax(-1)
        return self._vertex(action) + (soft - soft.detach())

    def _encode(self, decision: Tensor) -> Tensor:
        return 2 * self._vertex(decision) - 1

    def _project(self, decision: Tensor) -> Tensor:
        return self._vertex(decision)

    def _violation(self, decision: Tensor) -> Tensor:
        return (decision - self._vertex(decision)).abs().amax(-1)

    def _vertex(self, x: Tensor) -> Tensor:
        return one_hot(x.argmax(-1), self.n).to(x.dtype)

    def __repr__(self) -> str:
        return f"OneHot({self.n})"

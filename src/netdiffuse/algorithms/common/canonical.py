"""Canonical actions: of all actions that decode to one decision, the one that a critic is trained on."""

import torch
from torch import Tensor

from netdiffuse.problems.feasible import FeasibleSet


def canonical(feasible: FeasibleSet | None, action: Tensor) -> Tensor:
    """`encode(decode(action))`, without gradient; the clamp to [-1, 1] where no feasible set is known.

    Many actions decode to one decision (a projection is not injective). A critic that has only seen canonical actions
    is wrong about the others, and an actor soon finds out where.
    """
    with torch.no_grad():
        if feasible is None:
            return action.clamp(-1, 1)
        return feasible.encode(feasible.decode(action))


LEAK = 0.2
"""Share of the critic's gradient that reaches an action directly, past the projection."""


def leaky_canonical(feasible: FeasibleSet | None, action: Tensor) -> Tensor:
    """The canonical action, with the gradient of `encode(decode(a))` plus a small share of the identity's.

    A critic judges what it was trained on. The projection's own gradient is right but vanishes for a coordinate off
    the support (a channel that gets nothing); the leak lets such a coordinate feel that it should come back, as a
    leaky rectifier does.
    """
    to = action.clamp(-1, 1) if feasible is None else feasible.encode(feasible.decode(action))
    return to + LEAK * (action - action.detach())


def pull(action: Tensor, to: Tensor) -> Tensor:
    """Mean squared distance from the canonical actions, summed over coordinates."""
    return (action - to).square().sum(1).mean()

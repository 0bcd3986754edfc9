"""A total that is shared out: all of it (`Simplex`) or at most all of it (`Budget`).

Both represent a decision by a point whose Euclidean projection it is. Unlike a softmax or a normalised
absolute value, the projection reaches exact zeros from finite actions.
"""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnreachableDecisionError
from netdiffuse.common.checks import integer, positive
from netdiffuse.problems.feasible.base import ENCODE_TOLERANCE, FeasibleSet, first_row


def project_simplex(v: Tensor) -> Tensor:
    """Euclidean projection onto the unit simplex {x >= 0, sum x = 1} along the last dimension.

    max(v - tau, 0) with tau found by sorting (Held, Wolfe and Crowder, "Validation of subgradient
    optimization", 1974; algorithm 1 of Condat, "Fast projection onto the simplex and the l1 ball", 2016).
    Gradients flow between the positive entries.

    Args:
        v: shape (..., n), finite.

    Returns:
        Points of the simplex, shape (..., n).
    """
    v = v - v.detach().amax(-1, keepdim=True)  # the projection ignores a constant; large numbers need it gone
    with torch.no_grad():
        u = _descending(v)
        excess = u.cumsum(-1) - 1
        count = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
        support_size = (u * count > excess).sum(-1, keepdim=True)
        tau = excess.gather(-1, support_size - 1) / support_size
        support = v > tau
    x = torch.where(support, v - tau, 0)
    # tau is a constant to autograd and carries the rounding of a long sum; this correction mends both.
    correction = (x.sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
    return torch.where(support, x - correction, 0).clamp(min=0)


def _descending(v: Tensor) -> Tensor:
    """Sort along the last dimension, without gradient."""
    if v.device.type == "cpu":
        return torch.from_numpy(-np.sort(-v.detach().numpy()))  # for rows this short, a tenth of torch's time
    return v.sort(-1, descending=True).values


def project_budget(v: Tensor) -> Tensor:
    """Euclidean projection onto {x >= 0, sum x <= 1} along the last dimension.

    Negative entries are cut off; where the sum is still over one, it is the projection onto the simplex.

    Args:
        v: shape (..., n), finite.

    Returns:
        Points of the set, shape (..., n).
    """
    clipped = v.clamp(min=0)
    return torch.where(clipped.sum(-1, keepdim=True) > 1, project_simplex(v), clipped)


LARGEST_SCALE = 1e6  # beyond, single precision does not tell actions apart


class _Shares(FeasibleSet):
    """What `Simplex` and `Budget` share: n non-negative entries of a total."""

    def __init__(self, n: int, total: float, scale: float) -> None:
        self.n = integer("n", n)
        self.total = positive("total", total)
        self.scale = positive("scale", scale)
        if self.scale > LARGEST_SCALE:
            raise InvalidValueError(f"scale must be at most {LARGEST_SCALE:g}, got {scale!r}")
        self.action_size = self.n
        self.decision_shape = (self.n,)

    @property
    def scales(self) -> tuple[float, ...]:
        """The scale."""
        return (self.scale,)

    @abstractmethod
    def _needed_scale(self, relative: Tensor) -> Tensor:
        """The scale, shape (...), that reaches decisions given relative to the equal split, (..., n)."""

    def _refuse_unreachable(self, decision: Tensor) -> None:
        needed = self._needed_scale(self._relative(decision))
        beyond = needed > self.scale + ENCODE_TOLERANCE * max(1.0, self.scale)
        if beyond.any():
            row, index = first_row(beyond)
            share = float(decision[index].max()) / self.total
            raise UnreachableDecisionError(
                f"{row} of the decisions gives one entry {100 * share:.4g}% of the total, which no action "
                f"in [-1, 1] reaches in {self!r}: use a scale of at least {float(needed[index]):.4g}"
            )

    def _relative(self, decision: Tensor) -> Tensor:
        """Decisions relative to the equal split, which is 1."""
        return decision.clamp(min=0) * (self.n / self.total)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n}, total={self.total:g}, scale={self.scale:g})"


class Simplex(_Shares):
    """A total shared out in full: {d >= 0, sum d = total}.

    decision = total * project_simplex((1 + scale * a) / n). The equal split is a = 0, and on the inside of
    the simplex scale * a (less its mean) is n d / total - 1. A decision is reachable if n * (max d - min d)
    <= 2 * scale * total; giving all to one entry needs scale >= n / 2. Where the decisions worth taking are
    closer to the equal split, a smaller scale makes the coordinates better conditioned.

    Args:
        n: number of entries.
        total: what the entries add up to, in the decision's unit.
        scale: size of the standardised coordinates; by default max(1, n / 2), which reaches every decision.

    Raises:
        InvalidValueError: n below 1; a total or scale that is not positive and finite.
    """

    def __init__(self, n: int, total: float = 1.0, scale: float | None = None) -> None:
        super().__init__(n, total, max(1.0, integer("n", n) / 2) if scale is None else scale)

    def _decode(self, action: Tensor) -> Tensor:
        return self.total * project_simplex((1 + self.scale * action) / self.n)

    def _needed_scale(self, relative: Tensor) -> Tensor:
        return (relative.amax(-1) - relative.amin(-1)) / 2

    def _encode(self, decision: Tensor) -> Tensor:
        relative = self._relative(decision)
        largest = relative.amax(-1, keepdim=True)
        smallest = relative.amin(-1, keepdim=True)
        # relative - 1 projects onto the decision, and so does every shift of it: take the smallest that fits.
        z = relative - 1
        shift = torch.zeros_like(largest).maximum(1 - self.scale - smallest).minimum(1 + self.scale - largest)
        return (z + shift) / self.scale

    def _project(self, decision: Tensor) -> Tensor:
        return self.total * project_simplex(decision / self.total)

    def _violation(self, decision: Tensor) -> Tensor:
        return torch.maximum(-decision.amin(-1), (decision.sum(-1) - self.total).abs()) / self.total


class Budget(_Shares):
    """A total of which some may be left: {d >= 0, sum d <= total}.

    decision = total * project_budget((1 + scale * a) / n). a = 0 is the equal split of all of it, a = -1
    nothing. A decision is reachable if n * max d <= (1 + scale) * total; giving all to one entry needs scale
    >= n - 1.

    Args:
        n: number of entries.
        total: the most that the entries may add up to, in the decision's unit.
        scale: size of the standardised coordinates, at least 1 so that zero is reachable; by default
            max(1, n - 1), which reaches every decision.

    Raises:
        InvalidValueError: n below 1; a total that is not positive and finite; a scale below 1.
    """

    def __init__(self, n: int, total: float = 1.0, scale: float | None = None) -> None:
        super().__init__(n, total, max(1.0, integer("n", n) - 1.0) if scale is None else scale)
        if self.scale < 1:
            raise InvalidValueError(f"scale of a Budget must be at least 1, so that zero is reachable, got {scale!r}")

    def _decode(self, action: Tensor) -> Tensor:
        return self.total * project_budget((1 + self.scale * action) / self.n)

    def _needed_scale(self, relative: Tensor) -> Tensor:
        return relative.amax(-1) - 1

    def _encode(self, decision: Tensor) -> Tensor:
        # No shift as in Simplex: where not all is used, or a negative one, it would change the decision.
        return (self._relative(decision) - 1) / self.scale

    def _project(self, decision: Tensor) -> Tensor:
        return self.total * project_budget(decision / self.total)

    def _violation(self, decision: Tensor) -> Tensor:
        return torch.maximum(-decision.amin(-1), decision.sum(-1) - self.total) / self.total

"""What a feasible set is: any finite action decodes to an allowed decision."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnreachableDecisionError

ENCODE_TOLERANCE = 1e-4


class FeasibleSet(ABC):
    """The allowed decisions, and their standardised coordinates: actions in [-1, 1].

    All methods take any leading batch dimensions (written `...`), keep device and dtype (float32 or float64), and
    let gradients through (straight-through where a decision is rounded; `encode` of a `OneHot` has none). Subclasses
    set the two attributes and write `_decode`, `_encode`, `_project` and `_violation`, whose arguments have been
    checked.

    Attributes:
        action_size: number of standardised coordinates of one decision.
        decision_shape: shape of one decision, without batch dimensions.
        discrete: whether some part is a choice without order, between whose alternatives a gradient says nothing.
        continuous: whether small changes of any coordinate change the decision.
    """

    action_size: int
    decision_shape: tuple[int, ...]
    discrete: bool = False
    continuous: bool = True

    def decode(self, action: Tensor) -> Tensor:
        """Turn any finite action into a feasible decision; coordinates outside [-1, 1] count as the bound.

        Args:
            action: shape (..., action_size), floating point.

        Returns:
            Decisions, shape (..., *decision_shape).

        Raises:
            InvalidValueError: wrong shape or dtype, or a coordinate that is not finite (the message names the
                row).
        """
        if action.ndim == 0 or action.shape[-1] != self.action_size or not action.is_floating_point():
            raise InvalidValueError(
                f"actions must be floating point of shape (..., {self.action_size}), "
                f"got {action.dtype} of shape {tuple(action.shape)}"
            )
        finite = torch.isfinite(action)
        if not finite.all():
            row, index = first_row(~finite.all(-1))
            raise InvalidValueError(f"{row} of the actions must be finite, got {_short(action[index])}")
        return self._decode(action.clamp(-1, 1))

    def encode(self, decision: Tensor) -> Tensor:
        """The canonical action of a decision: `decode(encode(d)) = d`.

        Many actions may decode to one decision; `encode(decode(action))` is the canonical one among them: the
        target that learning pulls actions towards, and what belongs in a replay buffer.

        Args:
            decision: shape (..., *decision_shape).

        Returns:
            Actions in [-1, 1], shape (..., action_size).

        Raises:
            InvalidValueError: wrong shape.
            UnreachableDecisionError: not in the set, or no action decodes to it; the message names the row.
        """
        self._check_decision(decision)
        violation = self._violation(decision)
        outside = ~(violation <= ENCODE_TOLERANCE)  # also true for NaN
        if outside.any():
            row, index = first_row(outside)
            raise UnreachableDecisionError(
                f"{row} of the decisions is not in {self!r}, got {_short(decision[index])} "
                f"(off by {float(violation[index]):.3g} of the set's size): call project() first"
            )
        self._refuse_unreachable(decision)
        return self._encode(decision).clamp(-1, 1)

    def encode_nearest(self, decision: Tensor) -> Tensor:
        """As `encode`, but a decision out of reach gets the canonical action of a reachable one beside it.

        For expert decisions, of which a few in a million may lie beyond the scale of the coordinates.

        Raises:
            InvalidValueError: wrong shape, or an entry that is not finite; the message names the row.
        """
        return self.encode(self._decode(self._encode(self.project(decision)).clamp(-1, 1)))

    def _refuse_unreachable(self, decision: Tensor) -> None:  # noqa: B027 # most sets reach everything
        """Raise `UnreachableDecisionError` for the first decision that no action decodes to."""

    def project(self, decision: Tensor) -> Tensor:
        """The nearest allowed decision in Euclidean distance, shape (..., *decision_shape).

        Raises:
            InvalidValueError: wrong shape, or an entry that is not finite; the message names the row.
        """
        self._check_decision(decision)
        finite = torch.isfinite(decision)
        if not finite.all():
            row, index = first_row(~self._flatten(finite).all(-1))
            raise InvalidValueError(f"{row} of the decisions must be finite, got {_short(decision[index])}")
        return self._project(decision)

    def contains(self, decision: Tensor, tolerance: float = 1e-4) -> Tensor:
        """Whether each decision is allowed, as booleans of shape (...); NaN is not.

        Args:
            decision: shape (..., *decision_shape).
            tolerance: the violation accepted, as a fraction of the set's size (its total, or its width).

        Raises:
            InvalidValueError: wrong shape.
        """
        self._check_decision(decision)
        return self._violation(decision) <= tolerance

    def at_bound(self, action: Tensor, margin: float = 0.01) -> Tensor:
        """Which coordinates are saturated, |a| >= 1 - margin, as booleans of the action's shape."""
        return action.abs() >= 1 - margin

    @property
    def scales(self) -> tuple[float, ...]:
        """Sizes of the coordinates of each part that has one: equal scales, equal meaning of actions."""
        return ()

    def choices(self, most: int) -> Tensor | None:
        """Canonical actions of every combination of the parts that are not continuous, the others at 0.

        Shape (k, action_size), or None where there are more than `most`.
        """
        return torch.zeros(1, self.action_size) if most >= 1 else None

    @abstractmethod
    def _decode(self, action: Tensor) -> Tensor:
        """Decode actions in [-1, 1]."""

    @abstractmethod
    def _encode(self, decision: Tensor) -> Tensor:
        """Encode decisions that lie in the set (within `ENCODE_TOLERANCE`); beyond [-1, 1] where out of reach."""

    @abstractmethod
    def _project(self, decision: Tensor) -> Tensor:
        """Project finite decisions."""

    @abstractmethod
    def _violation(self, decision: Tensor) -> Tensor:
        """How far each decision is outside as a fraction of the set's size, shape (...); at most 0 inside."""

    def _flatten(self, decision: Tensor) -> Tensor:
        """(..., *decision_shape) to (..., entries)."""
        batch = decision.shape[: decision.ndim - len(self.decision_shape)]
        return decision.reshape((*batch, math.prod(self.decision_shape)))

    def _unflatten(self, flat: Tensor) -> Tensor:
        """(..., entries) to (..., *decision_shape)."""
        return flat.reshape(flat.shape[:-1] + self.decision_shape)

    def _check_decision(self, decision: Tensor) -> None:
        batch_dims = decision.ndim - len(self.decision_shape)
        if batch_dims < 0 or tuple(decision.shape[batch_dims:]) != self.decision_shape:
            shape = ", ".join(["...", *map(str, self.decision_shape)])
            raise InvalidValueError(f"decisions must have shape ({shape}), got {tuple(decision.shape)}")


def first_row(bad: Tensor) -> tuple[str, tuple[int, ...]]:
    """Name and index of the first row marked in `bad`, shape (...), of which at least one entry is true."""
    if bad.ndim == 0:
        return "the row", ()
    index = tuple(bad.nonzero()[0].tolist())
    return f"row {index[0] if len(index) == 1 else index}", index


def _short(values: Tensor) -> str:
    """The first few numbers of a row, for a message."""
    numbers = [f"{x:.4g}" for x in values.detach().flatten()[:8].tolist()]
    return "[" + ", ".join(numbers) + (", ...]" if values.numel() > 8 else "]")

"""Coordinates with bounds of their own: continuous (`Box`) and whole numbers (`Integer`)."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.common.checks import integer
from netdiffuse.problems.feasible.base import FeasibleSet


class _Bounded(FeasibleSet):
    """What `Box` and `Integer` share: `low <= decision <= high` for each entry."""

    def __init__(self, low: ArrayLike, high: ArrayLike, shape: tuple[int, ...] | None = None) -> None:
        arrays = _finite_array("low", low), _finite_array("high", high)
        try:
            if shape is None:
                shape = np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
            shape = tuple(integer("each dimension of shape", size) for size in shape)
            low_array, high_array = (np.broadcast_to(array, shape) for array in arrays)
        except ValueError as error:
            if isinstance(error, InvalidValueError):
                raise
            raise InvalidValueError(
                f"low and high must broadcast to shape {shape}, got {arrays[0].shape} and {arrays[1].shape}"
            ) from None
        if (low_array > high_array).any():
            raise InvalidValueError(f"low must not exceed high, got low {low!r} and high {high!r}")
        self.decision_shape = shape
        self.action_size = math.prod(shape)
        self._low, self._high = torch.tensor(low_array), torch.tensor(high_array)

    def bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds, shape decision_shape each, with the dtype and device of `like`."""
        return self._low.to(like), self._high.to(like)

    def _violation(self, decision: Tensor) -> Tensor:
        low, high = self.bounds(decision)
        width = torch.where(high > low, high - low, 1)
        outside = torch.maximum(low - decision, decision - high) / width
        return self._flatten(outside).amax(-1)

    def __repr__(self) -> str:
        low, high = (_one_or_all(bound.numpy()) for bound in (self._low, self._high))
        return f"{type(self).__name__}({low}, {high}, shape={self.decision_shape})"


class Box(_Bounded):
    """Each entry between bounds of its own: decision = low + (a + 1) / 2 * (high - low).

    Args:
        low: lower bounds, a number or an array that broadcasts to `shape`, in the decision's unit.
        high: upper bounds, likewise, not below `low`.
        shape: shape of one decision; by default that of the bounds.

    Raises:
        InvalidValueError: a bound that is not finite, low above high, or bounds that do not fit the shape.
    """

    def _decode(self, action: Tensor) -> Tensor:
        low, high = self.bounds(action)
        return torch.lerp(low, high, self._unflatten((action + 1) / 2))  # lerp is exact at both ends

    def _encode(self, decision: Tensor) -> Tensor:
        low, high = self.bounds(decision)
        width = torch.where(high > low, high - low, 1)
        action = torch.where(high > low, 2 * (decision - low) / width - 1, 0)
        return self._flatten(action)

    def _project(self, decision: Tensor) -> Tensor:
        low, high = self.bounds(decision)
        return torch.minimum(torch.maximum(decision, low), high)


class Integer(_Bounded):
    """Whole numbers whose order means something (a number of steps, a bit width), as floats.

    [-1, 1] is cut into `high - low + 1` bins of equal width, one an integer, so that none is favoured. The
    gradient is straight-through: that of the affine map from [-1, 1] to [low - 1/2, high + 1/2] (Bengio et
    al., "Estimating or propagating gradients through stochastic neurons", 2013). The canonical action is the
    centre of the bin.

    Args:
        low: smallest integers, a number or an array that broadcasts to `shape`.
        high: largest integers, likewise, not below `low`.
        shape: shape of one decision; by default that of the bounds.

    Raises:
        InvalidValueError: a bound that is no whole number, low above high, or bounds that do not fit the
            shape.
    """

    continuous = False

    def __init__(self, low: ArrayLike, high: ArrayLike, shape: tuple[int, ...] | None = None) -> None:
        super().__init__(low, high, shape)
        if not (torch.equal(self._low, self._low.round()) and torch.equal(self._high, self._high.round())):
            raise InvalidValueError(f"low and high must be whole numbers, got {low!r} and {high!r}")

    def choices(self, most: int) -> Tensor | None:
        """All combinations of whole numbers; see `FeasibleSet.choices`."""
        low, high = self._low.flatten(), self._high.flatten()
        if float((high - low + 1).log().sum()) > math.log(max(most, 1)) + 1e-6:
            return None
        numbers = [torch.arange(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
        grid = torch.cartesian_prod(*numbers).reshape(-1, self.action_size).float()
        return self._encode(self._unflatten(grid))

    def _decode(self, action: Tensor) -> Tensor:
        low, high = self.bounds(action)
        bins = high - low + 1
        position = self._unflatten((action + 1) / 2) * bins  # in [0, bins]
        number = low + torch.minimum(position.detach().floor(), bins - 1)
        return number + (position - position.detach())

    def _encode(self, decision: Tensor) -> Tensor:
        low, high = self.bounds(decision)
        rounded = decision + (decision.round() - decision).detach()  # straight-through, as in `decode`
        return self._flatten(2 * (rounded - low + 0.5) / (high - low + 1) - 1)

    def _project(self, decision: Tensor) -> Tensor:
        low, high = self.bounds(decision)
        return torch.minimum(torch.maximum(decision.round(), low), high)

    def _violation(self, decision: Tensor) -> Tensor:
        fraction = self._flatten((decision - decision.round()).abs()).amax(-1)
        return torch.maximum(super()._violation(decision), fraction)


def _finite_array(name: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidValueError(f"{name} must be a number or an array of numbers, got {value!r}") from None
    if not np.isfinite(array).all():
        raise InvalidValueError(f"{name} must be finite, got {value!r}")
    return array


def _one_or_all(bound: NDArray[np.float64]) -> str:
    return f"{bound.flat[0]:g}" if (bound == bound.flat[0]).all() else str(bound.tolist())

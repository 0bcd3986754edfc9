"""Several decisions at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnreachableDecisionError
from netdiffuse.problems.feasible.base import FeasibleSet


class Product(FeasibleSet):
    """Named decisions taken together, for example `Product(power=Simplex(4, 10.0), server=OneHot(3))`.

    The decision is the parts' decisions, flattened and concatenated in the order given; the action likewise.

    Args:
        parts: the sets by name.

    Raises:
        InvalidValueError: no part, or a part that is not a `FeasibleSet`.

    Attributes:
        parts: the sets by name, in order.
    """

    def __init__(self, **parts: FeasibleSet) -> None:
        if not parts:
            raise InvalidValueError("a Product needs at least one named part")
        for name, part in parts.items():
            if not isinstance(part, FeasibleSet):
                raise InvalidValueError(f"part '{name}' of a Product must be a FeasibleSet, got {part!r}")
        self.parts = parts
        self.action_size = sum(part.action_size for part in parts.values())
        self._decision_sizes = [torch.Size(part.decision_shape).numel() for part in parts.values()]
        self.decision_shape = (sum(self._decision_sizes),)
        self.discrete = any(part.discrete for part in parts.values())
        self.continuous = all(part.continuous for part in parts.values())

    def split(self, decision: Tensor) -> dict[str, Tensor]:
        """The parts' decisions by name, shape (..., *part.decision_shape) each.

        Args:
            decision: shape (..., *decision_shape).

        Raises:
            InvalidValueError: wrong shape.
        """
        self._check_decision(decision)
        pieces = torch.split(decision, self._decision_sizes, -1)
        return {name: part._unflatten(piece) for (name, part), piece in zip(self.parts.items(), pieces, strict=True)}

    def join(self, decisions: dict[str, Tensor]) -> Tensor:
        """The decision, shape (..., *decision_shape), of the parts' decisions: the inverse of `split`.

        Raises:
            InvalidValueError: a name that is missing or unknown, or a wrong shape.
        """
        if decisions.keys() != self.parts.keys():
            raise InvalidValueError(f"a decision needs the parts {list(self.parts)}, got {list(decisions)}")
        flat = []
        for name, part in self.parts.items():
            part._check_decision(decisions[name])
            flat.append(part._flatten(decisions[name]))
        return torch.cat(flat, -1)

    def at_bound(self, action: Tensor, margin: float = 0.01) -> Tensor:
        """As each part has it."""
        pieces = torch.split(action, [part.action_size for part in self.parts.values()], -1)
        parts = zip(self.parts.values(), pieces, strict=True)
        return torch.cat([part.at_bound(piece, margin) for part, piece in parts], -1)

    @property
    def scales(self) -> tuple[float, ...]:
        """Those of the parts, in order."""
        return tuple(scale for part in self.parts.values() for scale in part.scales)

    def choices(self, most: int) -> Tensor | None:
        """The combinations of those of the parts; see `FeasibleSet.choices`."""
        found = torch.zeros(1, 0)
        for part in self.parts.values():
            own = part.choices(most // len(found))
            if own is None:
                return None
            found = torch.cat([found.repeat_interleave(len(own), 0), own.repeat(len(found), 1)], 1)
        return found

    def _decode(self, action: Tensor) -> Tensor:
        pieces = torch.split(action, [part.action_size for part in self.parts.values()], -1)
        return torch.cat(
            [part._flatten(part._decode(piece)) for part, piece in zip(self.parts.values(), pieces, strict=True)],
            -1,
        )

    def _encode(self, decision: Tensor) -> Tensor:
        return torch.cat([self.parts[name]._encode(piece) for name, piece in self.split(decision).items()], -1)

    def _refuse_unreachable(self, decision: Tensor) -> None:
        for name, piece in self.split(decision).items():
            try:
                self.parts[name]._refuse_unreachable(piece)
            except UnreachableDecisionError as error:
                raise UnreachableDecisionError(f"part '{name}': {error}") from None

    def _project(self, decision: Tensor) -> Tensor:
        return self.join(self._each(decision, FeasibleSet.project))

    def _violation(self, decision: Tensor) -> Tensor:
        return torch.stack(list(self._each(decision, lambda part, piece: part._violation(piece)).values())).amax(0)

    def _each(self, decision: Tensor, function: Callable[[FeasibleSet, Tensor], Tensor]) -> dict[str, Tensor]:
        return {name: function(self.parts[name], piece) for name, piece in self.split(decision).items()}

    def __repr__(self) -> str:
        return f"Product({', '.join(f'{name}={part!r}' for name, part in self.parts.items())})"

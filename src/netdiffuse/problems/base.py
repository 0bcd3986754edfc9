"""What a problem is: contexts are observed, decisions are taken, utility is maximised.

A user adds a problem by subclassing `Problem` in a file of their own; nothing in netdiffuse changes. The adapters in
`netdiffuse.problems.environments` turn any problem into Gymnasium and Stable-Baselines3 environments.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.problems.feasible import FeasibleSet

Structure = Literal["vector", "entities", "pairs"]


class Problem(ABC):
    """A one-shot decision problem: observe a context, take a feasible decision, earn its utility.

    Subclasses set `context_shape` and `feasible` (usually in `__init__`) and write `sample_contexts` and `utility`;
    everything else has a default.

    Attributes:
        context_shape: shape of one context, without the batch dimension.
        feasible: the set of allowed decisions, which also defines the standardised action coordinates.
        structure: how a network may read the context. `"vector"`: numbers without symmetry. `"entities"`: shape `(n,)`
            or `(n, features)`, n interchangeable entities (channels, users). `"pairs"`: shape `(n, n)` or
            `(n, n, features)`, entry [i, j] belongs to the ordered pair of entities (j acts on i). With entities or
            pairs, action coordinate number i (modulo n) belongs to entity i.
        utility_unit, context_unit, decision_unit: units for tables and axes, for example "bit/s/Hz".
        log_contexts: whether networks should see the logarithms of the contexts, as for non-negative gains that span
            orders of magnitude.
        differentiable: whether autograd through `utility` gives its gradient with respect to the decisions.
    """

    context_shape: tuple[int, ...]
    feasible: FeasibleSet
    structure: Structure = "vector"
    utility_unit: ClassVar[str] = ""
    context_unit: ClassVar[str] = ""
    decision_unit: ClassVar[str] = ""
    log_contexts: bool = False
    differentiable: bool = True

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """Shape of one decision, without the batch dimension."""
        return self.feasible.decision_shape

    @property
    def context_names(self) -> list[str]:
        """One name an entry of the flattened context: the header of a file of contexts."""
        return entry_names("context", self.context_shape)

    @property
    def decision_names(self) -> list[str]:
        """One name an entry of the flattened decision: the header of a file of decisions."""
        return entry_names("decision", self.decision_shape)

    @abstractmethod
    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n contexts, shape (n, *context_shape), float32, on the CPU, with this generator alone."""

    @abstractmethod
    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        """Utility of each decision in its context, shape (n,); batched, on the device of its arguments."""

    def reference(self, contexts: Tensor) -> Tensor | None:  # noqa: ARG002
        """Optimal or best known decisions, shape (n, *decision_shape), or None where none is known."""
        return None

    def blind_reference(self) -> Tensor:
        """The best decision that never looks at the context, shape decision_shape (computed once, then cached)."""
        if not hasattr(self, "_blind_reference"):
            from netdiffuse.problems.blind import best_blind_decision

            self._blind_reference = best_blind_decision(self)
        return self._blind_reference

    def check_contexts(self, contexts: Tensor) -> Tensor:
        """Return contexts that `utility` accepts.

        Raises:
            InvalidValueError: wrong shape, or an entry that is not a finite number; the message names row and entry.
        """
        if tuple(contexts.shape[1:]) != self.context_shape:
            raise InvalidValueError(
                f"contexts must have shape (n, {', '.join(map(str, self.context_shape))}), got {tuple(contexts.shape)}"
            )
        self._refuse_entries(contexts, ~torch.isfinite(contexts), "must be finite")
        return contexts

    def _refuse_entries(self, contexts: Tensor, bad: Tensor, rule: str) -> None:
        """Raise for the first entry marked in `bad`, naming its row, its name and its value."""
        where = bad.reshape(len(contexts), -1).nonzero()
        if len(where):
            row, entry = (int(i) for i in where[0])
            value = float(contexts.reshape(len(contexts), -1)[row, entry])
            raise InvalidValueError(f"row {row}, {self.context_names[entry]} {rule}, got {value}")


def entry_names(prefix: str, shape: tuple[int, ...]) -> list[str]:
    """Names of the entries of a tensor of this shape in row-major order: `gain_0`, `gain_1`; `gain_0_1`."""
    if not shape:
        return [prefix]
    grid = torch.cartesian_prod(*(torch.arange(n) for n in shape)).reshape(-1, len(shape))
    return ["_".join([prefix, *map(str, index)]) for index in grid.tolist()]

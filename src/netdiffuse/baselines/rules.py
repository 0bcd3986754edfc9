"""Classical rules: decisions by a formula, without learning. What any learned policy must beat."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from netdiffuse.common import UnsupportedError
from netdiffuse.common.seeding import generator as seeded
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import Box, Budget, FeasibleSet, Integer, Product, Simplex

CHUNK = 2**22  # numbers of contexts held at a time
MOST_TRIED = 1000  # entities of which each is tried alone: of k, that takes k**2 numbers a context


class Rule(ABC):
    """A way to decide that needs no training. Subclasses write `applies` and `_decide`.

    Attributes:
        name: its name in tables and on the command line.
        description: one line for lists.
    """

    name: ClassVar[str]
    description: ClassVar[str]

    @abstractmethod
    def applies(self, problem: Problem) -> bool:
        """Whether the rule means something for this problem."""

    @abstractmethod
    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:
        """Decide where the rule applies."""

    def decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Take one decision a context.

        Args:
            problem: what is decided.
            contexts: shape (n, *context_shape).
            generator: of the random numbers, on the CPU; only the random rule draws any. None for torch's
                global generator.

        Returns:
            Feasible decisions, shape (n, *decision_shape), in physical units.

        Raises:
            UnsupportedError: the rule means nothing for this problem.
        """
        if not self.applies(problem):
            raise UnsupportedError(
                f"rule '{self.name}' does not apply to {type(problem).__name__} with {problem.feasible!r}; "
                f"these do: {', '.join(applicable_rules(problem))}"
            )
        return self._decide(problem, contexts, generator)


class EqualSplit(Rule):
    """The total in equal shares, for `Simplex`, `Budget` and a `Product` of them."""

    name = "equal"
    description = "the total in equal shares"

    def applies(self, problem: Problem) -> bool:
        """Whether a total is shared out, and nothing else is decided."""
        return _consists_of(problem.feasible, (Simplex, Budget))

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        return _repeat(_equal_shares(problem.feasible), contexts)


class FullPower(Rule):
    """Every entry at its upper bound, for `Box`, `Integer` and a `Product` of them."""

    name = "full-power"
    description = "every entry at its upper bound"

    def applies(self, problem: Problem) -> bool:
        """Whether every entry has bounds of its own."""
        return _consists_of(problem.feasible, (Box, Integer))

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        # the action +1 is the upper bound of both sets
        return _repeat(problem.feasible.decode(torch.ones(problem.feasible.action_size)), contexts)


class RandomDecision(Rule):
    """Action coordinates uniform in [-1, 1], decoded: what an untrained explorer does."""

    name = "random"
    description = "action coordinates drawn uniformly"

    def applies(self, problem: Problem) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:
        actions = torch.rand(len(contexts), problem.feasible.action_size, generator=generator) * 2 - 1
        return problem.feasible.decode(actions.to(contexts))


class Blind(Rule):
    """The best decision that never looks at the context, `problem.blind_reference()`."""

    name = "blind"
    description = "the best constant decision"

    def applies(self, problem: Problem) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        return _repeat(problem.blind_reference(), contexts)


class BestSingle(Rule):
    """All of the resource to one entity: that of the highest utility when it is served alone.

    For `Simplex` and `Budget` one entry takes the total; for `Box` one entry is at its upper bound and the
    others at their lower bounds. With power allocation that is the channel of the largest gain, and in an
    interference channel of equal powers and noise the link of the largest direct gain.
    """

    name = "best-single"
    description = "everything to the entity that is best when served alone"

    def applies(self, problem: Problem) -> bool:
        """Whether the decision is one `Simplex`, `Budget` or `Box`, of at most `MOST_TRIED` entries."""
        return isinstance(problem.feasible, (Simplex, Budget, Box)) and problem.feasible.action_size <= MOST_TRIED

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        candidates = _one_served(problem.feasible).to(contexts)  # (k, *decision_shape)
        k = len(candidates)
        best = []
        for chunk in torch.split(contexts, max(1, CHUNK // (k * max(1, contexts[:1].numel())))):
            utility = problem.utility(
                chunk.repeat_interleave(k, 0), candidates.repeat(len(chunk), *[1] * (candidates.ndim - 1))
            )
            best.append(utility.reshape(len(chunk), k).argmax(1))
        return candidates[torch.cat(best)]


class Reference(Rule):
    """The optimal or best known decisions, `problem.reference(contexts)`."""

    name = "reference"
    description = "the optimum, or the best known decision"

    def applies(self, problem: Problem) -> bool:
        """Whether the problem knows one."""
        return problem.reference(problem.sample_contexts(1, seeded(0))) is not None

    def _decide(self, problem: Problem, contexts: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        decisions = problem.reference(contexts)
        assert decisions is not None  # `applies` has looked
        return decisions


RULES: dict[str, Rule] = {
    rule.name: rule for rule in (EqualSplit(), FullPower(), RandomDecision(), Blind(), BestSingle(), Reference())
}


def applicable_rules(problem: Problem) -> dict[str, Rule]:
    """The rules that mean something for this problem, by name."""
    return {name: rule for name, rule in RULES.items() if rule.applies(problem)}


def _consists_of(feasible: FeasibleSet, kinds: tuple[type[FeasibleSet], ...]) -> bool:
    if isinstance(feasible, Product):
        return all(_consists_of(part, kinds) for part in feasible.parts.values())
    return isinstance(feasible, kinds)


def _equal_shares(feasible: FeasibleSet) -> Tensor:
    """Each total divided by its number of entries, shape decision_shape."""
    if isinstance(feasible, Product):
        return feasible.join({name: _equal_shares(part) for name, part in feasible.parts.items()})
    assert isinstance(feasible, (Simplex, Budget))
    return torch.full(feasible.decision_shape, feasible.total / feasible.n)


def _one_served(feasible: FeasibleSet) -> Tensor:
    """The decisions that serve one entry alone, shape (entries, *decision_shape)."""
    if isinstance(feasible, (Simplex, Budget)):
        return feasible.total * torch.eye(feasible.n)
    # Box: +1 is the upper bound of a coordinate, -1 the lower
    return feasible.decode(2 * torch.eye(feasible.action_size) - 1)


def _repeat(decision: Tensor, contexts: Tensor) -> Tensor:
    """One decision for every context, shape (n, *decision_shape)."""
    return decision.to(contexts).expand(len(contexts), *decision.shape).clone()

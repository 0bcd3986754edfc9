"""How good are decisions: against the reference, the best context-blind decision and the simple rules."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from netdiffuse.algorithms.common.saturation import SaturationMonitor
from netdiffuse.baselines.rules import applicable_rules
from netdiffuse.common import InvalidValueError, checks
from netdiffuse.common.seeding import generator
from netdiffuse.experiments.policies import LearnedPolicy, undisturbed
from netdiffuse.problems.base import Problem

Decide = Callable[[Tensor], Tensor]
CONTEXTS = 10_000
SEED = 20_230_811  # of evaluation contexts; far from the small seeds that people train with
MEASURES = {
    "return_mean": "return of an episode",
    "optimality_percent": "optimality (% of the reference)",
    "gap_closed_percent": "gap closed from blind to reference (%)",
    "utility_mean": "mean utility",
}  # and what they are called
RULE_STREAM = 0x5EED_0000  # flips bits of a seed, which has 32 of them


class Evaluation:
    """A fixed set of contexts with what is known about them; calling it scores decisions on them.

    Args:
        problem: the problem.
        contexts: how many contexts are drawn.
        seed: seed of the generator that draws them, which is the evaluation's own.

    Attributes:
        contexts: shape (n, *context_shape).
        reference: reference decisions, shape (n, *decision_shape), or None where none are known.
        reference_utility: their utility, shape (n,), or None.

    Raises:
        InvalidValueError: contexts below 1 or above `checks.MOST_SAMPLES`, or a seed outside [0, 2**32).
    """

    def __init__(self, problem: Problem, contexts: int = CONTEXTS, seed: int = SEED) -> None:
        checks.integer("contexts", contexts, maximum=checks.MOST_SAMPLES)
        checks.seed("seed", seed)
        self.problem = problem
        self.seed = seed
        with undisturbed():
            self.contexts = problem.sample_contexts(contexts, generator(seed))
            self.reference = problem.reference(self.contexts)
            blind = problem.blind_reference()
        self.reference_utility = None if self.reference is None else self._utility(self.reference)
        self.blind_mean = float(self._utility(blind.expand(contexts, *blind.shape)).mean())
        self.reference_mean = None if self.reference_utility is None else float(self.reference_utility.mean())

    def __call__(self, decide: Decide, baselines: bool = True) -> dict[str, Any]:
        """Score decisions.

        Args:
            decide: contexts to decisions; for a `LearnedPolicy` the saturation of its actions is measured
                too.
            baselines: whether to score the problem's rules as well.

        Returns:
            `contexts`, `utility_mean`, `reference_mean`, `blind_mean`, `optimality_percent` (100 x utility /
            reference utility), `gap_closed_percent` (100 x (U - U_blind) / (U_reference - U_blind)),
            `regret_mean`, `saturation_percent` (coordinates of the policy's own actions at their bound, beyond the
            reference's share; of canonical actions where there are decisions alone) and `baselines` (name to
            the number that `measure_of` names). None stands for
            what means nothing: optimality unless the reference's mean utility is positive, for of a negative
            one a worse decision has more percent; the gap unless the reference is better than blind.
        """
        feasible = self.problem.feasible
        actions: Tensor | None
        with undisturbed(), torch.no_grad():
            if isinstance(decide, LearnedPolicy):
                actions = decide.actions(self.contexts)
                decisions = feasible.decode(actions)
            else:
                actions, decisions = None, decide(self.contexts)
        utility = float(self._utility(decisions).mean())
        if not math.isfinite(utility):
            raise InvalidValueError(f"the mean utility of {type(self.problem).__name__} is {utility}, not a number")
        actions = feasible.encode_nearest(decisions) if actions is None else actions.clamp(-1, 1)
        found: dict[str, Any] = {
            "contexts": len(self.contexts),
            "utility_mean": utility,
            "reference_mean": self.reference_mean,
            "blind_mean": self.blind_mean,
            "optimality_percent": self._optimality(utility),
            "gap_closed_percent": self._gap_closed(utility),
            "regret_mean": None if self.reference_mean is None else self.reference_mean - utility,
            "saturation_percent": self._saturation.measure(actions),
            "baselines": {},
        }
        if baselines:
            found["baselines"] = self._baselines()
        return found

    def regrets(self, decide: Decide) -> Tensor:
        """Reference utility minus utility of each decision, shape (n,).

        Raises:
            InvalidValueError: the problem has no reference.
        """
        if self.reference_utility is None:
            raise InvalidValueError(f"{type(self.problem).__name__} has no reference, so no regret")
        with undisturbed(), torch.no_grad():
            return self.reference_utility - self._utility(decide(self.contexts))

    def _utility(self, decisions: Tensor) -> Tensor:
        with torch.no_grad():
            return self.problem.utility(self.contexts, decisions)

    def _optimality(self, utility: float) -> float | None:
        if self.reference_mean is None or self.reference_mean <= 0:
            return None
        return 100 * utility / self.reference_mean

    def _gap_closed(self, utility: float) -> float | None:
        if self.reference_mean is None or self.reference_mean <= self.blind_mean:
            return None
        return 100 * (utility - self.blind_mean) / (self.reference_mean - self.blind_mean)

    def _measure(self, utility: float) -> float:
        """The number that `measure_of` names, of a mean utility."""
        return next(v for v in (self._optimality(utility), self._gap_closed(utility), utility) if v is not None)

    @cached_property
    def _saturation(self) -> SaturationMonitor:
        with undisturbed(), torch.no_grad():
            return SaturationMonitor(self.problem)

    def _baselines(self) -> dict[str, float]:
        with undisturbed():
            return {
                name: self._measure(
                    float(self._utility(rule.decide(self.problem, self.contexts, rule_generator(self.seed))).mean())
                )
                for name, rule in applicable_rules(self.problem).items()
                if name != "reference"
            }


def measure_of(evaluation: Mapping[str, Any]) -> str:
    """The number of an evaluation that says how good a policy is: the first of `MEASURES` that it has."""
    return next(name for name in MEASURES if evaluation.get(name) is not None)


def rule_generator(seed: int) -> torch.Generator:
    """The random numbers of rules: another stream than the one that draws the contexts with this seed.

    From the same stream, a random decision would be made of the very numbers that its context is made of.
    """
    return generator(seed ^ RULE_STREAM)


def evaluate(decide: Decide, problem: Problem, *, contexts: int = CONTEXTS, seed: int = SEED) -> dict[str, Any]:
    """Score decisions on fresh contexts; see `Evaluation` for what is returned.

    Example:
        >>> equal = lambda contexts: torch.ones_like(contexts)
        >>> evaluate(equal, make_problem("power-allocation"))["optimality_percent"]  # doctest: +SKIP
        84.0

    Raises:
        InvalidValueError: as `Evaluation`.
    """
    return Evaluation(problem, contexts, seed)(decide)

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import Box, Integer, OneHot, PowerAllocation, Problem, Product, make_problem
from netdiffuse.problems.blind import BLIND_CONTEXTS, BLIND_SEED, best_blind_decision, mean_utility
from netdiffuse.problems.feasible import FeasibleSet


def blind_percent(problem: Problem) -> float:
    """Mean utility of the blind decision as a percentage of the reference's, on contexts it has not seen."""
    contexts = problem.sample_contexts(20_000, generator(1))
    reference = problem.reference(contexts)
    assert reference is not None
    blind = problem.blind_reference().expand_as(reference)
    return 100 * float(problem.utility(contexts, blind).mean() / problem.utility(contexts, reference).mean())


@pytest.mark.parametrize(
    ("name", "percent", "tolerance"),
    [
        ("power-allocation", 84.65, 0.15),
        ("power-allocation-gdmopt", 98.97, 0.02),
        ("power-allocation-deep-fade", 99.999, 0.001),
        ("power-allocation-permuted", 67.1, 0.05),
        ("interference-channel", 52.0, 1.0),
    ],
)
def test_blind_decisions_are_worth_what_is_known(name: str, percent: float, tolerance: float) -> None:
    assert blind_percent(make_problem(name)) == pytest.approx(percent, abs=tolerance)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"total_power": 3.0, "gains": "uniform:1,0:2,1"},
        # a sparse optimum: the worst channels get nothing
        {"channels": 5, "total_power": 0.5, "gains": "uniform:0.1,0.5,1,1.5,2:0.2,1,2,2.5,3"},
    ],
)
@pytest.mark.parametrize("differentiable", [True, False])
def test_equals_scipys_optimum_on_the_same_sample(arguments: dict[str, Any], differentiable: bool) -> None:
    problem = PowerAllocation(**arguments)
    problem.differentiable = differentiable
    sample = problem.sample_contexts(BLIND_CONTEXTS, generator(BLIND_SEED))
    gains, n = sample.double().numpy(), problem.channels

    def loss(x):
        snr = gains * x
        return -np.log2(1 + snr).sum(1).mean(), -(gains / (1 + snr)).mean(0) / np.log(2)

    best = minimize(
        loss,
        np.full(n, problem.total_power / n),
        jac=True,
        method="SLSQP",
        bounds=[(0, None)] * n,
        constraints={"type": "eq", "fun": lambda x: x.sum() - problem.total_power},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    found = best_blind_decision(problem)
    assert problem.feasible.contains(found)
    ours = float(mean_utility(problem, sample, found.unsqueeze(0)))
    assert ours == pytest.approx(-best.fun, rel=1e-4)


class Track(Problem):
    """Utility minus the squared distance between the decision and the context plus a target."""

    def __init__(self, feasible: FeasibleSet, target: list[float], differentiable: bool) -> None:
        self.feasible = feasible
        self.target = torch.tensor(target)
        self.context_shape = (len(target),)
        self.differentiable = differentiable

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(n, *self.context_shape, generator=generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        return -(decisions - self.target - contexts).square().sum(-1)


@pytest.mark.parametrize("differentiable", [True, False])
@pytest.mark.parametrize(
    ("feasible", "target", "best", "tolerance"),
    [
        (Box(-1.0, 3.0, (3,)), [0.0, 2.5, 9.0], [0.0, 2.5, 3.0], 0.02),
        (OneHot(4), [0.1, 0.2, 0.9, 0.3], [0.0, 0.0, 1.0, 0.0], 1e-6),
        (Integer(0, 9, (2,)), [3.2, 7.8], [3.0, 8.0], 1e-6),
    ],
    ids=["box", "one-hot", "integer"],
)
def test_any_feasible_set(
    feasible: FeasibleSet, target: list[float], best: list[float], tolerance: float, differentiable: bool
) -> None:
    found = best_blind_decision(Track(feasible, target, differentiable))
    torch.testing.assert_close(found, torch.tensor(best), atol=tolerance, rtol=0)


class Rim(Track):
    """An infinite slope on the rim of the set, and no utility beyond a line."""

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        total = decisions.sum(-1) + 0 * contexts.sum(-1)
        return torch.where(total > 1.5, torch.nan, decisions.clamp(min=0).sqrt().sum(-1) + 0 * total)


class Table(Problem):
    """Two choices whose values depend on both of them."""

    context_shape = (1,)

    def __init__(self, seed: int, differentiable: bool) -> None:
        self.feasible = Product(row=OneHot(8), column=OneHot(8))
        self.values = torch.rand(8, 8, generator=torch.Generator().manual_seed(seed))
        self.differentiable = differentiable

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 1, generator=generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        row, column = decisions.split(8, -1)
        return ((row @ self.values) * column).sum(-1) + 0 * contexts.sum(-1)


@pytest.mark.parametrize("differentiable", [True, False])
def test_every_combination_of_choices_is_tried(differentiable: bool) -> None:
    for seed in range(5):
        problem = Table(seed, differentiable)
        row, column = best_blind_decision(problem, contexts=64).split(8)
        assert problem.values[int(row.argmax()), int(column.argmax())] == problem.values.max()


def test_infinite_slopes_and_undefined_utilities_are_survived() -> None:
    found = best_blind_decision(Rim(Box(0.0, 1.0, (2,)), [0.0, 0.0], True))
    assert torch.isfinite(found).all()
    assert 0.9 < float(found.sum()) <= 1.5


def test_repeats_exactly_and_leaves_global_randomness_alone() -> None:
    problem = PowerAllocation(channels=3, total_power=1.0)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = best_blind_decision(problem, contexts=256)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(best_blind_decision(problem, contexts=256), first)
    assert not torch.equal(best_blind_decision(problem, contexts=256, seed=1), first)


def test_refuses_an_empty_sample() -> None:
    with pytest.raises(InvalidValueError, match="contexts must be an integer of at least 1, got 0"):
        best_blind_decision(PowerAllocation(channels=2), contexts=0)

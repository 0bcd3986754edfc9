import random

import numpy as np
import pytest
import torch

from netdiffuse.baselines import RULES
from netdiffuse.common import InvalidValueError, UnreachableDecisionError
from netdiffuse.common.seeding import generator
from netdiffuse.experiments import Evaluation, evaluate
from netdiffuse.experiments.evaluation import SEED, measure_of
from netdiffuse.experiments.monitor import Report
from netdiffuse.experiments.progress import describe
from netdiffuse.problems import make_problem

from .toys import Target

KEYS = [
    "contexts",
    "utility_mean",
    "reference_mean",
    "blind_mean",
    "optimality_percent",
    "gap_closed_percent",
    "regret_mean",
    "saturation_percent",
    "baselines",
]


def test_numbers_follow_from_their_definitions():
    problem = Target()
    found = evaluate(lambda c: c / 2, problem, contexts=4000, seed=3)
    contexts = problem.sample_contexts(4000, generator(3))
    utility = float((1 - (contexts / 2).square()).mean())
    blind = float((1 - (problem.blind_reference() - contexts).square()).mean())
    assert list(found) == KEYS
    assert found["contexts"] == 4000
    assert found["utility_mean"] == pytest.approx(utility, rel=1e-6)
    assert found["optimality_percent"] == pytest.approx(100 * utility, rel=1e-6)
    assert found["gap_closed_percent"] == pytest.approx(100 * (utility - blind) / (1 - blind), rel=1e-5)
    assert found["regret_mean"] == pytest.approx(1 - utility, rel=1e-5)
    assert found["blind_mean"] == pytest.approx(2 / 3, abs=0.02)  # variance of U(-1, 1) is 1/3


def test_reference_is_the_measure_of_all_things():
    problem = make_problem("power-allocation")
    found = evaluate(problem.reference, problem, contexts=500)
    assert found["optimality_percent"] == pytest.approx(100)
    assert found["gap_closed_percent"] == pytest.approx(100)
    assert found["saturation_percent"] == pytest.approx(0, abs=1)  # its normal share is of other contexts
    assert {"equal", "random", "blind", "best-single"} == set(found["baselines"])
    assert found["baselines"]["blind"] == pytest.approx(100 * found["blind_mean"] / found["reference_mean"], rel=1e-6)


def test_saturation_is_measured_beyond_the_references():
    problem = Target()
    found = evaluate(lambda c: torch.sign(c), problem, contexts=2000)
    # every coordinate of this policy is at a bound; 1% of the reference's coordinates are
    assert found["saturation_percent"] == pytest.approx(99, abs=1)


def test_saturation_is_known_where_a_reference_is_out_of_reach():
    problem = make_problem("power-allocation", scale=2.0)
    with pytest.raises(UnreachableDecisionError):
        problem.feasible.encode(problem.reference(problem.sample_contexts(500, generator(0))))
    assert evaluate(problem.reference, problem, contexts=500)["saturation_percent"] == pytest.approx(0, abs=1)


def test_below_zero_better_decisions_are_not_ranked_lower():
    class Cost(Target):
        def utility(self, contexts, decisions):
            return super().utility(contexts, decisions) - 3

    found = evaluate(lambda c: c / 2, Cost(), contexts=2000)
    assert found["reference_mean"] == pytest.approx(-2)
    assert found["optimality_percent"] is None
    assert found["gap_closed_percent"] == pytest.approx(75, abs=1)
    assert measure_of(found) == "gap_closed_percent"
    assert found["baselines"]["random"] < found["baselines"]["blind"] == pytest.approx(0, abs=1e-3)
    report = Report(0.5, 1.0, None, 10, 10.0, found, fresh=True)
    assert describe(report).startswith("gap closed 75")
    blind_reference = Cost()
    blind_reference.reference = lambda c: torch.zeros_like(c) + blind_reference.blind_reference()
    found = evaluate(lambda c: c, blind_reference, contexts=100)
    assert (found["gap_closed_percent"], measure_of(found)) == (None, "utility_mean")


def test_what_is_unknown_is_none():
    found = evaluate(lambda c: c, Target(known=False), contexts=100)
    assert found["reference_mean"] is None
    assert found["optimality_percent"] is None
    assert found["gap_closed_percent"] is None
    assert found["regret_mean"] is None
    assert found["baselines"]["random"] == pytest.approx(1 - 2 / 3, abs=0.2)  # mean utilities
    assert found["utility_mean"] == pytest.approx(1)


@pytest.mark.parametrize("seed", [SEED, 3, 2**32 - 1])
def test_random_decisions_do_not_know_their_contexts(seed):
    problem = make_problem("power-allocation-gdmopt")
    contexts = problem.sample_contexts(20_000, generator(1))
    powers = RULES["random"].decide(problem, contexts, generator(99))
    best = problem.utility(contexts, problem.reference(contexts)).mean()
    expected = 100 * float(problem.utility(contexts, powers).mean() / best)
    found = Evaluation(problem, 4000, seed)(problem.reference)["baselines"]["random"]
    assert found == pytest.approx(expected, abs=1.5)  # with the contexts' own random numbers: 85


def test_same_seed_same_numbers_and_another_seed_others():
    problem = make_problem("power-allocation")
    equal = lambda c: torch.ones_like(c)  # noqa: E731
    first = evaluate(equal, problem, contexts=200, seed=1)
    assert evaluate(equal, problem, contexts=200, seed=1) == first
    assert evaluate(equal, problem, contexts=200, seed=2)["utility_mean"] != first["utility_mean"]


def test_evaluation_leaves_the_global_random_states_alone():
    def noisy(contexts):
        return torch.rand_like(contexts)

    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = (torch.rand(1).item(), np.random.rand(), random.random())
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    Evaluation(Target(), 50)(noisy)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_useless_evaluations_are_refused():
    for contexts in (0, 10**12):
        with pytest.raises(InvalidValueError, match="contexts"):
            evaluate(lambda c: c, Target(), contexts=contexts)
    for seed in (-1, 2**32, 2**70):
        with pytest.raises(InvalidValueError, match="seed"):
            evaluate(lambda c: c, Target(), contexts=10, seed=seed)
    with pytest.raises(InvalidValueError, match="Target is nan"):
        evaluate(lambda c: c * float("nan"), Target(), contexts=10)
    with pytest.raises(InvalidValueError, match="no reference"):
        Evaluation(Target(known=False), 10).regrets(lambda c: c)

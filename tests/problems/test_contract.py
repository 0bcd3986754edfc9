"""A problem that breaks its contract is refused by the name of its class and method."""

import pytest
import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.problems import PRESETS, Problem, make_problem
from netdiffuse.problems.contract import check_contract
from netdiffuse.problems.feasible import Box


class Good(Problem):
    def __init__(self):
        self.context_shape = (2,)
        self.feasible = Box(0.0, 1.0, (2,))

    def sample_contexts(self, n, generator):
        return torch.rand(n, 2, generator=generator)

    def utility(self, contexts, decisions):
        return -(contexts - decisions).square().sum(-1)

    def reference(self, contexts):
        return contexts


class Mine(Good):
    pass


def broken(**changes):
    """A `Good` with other attributes or methods."""
    problem = Mine()
    vars(problem).update(changes)
    return problem


def without(name):
    problem = Mine()
    delattr(problem, name)
    return problem


def sample_contexts(function):
    return broken(sample_contexts=function)


def utility(function):
    return broken(utility=function)


def reference(function):
    return broken(reference=function)


def test_good_problems_pass():
    check_contract(Good())
    check_contract(reference(lambda c: None))
    flat = utility(lambda c, d: (c - d).detach().sum(-1))
    flat.differentiable = False
    check_contract(flat)
    for name in PRESETS:
        check_contract(make_problem(name))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (without("context_shape"), r"Mine\.context_shape must be a tuple of sizes .* got None"),
        (broken(context_shape=2), r"Mine\.context_shape must be a tuple"),
        (broken(context_shape=[2]), r"Mine\.context_shape must be a tuple"),
        (broken(context_shape=(0,)), r"Mine\.context_shape must be a tuple"),
        (without("feasible"), r"Mine\.feasible must be a FeasibleSet"),
        (broken(feasible=(0, 1)), r"Mine\.feasible must be a FeasibleSet"),
        (broken(structure="pairs"), r"Mine\.context_shape must be \(n, n\) .* for pairs, got \(2,\)"),
        (sample_contexts(lambda n, g: torch.rand(n, 3)), r"sample_contexts\(7, ...\) must return .*\(7, 2\)"),
        (sample_contexts(lambda n, g: torch.rand(n, 2).double()), "must return float32, got torch.float64"),
        (sample_contexts(lambda n, g: torch.rand(n, 2).numpy()), "must return a tensor .* got ndarray"),
        (sample_contexts(lambda n, g: torch.rand(n, 2) / 0), "returned a context that is not allowed: row 0"),
        (utility(lambda c, d: d[:, :1]), r"Mine\.utility must return .* shape \(7,\), got .* \(7, 1\)"),
        (utility(lambda c, d: d), r"Mine\.utility must return .* \(7, 2\)"),
        (utility(lambda c, d: d.sum()), r"Mine\.utility must return .* \(\)"),
        (utility(lambda c, d: 1.0), r"Mine\.utility must return a tensor .* got float"),
        (utility(lambda c, d: (-d).log().sum(-1)), r"Mine\.utility must be finite .* got nan for the decision"),
        (utility(lambda c, d: (c - d.detach()).sum(-1)), "set differentiable = False"),
        (reference(lambda c: c[:, :1]), r"Mine\.reference must return .* shape \(7, 2\), got .* \(7, 1\)"),
        (reference(lambda c: c + 3), r"Mine\.reference must be in Box"),
    ],
)
def test_broken_problems_are_refused_by_name(problem, message):
    with pytest.raises(InvalidValueError, match=message):
        check_contract(problem)


def test_errors_in_a_users_method_are_theirs_to_see():
    with pytest.raises(ZeroDivisionError):
        check_contract(utility(lambda c, d: 1 / 0))

import math

import pytest
import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import InterferenceChannel, make_problem
from netdiffuse.problems.on_off import best_single_link, exhaustive_on_off


def test_utility_of_two_links_by_hand() -> None:
    problem = InterferenceChannel(links=2, noise_power=0.5)
    gains = torch.tensor([[[1.0, 0.5], [0.25, 2.0]]])  # row: receiver, column: transmitter
    utility = problem.utility(gains, torch.tensor([[1.0, 0.5]]))
    assert float(utility) == pytest.approx(math.log2(1 + 1 / 0.75) + math.log2(1 + 1 / 0.75))
    assert float(problem.utility(gains, torch.zeros(1, 2))) == 0


def test_rules_are_worth_what_is_known_of_wmmse() -> None:
    problem = make_problem("interference-channel")
    gains = problem.sample_contexts(4000, generator(0))
    reference = problem.utility(gains, problem.reference(gains)).mean()

    def percent(powers: torch.Tensor) -> float:
        return 100 * float(problem.utility(gains, powers.expand(4000, 10)).mean() / reference)

    # means over 10,000 contexts: 28.5, 52.1, 86.5 and 105.3, with standard errors of some 0.3
    assert percent(torch.ones(10)) == pytest.approx(28.5, abs=0.5)
    assert percent(torch.eye(10)[0]) == pytest.approx(52.0, abs=1.5)
    assert percent(best_single_link(gains, 1.0)) == pytest.approx(86.5, abs=1.0)
    assert percent(exhaustive_on_off(gains, 0.1, 1.0)) == pytest.approx(105.2, abs=0.5)


def test_more_starts_never_hurt_and_a_context_does_not_depend_on_its_batch() -> None:
    gains = InterferenceChannel(links=6).sample_contexts(200, generator(0))
    utilities = []
    for starts in (1, 2, 5):
        problem = InterferenceChannel(links=6, starts=starts)
        powers = problem.reference(gains)
        assert problem.feasible.contains(powers).all()
        torch.testing.assert_close(problem.reference(gains[50:60]), powers[50:60])
        utilities.append(problem.utility(gains, powers))
    assert (utilities[1] >= utilities[0]).all()
    assert (utilities[2] >= utilities[1]).all()
    assert utilities[2].mean() > 1.005 * utilities[0].mean()


def test_contexts_are_exponential_with_their_mean() -> None:
    gains = InterferenceChannel(links=3, mean_gain=2.0).sample_contexts(5000, generator(0))
    assert gains.shape == (5000, 3, 3)
    assert float(gains.mean()) == pytest.approx(2.0, rel=0.03)
    assert float(gains.std()) == pytest.approx(2.0, rel=0.05)


def test_references_are_reachable() -> None:
    problem = InterferenceChannel(links=4, max_power=0.7)
    powers = problem.reference(problem.sample_contexts(500, generator(0)))
    torch.testing.assert_close(problem.feasible.decode(problem.feasible.encode(powers)), powers, atol=1e-6, rtol=0)


def test_names() -> None:
    problem = InterferenceChannel(links=2)
    assert problem.context_names == ["gain_0_0", "gain_0_1", "gain_1_0", "gain_1_1"]
    assert problem.decision_names == ["power_0", "power_1"]
    assert problem.structure == "pairs"


def test_bad_gains_are_named() -> None:
    contexts = torch.ones(2, 2, 2)
    contexts[1, 0, 1] = -1
    with pytest.raises(InvalidValueError, match=r"row 1, gain_0_1 must be a non-negative gain, got -1.0"):
        InterferenceChannel(links=2).check_contexts(contexts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"links": 0}, "links must be an integer of at least 1"),
        ({"noise_power": 0.0}, "noise_power must be positive"),
        ({"max_power": -1.0}, "max_power must be positive"),
        ({"mean_gain": 0.0}, "mean_gain must be positive"),
        ({"iterations": 0}, "iterations must be an integer of at least 1"),
        ({"starts": 1.5}, "starts must be an integer"),
    ],
)
def test_refuses_impossible_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        InterferenceChannel(**arguments)

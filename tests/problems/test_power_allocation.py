import math

import pytest
import torch

from netdiffuse.channels import Nakagami, Rayleigh
from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import PowerAllocation, Simplex, make_problem

PRESETS = [
    "power-allocation",
    "power-allocation-gdmopt",
    "power-allocation-deep-fade",
    "power-allocation-permuted",
]
# M and P other than the presets', and gains in link-budget units
OTHERS = [
    {"gains": "nakagami:2"},
    {"gains": "uniform:0.5:1.5", "channels": 4},
    {"total_power": 0.1},
    {"gains": "log-distance", "total_power": 1.0, "noise_power": 1e-13},
]


def test_utility_is_the_sum_of_the_channels_rates() -> None:
    problem = PowerAllocation(channels=3, total_power=6.0, noise_power=0.5)
    utility = problem.utility(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[1.5, 3.5, 1.0]]))
    assert float(utility) == pytest.approx(math.log2(4) + math.log2(15))


def test_utility_has_the_analytic_gradient() -> None:
    problem = PowerAllocation(channels=3, total_power=6.0, noise_power=0.5)
    gains = torch.rand(4, 3, dtype=torch.float64, generator=generator(0))
    powers = torch.rand(4, 3, dtype=torch.float64, generator=generator(1)).requires_grad_()
    problem.utility(gains, powers).sum().backward()
    torch.testing.assert_close(powers.grad, gains / (0.5 + gains * powers.detach()) / math.log(2))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_as_published(name: str) -> None:
    problem = make_problem(name)
    gains = problem.sample_contexts(2000, generator(0))
    assert gains.shape == (2000, problem.channels)
    assert gains.dtype == torch.float32
    assert problem.noise_power == 1
    if name == "power-allocation":
        assert (problem.channels, problem.total_power) == (10, 10)
        assert float(gains.mean()) == pytest.approx(1, abs=0.03)
        return
    half = problem.channels // 2
    ranges = {"power-allocation-gdmopt": (10, 3, 1, 2, 0, 1)}.get(name, (100, 12, 13, 14, 0, 0.1))
    assert (problem.channels, problem.total_power) == ranges[:2]
    if name == "power-allocation-permuted":
        assert (gains[:, :half] < 1).any()
        gains = gains.sort(1, descending=True).values
    for part, low, high in ((gains[:, :half], *ranges[2:4]), (gains[:, half:], *ranges[4:])):
        assert float(part.min()) == pytest.approx(low, abs=0.01)
        assert float(part.max()) == pytest.approx(high, abs=0.01)


def test_permuted_preset_keeps_half_of_the_channels_good_at_other_sizes() -> None:
    problem = make_problem("power-allocation-permuted", channels=20, total_power=2.4)
    gains = problem.sample_contexts(100, generator(0))
    assert ((gains > 1).sum(1) == 10).all()
    assert (problem.reference(gains).sum(1) - 2.4).abs().max() < 1e-5


def test_scales_are_as_documented() -> None:
    assert [make_problem(name).scale for name in PRESETS] == [3.0, 2.0, 1.5, 1.5]


@pytest.mark.parametrize("problem", [*PRESETS, *OTHERS], ids=str)
def test_the_default_scale_loses_under_a_hundredth_of_a_percent(problem) -> None:
    made = make_problem(problem) if isinstance(problem, str) else PowerAllocation(**problem)
    gains = made.sample_contexts(20_000, generator(77))
    reference = made.reference(gains)
    spread = (reference.amax(1) - reference.amin(1)) * made.channels / made.total_power
    reachable = spread <= 2 * made.scale
    assert reachable.float().mean() > 0.999

    actions = made.feasible.encode(reference[reachable])
    assert actions.abs().max() <= 1
    error = (made.feasible.decode(actions) - reference[reachable]).abs().max()
    assert error < 1e-4 * made.total_power

    # the rest: encode in the set with every decision, cut off at the bounds of this one
    every = Simplex(made.channels, made.total_power, max(1.0, made.channels / 2))
    wide = every.encode(reference[~reachable]) * every.scale
    nearest = made.feasible.decode((wide - (wide.amax(1, keepdim=True) - made.scale)) / made.scale)
    lost = (made.utility(gains, reference)[~reachable] - made.utility(gains[~reachable], nearest)).sum()
    assert lost < 1e-4 * made.utility(gains, reference).sum()


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_feasible_beats_the_reference(name: str) -> None:
    problem = make_problem(name)
    gains = problem.sample_contexts(500, generator(0))
    best = problem.utility(gains, problem.reference(gains))
    assert problem.feasible.contains(problem.reference(gains)).all()
    for seed in range(5):
        actions = 2 * torch.rand(500, problem.feasible.action_size, generator=generator(seed)) - 1
        assert (problem.utility(gains, problem.feasible.decode(actions)) <= best + 1e-4).all()


def test_equal_split_is_worth_what_is_known() -> None:
    # of the optimum, the mean over contexts of the ratio: 84.1% in Rayleigh fading, 67.1% where half is dead
    for name, percent in (("power-allocation", 84.1), ("power-allocation-permuted", 67.1)):
        problem = make_problem(name)
        gains = problem.sample_contexts(20_000, generator(1))
        equal = torch.full_like(gains, problem.total_power / problem.channels)
        ratio = problem.utility(gains, equal) / problem.utility(gains, problem.reference(gains))
        assert 100 * float(ratio.mean()) == pytest.approx(percent, abs=0.15)


def test_names_and_units() -> None:
    problem = PowerAllocation(channels=2)
    assert problem.context_names == ["gain_0", "gain_1"]
    assert problem.decision_names == ["power_0", "power_1"]
    assert (problem.structure, problem.utility_unit) == ("entities", "bit/s/Hz")


def test_gains_may_be_a_model_a_text_or_a_dictionary() -> None:
    for gains in (Nakagami(2.0), "nakagami:2", {"model": "nakagami", "m": 2.0}):
        assert PowerAllocation(channels=2, gains=gains).gains == Nakagami(2.0)
    assert PowerAllocation(channels=2).gains == Rayleigh()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.5, r"row 1, gain_2 must be a non-negative gain, got -0.5"),
        (float("nan"), r"row 1, gain_2 must be finite, got nan"),
        (float("inf"), r"row 1, gain_2 must be finite, got inf"),
    ],
)
def test_bad_gains_are_named(value: float, message: str) -> None:
    problem = PowerAllocation(channels=3)
    contexts = torch.ones(2, 3)
    assert problem.check_contexts(contexts) is contexts
    contexts[1, 2] = value
    with pytest.raises(InvalidValueError, match=message):
        problem.check_contexts(contexts)
    with pytest.raises(InvalidValueError, match=r"shape \(n, 3\)"):
        problem.check_contexts(torch.ones(2, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be an integer of at least 1, got 0"),
        ({"channels": 2.5}, "channels must be an integer"),
        ({"total_power": 0.0}, "total_power must be positive"),
        ({"noise_power": -1.0}, "noise_power must be positive"),
        ({"scale": float("nan")}, "scale must be finite"),
        ({"gains": 7}, "gains must be a gain model"),
        ({"channels": 1, "gains": "uniform:1,0:2,1"}, "2 ranges of gains are more than the 1 channels"),
    ],
)
def test_refuses_impossible_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        PowerAllocation(**arguments)


def test_unknown_gain_model() -> None:
    with pytest.raises(UnknownNameError, match="unknown gain model 'rician'"):
        PowerAllocation(gains="rician")

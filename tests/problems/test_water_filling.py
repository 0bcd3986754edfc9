import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from netdiffuse.common.seeding import generator
from netdiffuse.problems.water_filling import water_filling


def assert_kkt(gains: torch.Tensor, powers: torch.Tensor, total_power: float, noise_power: float) -> None:
    """Karush-Kuhn-Tucker: feasible; used channels share one marginal rate, idle ones have a lower one."""
    assert (powers >= 0).all()
    assert ((powers.sum(-1) - total_power).abs() <= 1e-9 * total_power).all()
    level = powers + noise_power / gains  # the inverse of the marginal rate
    used = powers > 0
    water = torch.where(used, level, 0).amax(-1, keepdim=True)
    slack = 1e-9 * water
    assert ((level - water).abs() <= slack)[used].all()
    assert (level >= water - slack)[~used].all()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(
        st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.sampled_from([1e-12, 0.5, 1.0])),
        min_size=1,
        max_size=12,
    ).filter(any),
    st.floats(1e-3, 1e3),
    st.floats(1e-6, 10.0),
)
def test_the_optimality_conditions_hold(gains: list[float], total_power: float, noise_power: float) -> None:
    g = torch.tensor([gains], dtype=torch.float64)
    assert_kkt(g, water_filling(g, total_power, noise_power), total_power, noise_power)


@pytest.mark.parametrize(("total_power", "noise_power"), [(0.3, 1.0), (10.0, 1.0), (3.0, 0.01)])
def test_equals_scipys_constrained_optimum(total_power: float, noise_power: float) -> None:
    gains = torch.empty(5, 6).exponential_(generator=generator(0))
    ours = water_filling(gains, total_power, noise_power)
    for g, p in zip(gains.double().numpy(), ours.double().numpy(), strict=True):

        def loss(x, g=g):
            return -np.log2(1 + g * x / noise_power).sum(), -g / (noise_power + g * x) / np.log(2)

        scipys = minimize(
            loss,
            np.full(6, total_power / 6),
            jac=True,
            method="SLSQP",
            bounds=[(0, None)] * 6,
            constraints={"type": "eq", "fun": lambda x: x.sum() - total_power},
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert scipys.success
        assert loss(p)[0] <= scipys.fun + 1e-6
        np.testing.assert_allclose(p, scipys.x, atol=2e-3 * total_power)


def test_hand_made_cases() -> None:
    # floors 1, 2 and 10: the level (5 + 1 + 2) / 2 = 4 leaves the third dry
    gains = torch.tensor([[1.0, 0.5, 0.1]])
    torch.testing.assert_close(water_filling(gains, 5.0, 1.0), torch.tensor([[3.0, 2.0, 0.0]]))
    torch.testing.assert_close(water_filling(torch.tensor([[7.0]]), 2.0, 1.0), torch.tensor([[2.0]]))


def test_without_gain_anywhere_it_splits_equally_and_without_gain_somewhere_it_leaves_that_dry() -> None:
    powers = water_filling(torch.tensor([[0.0, 0.0], [0.0, 1e-30]]), 4.0, 1.0)
    assert powers.tolist() == [[2.0, 2.0], [0.0, 4.0]]


def test_tiny_gains_keep_their_digits() -> None:
    # a link budget in watts: gains of 1e-11, noise of 1e-14
    gains = torch.tensor([[1e-11, 2e-11, 5e-12]], dtype=torch.float64)
    assert_kkt(gains, water_filling(gains, 1e-3, 1e-14), 1e-3, 1e-14)
    equal = water_filling(torch.full((1, 4), 1e-20), 1.0, 1.0)
    torch.testing.assert_close(equal, torch.full((1, 4), 0.25))


def test_keeps_dtype_and_any_batch_shape() -> None:
    gains = torch.rand(2, 3, 4, generator=generator(0))
    powers = water_filling(gains, 1.0, 1.0)
    assert powers.dtype == torch.float32
    assert powers.shape == gains.shape
    torch.testing.assert_close(powers[1, 2], water_filling(gains[1, 2], 1.0, 1.0))
    assert water_filling(torch.empty(0, 4), 1.0, 1.0).shape == (0, 4)

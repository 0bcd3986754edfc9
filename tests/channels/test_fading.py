import numpy as np
import pytest
import torch
from scipy import stats

from netdiffuse.channels import nakagami_power_gain, rayleigh_power_gain, shadowing_db
from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator


def test_rayleigh_gains_are_exponential() -> None:
    gains = rayleigh_power_gain(2.0, (20_000,), generator(0))
    assert gains.dtype == torch.float32
    assert stats.kstest(gains.numpy(), stats.expon(scale=2.0).cdf).pvalue > 0.01


@pytest.mark.parametrize("m", [0.5, 1.0, 2.0, 7.5])
def test_nakagami_amplitudes_follow_scipys_distribution(m: float) -> None:
    gains = nakagami_power_gain(m, 3.0, (20_000,), generator(1))
    assert gains.dtype == torch.float32
    assert stats.kstest(np.sqrt(gains.numpy()), stats.nakagami(m, scale=3.0**0.5).cdf).pvalue > 0.01


def test_shadowing_is_normal_in_db() -> None:
    loss_db = shadowing_db(7.8, (100, 200), generator(2))
    assert loss_db.shape == (100, 200)
    assert stats.kstest(loss_db.flatten().numpy(), stats.norm(scale=7.8).cdf).pvalue > 0.01
    assert not shadowing_db(0.0, (5,), generator(2)).any()


def test_draws_depend_on_their_generator_alone() -> None:
    for draw in (
        lambda g: rayleigh_power_gain(1.0, (8,), g),
        lambda g: nakagami_power_gain(2.0, 1.0, (8,), g),
        lambda g: shadowing_db(4.0, (8,), g),
    ):
        torch.manual_seed(0)
        random = generator(5)
        first, second = draw(random), draw(random)
        torch.manual_seed(1)
        np.random.seed(1)
        assert torch.equal(draw(generator(5)), first)
        assert not torch.equal(first, second)


def test_refuses_impossible_arguments() -> None:
    with pytest.raises(InvalidValueError, match="mean_gain must be positive, got 0"):
        rayleigh_power_gain(0, (1,), generator(0))
    with pytest.raises(InvalidValueError, match=r"m must be at least 0.5"):
        nakagami_power_gain(0.4, 1.0, (1,), generator(0))
    with pytest.raises(InvalidValueError, match="standard_deviation_db"):
        shadowing_db(-1.0, (1,), generator(0))

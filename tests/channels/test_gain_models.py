import numpy as np
import pytest
import torch
from scipy import stats

from netdiffuse.channels import (
    GainModel,
    LogDistance,
    Nakagami,
    Permuted,
    Rayleigh,
    Uniform,
    db_to_linear,
    log_distance_path_loss_db,
)
from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator

MODELS = [
    Uniform(0.5, 1.5),
    Uniform((1, 0), (2, 1)),
    Rayleigh(2.0),
    Nakagami(3.0),
    LogDistance(),
    LogDistance(rayleigh_fading=False, shadowing_db=0.0),
    Permuted(Uniform((13, 0), (14, 0.1))),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_draws_finite_gains_from_its_generator_alone(model: GainModel) -> None:
    gains = model.sample(50, 6, generator(3))
    assert gains.shape == (50, 6)
    assert gains.dtype == torch.float32
    assert (gains >= 0).all()
    assert torch.isfinite(gains).all()
    torch.manual_seed(9)
    assert torch.equal(model.sample(50, 6, generator(3)), gains)
    assert model.sample(0, 6, generator(3)).shape == (0, 6)


def test_uniform_ranges_go_to_groups_of_channels() -> None:
    gains = Uniform((1, 0), (2, 1)).sample(2000, 5, generator(0))
    assert stats.kstest(gains[:, :3].flatten().numpy(), stats.uniform(1, 1).cdf).pvalue > 0.01
    assert stats.kstest(gains[:, 3:].flatten().numpy(), stats.uniform(0, 1).cdf).pvalue > 0.01


def test_uniform_takes_a_range_for_each_channel() -> None:
    gains = Uniform(np.array([0.0, 1.0, 2.0]), 3.0).sample(500, 3, generator(0))
    assert (gains.amin(0) >= torch.tensor([0.0, 1.0, 2.0])).all()
    assert (gains <= 3).all()


def test_log_distance_users_are_uniform_over_the_annulus() -> None:
    model = LogDistance(10.0, 100.0, exponent=3.0, reference_loss_db=40.0, shadowing_db=0.0, rayleigh_fading=False)
    gains = model.sample(5000, 2, generator(0)).double()
    distance_m = 10 ** ((-10 * gains.log10() - 40) / 30)  # the model inverted
    area = (distance_m.flatten() ** 2 - 100) / (100**2 - 100)
    assert stats.kstest(area.numpy(), "uniform").pvalue > 0.01


def test_log_distance_spread_adds_shadowing_and_fading() -> None:
    ring = {"min_distance_m": 50.0, "max_distance_m": 50.0}
    loss_db = log_distance_path_loss_db(50.0, 3.0, 43.3)
    still = LogDistance(**ring, shadowing_db=0.0, rayleigh_fading=False).sample(1, 1, generator(0))
    assert float(still) == pytest.approx(db_to_linear(-loss_db), rel=1e-5)
    shadowed = LogDistance(**ring, rayleigh_fading=False).sample(1, 20_000, generator(0))
    assert float((10 * shadowed.log10()).std()) == pytest.approx(7.8, rel=0.03)
    faded = LogDistance(**ring, shadowing_db=0.0).sample(1, 20_000, generator(0))
    assert float(faded.mean()) == pytest.approx(db_to_linear(-loss_db), rel=0.03)


def test_permuted_shuffles_each_row_on_its_own() -> None:
    gains = Permuted(Uniform((13, 0), (14, 0.1))).sample(4000, 10, generator(0))
    good = gains > 1
    assert (good.sum(1) == 5).all()
    assert len(good.unique(dim=0)) > 200  # of the 252 ways to choose 5 of 10
    np.testing.assert_allclose(good.double().mean(0), 0.5, atol=0.04)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(-1, 1), "low must be non-negative, got -1"),
        (lambda: Uniform(2, 1), "low must not exceed high, got 2.0 above 1.0"),
        (lambda: Uniform((0, 1), (1, 2, 3)), "equal lengths"),
        (lambda: Uniform((), ()), "non-empty"),
        (lambda: Uniform("a", 1), "low must be a number"),
        (
            lambda: Uniform((0, 0, 0), 1).sample(1, 2, generator(0)),
            "3 ranges of gains are more than the 2 channels",
        ),
        (lambda: Rayleigh(0), "mean_gain must be positive"),
        (lambda: Nakagami(0.1), "m must be at least"),
        (lambda: Nakagami(1, mean_gain=-2), "mean_gain must be positive"),
        (lambda: LogDistance(min_distance_m=0), "min_distance_m must be positive"),
        (lambda: LogDistance(min_distance_m=20, max_distance_m=10), "max_distance_m must be at least"),
        (lambda: LogDistance(shadowing_db=-1), "shadowing_db must be non-negative"),
        (lambda: LogDistance(exponent=float("nan")), "exponent must be finite"),
        (lambda: Permuted("rayleigh"), "model must be a gain model, got 'rayleigh'"),
    ],
)
def test_refuses_impossible_arguments(make, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()

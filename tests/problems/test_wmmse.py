import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from netdiffuse.common.seeding import generator
from netdiffuse.problems.on_off import sum_rate
from netdiffuse.problems.wmmse import wmmse


def wmmse_loop(gains: np.ndarray, noise: float, limit: float, iterations: int) -> np.ndarray:
    """Shi et al., Table I, link by link."""
    links = len(gains)
    v = [math.sqrt(limit)] * links
    for _ in range(iterations):
        u, w = [], []
        for i in range(links):
            total = noise + sum(gains[i][j] * v[j] ** 2 for j in range(links))
            u.append(math.sqrt(gains[i][i]) * v[i] / total)
            w.append(1 / (1 - math.sqrt(gains[i][i]) * v[i] * u[i]))
        for i in range(links):
            price = sum(w[j] * u[j] ** 2 * gains[j][i] for j in range(links))
            v[i] = min(math.sqrt(limit), w[i] * u[i] * math.sqrt(gains[i][i]) / price)
    return np.square(v)


def test_equals_the_algorithm_written_link_by_link() -> None:
    gains = torch.empty(5, 4, 4, dtype=torch.float64).exponential_(generator=generator(0))
    for iterations in (1, 2, 30):
        expected = np.stack([wmmse_loop(g, 0.1, 2.0, iterations) for g in gains.numpy()])
        np.testing.assert_allclose(wmmse(gains, 0.1, 2.0, iterations), expected, rtol=1e-7, atol=1e-10)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(1e-3, 10), st.floats(0.1, 10))
def test_no_iteration_lowers_the_sum_rate(seed: int, links: int, noise: float, limit: float) -> None:
    random = generator(seed)
    gains = torch.empty(4, links, links, dtype=torch.float64).exponential_(generator=random)
    powers = torch.rand(4, links, dtype=torch.float64, generator=random) * limit
    rate = sum_rate(gains, powers, noise)
    for _ in range(15):
        powers = wmmse(gains, noise, limit, iterations=1, start=powers)
        assert (powers >= 0).all()
        assert (powers <= limit).all()
        better = sum_rate(gains, powers, noise)
        assert (better >= rate - 1e-9).all()
        rate = better


def test_one_link_or_no_interference_means_full_power() -> None:
    assert wmmse(torch.tensor([[[0.3]]]), 0.1, 2.0).item() == pytest.approx(2.0)
    gains = torch.diag_embed(torch.rand(3, 5, generator=generator(0)) + 0.1)
    torch.testing.assert_close(wmmse(gains, 0.1, 1.0), torch.ones(3, 5), rtol=1e-4, atol=0)


def test_the_limit_is_a_stationary_point() -> None:
    gains = torch.empty(20, 3, 3, dtype=torch.float64).exponential_(generator=generator(1))
    powers = wmmse(gains, 0.5, 1.0, iterations=5_000)
    for g, p in zip(gains, powers, strict=True):
        leaf = p.clone().requires_grad_()
        sum_rate(g, leaf, 0.5).backward()
        inside = (p > 1e-3) & (p < 1 - 1e-6)
        assert (leaf.grad[inside].abs() < 1e-3).all()
        assert (leaf.grad[p >= 1 - 1e-6] > -1e-6).all()


def test_two_links_reach_a_maximum_along_each_power() -> None:
    gains = torch.tensor([[[1.0, 0.2], [0.1, 0.8]]], dtype=torch.float64)
    powers = wmmse(gains, 0.1, 1.0, iterations=2000)
    for link in range(2):

        def loss(x: float, link: int = link) -> float:
            trial = powers.clone()
            trial[0, link] = x
            return -float(sum_rate(gains, trial, 0.1))

        best = minimize_scalar(loss, bounds=(0, 1), method="bounded")
        assert -loss(float(powers[0, link])) >= -best.fun - 1e-6


def test_dead_links_stay_off_and_nothing_is_nan() -> None:
    gains = torch.rand(2, 3, 3, generator=generator(0))
    gains[:, 1, 1] = 0
    powers = wmmse(gains, 0.1, 1.0)
    assert (powers[:, 1] == 0).all()
    assert torch.isfinite(powers).all()
    assert (wmmse(torch.zeros(1, 3, 3), 0.1, 1.0) == 0).all()


def test_keeps_dtype_and_bounds_in_float32() -> None:
    powers = wmmse(torch.rand(50, 6, 6, generator=generator(0)), 0.1, 0.7)
    assert powers.dtype == torch.float32
    assert (powers <= 0.7).all()

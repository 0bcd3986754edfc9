"""Samplers against Bayes' rule, and against the one data distribution whose denoiser is known: a Gaussian."""

from functools import partial

import pytest
import torch

from netdiffuse.common import UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.diffusion import ddim, ddpm, make_schedule
from netdiffuse.diffusion.samplers import get_sampler, last

MEAN, STD = 0.6, 0.3
SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "ddim-half": partial(ddim, eta=0.5), "ddim-full": partial(ddim, eta=1.0)}


def gaussian_denoiser(schedule):
    """E[x0 | x_t] for x0 ~ N(MEAN, STD^2), by linear regression of x0 on x_t."""

    def predict(x, t):
        a = float(schedule.alpha_bar[t])
        slope = a**0.5 * STD**2 / (a * STD**2 + 1 - a)
        return MEAN + slope * (x - a**0.5 * MEAN)

    return predict


def curved(x, t):
    """Any denoiser at all."""
    return torch.tanh(1.3 * x + 0.2 * t - 0.5)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "ddim-full"])
@pytest.mark.parametrize("schedule", ["vp", "cosine", "linear"])
def test_the_analytic_denoiser_gives_back_its_gaussian(name, schedule):
    steps = make_schedule(schedule, 300)
    a = float(steps.alpha_bar[-1])
    start = a**0.5 * MEAN + (a * STD**2 + 1 - a) ** 0.5 * torch.randn(10_000, 1)
    x = last(SAMPLERS[name](gaussian_denoiser(steps), start, steps))
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.015)
    assert float(x.std()) == pytest.approx(STD, rel=0.05)  # short of it by O(1 / steps)


@pytest.mark.parametrize("t", [2, 3, 4])
def test_a_ddpm_step_is_the_posterior_of_bayes(t):
    schedule = make_schedule("cosine", 4)
    x, x0 = torch.randn(2, 7, 2)
    chain = ddpm(lambda *_: x0, x, schedule, generator(5), start=t)
    next(chain)
    found = next(chain)
    # q(y | x_t, x_0), y = x_{t-1}: prior y ~ N(sqrt(before) x_0, 1 - before), likelihood x_t ~ N(sqrt(alpha) y, beta)
    now, before = schedule.alpha_bar[t].double(), schedule.alpha_bar[t - 1].double()
    alpha, beta = now / before, 1 - now / before
    precision = 1 / (1 - before) + alpha / beta
    mean = (before.sqrt() * x0 / (1 - before) + alpha.sqrt() * x / beta) / precision
    noise = torch.randn(x.shape, generator=generator(5))
    torch.testing.assert_close(found, (mean + noise / precision.sqrt()).float(), atol=1e-5, rtol=1e-5)


def test_ddim_with_all_the_noise_is_ddpm_draw_by_draw():
    schedule = make_schedule("vp", 6)
    x = torch.randn(20, 3)
    pairs = zip(ddpm(curved, x, schedule, generator(1)), ddim(curved, x, schedule, generator(1), eta=1.0), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_chain_split_anywhere_goes_on_bit_for_bit(name):
    sampler, schedule, x = SAMPLERS[name], make_schedule("vp", 5), torch.randn(4, 3)
    whole = list(sampler(curved, x, schedule, generator(3)))
    assert len(whole) == 6
    assert torch.equal(whole[0], x)
    torch.testing.assert_close(whole[-1], curved(whole[-2], 1))  # the last step is the estimate of x0 itself
    for k in range(6):
        source = generator(3)
        chain = sampler(curved, x, schedule, source)
        part = [next(chain) for _ in range(k + 1)]
        rest = list(sampler(curved, part[-1], schedule, source, start=5 - k))
        for one, other in zip(whole[k:], rest, strict=True):
            assert torch.equal(one, other)


def test_ddim_draws_nothing():
    before = torch.get_rng_state()
    last(ddim(curved, torch.ones(2, 2), make_schedule("vp", 5)))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_sampler_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown sampler .dppm.\. Did you mean .ddpm."):
        get_sampler("dppm")

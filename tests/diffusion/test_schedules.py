import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.diffusion import CosineSchedule, LinearSchedule, VPSchedule, make_schedule


def test_vp_by_hand():
    # alpha_t = exp(-0.1 / 2 - 9.9 (2t - 1) / 8): exponents 0.05 + 1.2375 and 0.05 + 3.7125
    expected = [1, math.exp(-1.2875), math.exp(-1.2875 - 3.7625)]
    torch.testing.assert_close(VPSchedule(2).alpha_bar, torch.tensor(expected))


@pytest.mark.parametrize("steps", [1, 3, 5, 50])
def test_vp_ends_at_the_same_level_for_any_number_of_steps(steps):
    assert float(VPSchedule(steps).alpha_bar[-1]) == pytest.approx(math.exp(-(0.1 + 10) / 2), rel=1e-5)


def test_cosine_by_hand():
    def f(t):
        return math.cos((t / 4 + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha_bar = CosineSchedule(4).alpha_bar
    for t in range(4):  # before the clip of the last beta, products telescope
        assert float(alpha_bar[t]) == pytest.approx(f(t) / f(0), rel=1e-5)
    assert float(alpha_bar[4] / alpha_bar[3]) == pytest.approx(0.001, rel=1e-3)


def test_linear_with_1000_steps_is_the_schedule_of_ddpm():
    expected = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(LinearSchedule(1000).alpha_bar[1:].numpy(), expected, rtol=1e-5)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.sampled_from(["vp", "cosine", "linear"]), st.integers(1, 60))
def test_every_schedule_falls_from_clean_to_noise(name, steps):
    schedule = make_schedule(name, steps)
    assert len(schedule) == steps
    assert schedule.alpha_bar.dtype == torch.float32
    assert schedule.alpha_bar[0] == 1
    assert (schedule.alpha_bar.diff() < 0).all()
    assert 0 < schedule.alpha_bar[-1] < 0.01


def test_add_noise_has_the_moments_of_the_forward_process():
    schedule = make_schedule("cosine", 3)
    for t in (1, 2, 3):
        a = float(schedule.alpha_bar[t])
        x = schedule.add_noise(torch.full((200_000, 1), 0.7), torch.randn(200_000, 1), torch.full((200_000,), t))
        assert float(x.mean()) == pytest.approx(math.sqrt(a) * 0.7, abs=0.01)
        assert float(x.var()) == pytest.approx(1 - a, rel=0.02)


def test_bad_schedules_are_named():
    with pytest.raises(UnknownNameError, match=r"unknown schedule 'cosin'\. Did you mean 'cosine'"):
        make_schedule("cosin", 5)
    with pytest.raises(InvalidValueError, match="denoising_steps must be an integer of at least 1, got 0"):
        make_schedule("vp", 0)

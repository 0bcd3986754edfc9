import math

import numpy as np
import pytest
import torch

from netdiffuse.channels import rate_bps, sinr, spectral_efficiency
from netdiffuse.common.seeding import generator


def test_known_rates() -> None:
    assert spectral_efficiency(0.0) == 0
    assert spectral_efficiency(3.0) == pytest.approx(2)
    assert rate_bps(20e6, 15.0) == pytest.approx(80e6)
    torch.testing.assert_close(spectral_efficiency(torch.tensor([1.0, 7.0])), torch.tensor([1.0, 3.0]))


def test_a_tiny_snr_keeps_its_digits_in_float32() -> None:
    assert float(spectral_efficiency(torch.tensor(1e-9))) == pytest.approx(1e-9 / math.log(2), rel=1e-6)


def test_sinr_equals_a_loop_over_links() -> None:
    random = generator(0)
    gains, powers = torch.rand(4, 3, 3, generator=random), torch.rand(4, 3, generator=random)
    expected = np.empty((4, 3))
    for n in range(4):
        for receiver in range(3):
            others = [t for t in range(3) if t != receiver]
            interference = sum(float(gains[n, receiver, t] * powers[n, t]) for t in others)
            expected[n, receiver] = float(gains[n, receiver, receiver] * powers[n, receiver]) / (interference + 0.2)
    np.testing.assert_allclose(sinr(gains, powers, 0.2), expected, rtol=1e-5)


def test_a_weak_interferer_beside_a_strong_signal_is_not_rounded_away() -> None:
    gains = torch.tensor([[1e8, 1e-3], [0.0, 1.0]])
    assert float(sinr(gains, torch.ones(2), 1e-6)[0]) == pytest.approx(1e8 / (1e-3 + 1e-6), rel=1e-5)

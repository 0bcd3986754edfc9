"""Small-scale fading as power gains |h|^2."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, checks


def rayleigh_power_gain(mean_gain: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw power gains of Rayleigh fading: |h|^2 is exponential with this mean, h complex normal; float32.

    Raises:
        InvalidValueError: a mean that is not positive.
    """
    mean_gain = checks.positive("mean_gain", mean_gain)
    return torch.empty(tuple(shape)).exponential_(1.0 / mean_gain, generator=generator)


def nakagami_power_gain(m: float, mean_gain: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw power gains of Nakagami-m fading: |h|^2 is Gamma with shape m and scale mean / m; float32.

    m = 1 is Rayleigh fading, m = 1/2 the most severe; the variance is mean^2 / m (Nakagami, "The
    m-distribution", 1960).

    Raises:
        InvalidValueError: m below 1/2, or a mean that is not positive.
    """
    if checks.finite("m", m) < 0.5:
        raise InvalidValueError(f"m must be at least 0.5 for Nakagami fading, got {m!r}")
    mean_gain = checks.positive("mean_gain", mean_gain)
    # torch's Gamma sampler takes no generator: draw with NumPy, seeded from the generator we were given
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    gains = np.random.default_rng(seed).standard_gamma(m, tuple(shape)) * (mean_gain / m)
    return torch.from_numpy(gains.astype(np.float32))

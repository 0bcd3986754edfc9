"""Means with confidence intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from netdiffuse.common.errors import InvalidValueError


class Interval(NamedTuple):
    """A mean and the half width of its confidence interval (NaN for a single value)."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if np.isnan(self.half_width) else f"{self.mean:.2f} ± {self.half_width:.2f}"


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval, t(level, n-1) * s / sqrt(n)."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or x.size == 0:
        raise InvalidValueError(f"an interval needs a non-empty list of values, got shape {x.shape}")
    if x.size == 1:
        return Interval(float(x[0]), float("nan"))
    from scipy import stats  # takes a second to import, which `netdiffuse --help` need not wait for

    t = stats.t.ppf(0.5 + level / 2, x.size - 1)
    return Interval(float(x.mean()), float(t * x.std(ddof=1) / np.sqrt(x.size)))

"""Opinions of many users in one number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdiffuse.common import Interval, InvalidValueError, mean_interval

FLOOR, CEILING = 1.0, 5.0
"""Worst and best rating: bad and excellent in absolute category rating, ITU-T P.800."""


def mean_opinion_score(ratings: Sequence[float]) -> Interval:
    """Mean of ratings in [1, 5] (ITU-T P.800.1), with its 95% confidence interval over the users.

    Raises:
        InvalidValueError: no ratings, or one outside [1, 5].
    """
    return mean_interval(_checked(ratings).ravel().tolist())


def above_floor(ratings: ArrayLike) -> NDArray[np.float64]:
    """QoE above the floor, rating - 1, in [0, 4], of any shape: a bad picture adds nothing to a sum over users.

    Percentages of gain are taken of this: of plain ratings, a fifth comes for nothing.

    Raises:
        InvalidValueError: a rating outside [1, 5].
    """
    return _checked(ratings) - FLOOR


def _checked(ratings: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(ratings, np.float64)
    if not ((values >= FLOOR) & (values <= CEILING)).all():  # NaN is neither
        raise InvalidValueError(f"ratings must be in [1, 5], got values from {values.min()} to {values.max()}")
    return values

"""How far two lists of ratings agree, and how far a rating tells users apart."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdiffuse.common import InvalidValueError

GRADES = 5
DECIMALS = 9  # of a rating; what lies beyond is rounding of means, not opinion


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rank correlation in [-1, 1]; None where one of them does not vary, which has none.

    Raises:
        InvalidValueError: lists that do not pair up, or fewer than two pairs.
    """
    x, y = _paired(a, b)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy import stats  # takes a second to import

    return float(stats.spearmanr(x, y).statistic)


def weighted_kappa(a: ArrayLike, b: ArrayLike) -> float | None:
    """Cohen's kappa with quadratic weights (Psychological Bulletin 70, 1968) of ratings rounded to 1, 2, ..., 5.

    1 - sum(w observed) / sum(w expected) with w = (i - j)^2: 1 for equal lists, 0 for agreement by chance. None where
    both lists hold one and the same grade throughout, for which chance alone would agree.

    Raises:
        InvalidValueError: lists that do not pair up, or fewer than two pairs.
    """
    x, y = (np.clip(np.rint(v), 1, GRADES).astype(int) - 1 for v in _paired(a, b))
    observed = np.zeros((GRADES, GRADES))
    np.add.at(observed, (x, y), 1 / len(x))
    expected = np.outer(observed.sum(1), observed.sum(0))
    grades = np.arange(GRADES)
    weights = (grades[:, None] - grades) ** 2
    chance = float((weights * expected).sum())
    return None if chance == 0 else 1 - float((weights * observed).sum()) / chance


def reliability(ratings: NDArray[np.float64]) -> float | None:
    """Share of variance that lies between users, the rest being their own inconsistency: ICC(1, 1).

    (MSB - MSW) / (MSB + (R - 1) MSW), by Shrout and Fleiss (Psychological Bulletin 86, 1979), for each experience, with
    mean squares averaged over experiences. 0, or slightly less, where users cannot be told apart; None where nothing
    varies.

    Args:
        ratings: of P users by S experiences by R sittings, shape (P, S, R), with P and R at least 2.

    Raises:
        InvalidValueError: another shape.
    """
    if ratings.ndim != 3 or ratings.shape[0] < 2 or ratings.shape[1] < 1 or ratings.shape[2] < 2:
        raise InvalidValueError(f"ratings must be of shape (users, experiences, sittings), got {ratings.shape}")
    sittings = ratings.shape[2]
    between = sittings * float(ratings.mean(2).var(0, ddof=1).mean())
    within = float(ratings.var(2, ddof=1).mean())
    total = between + (sittings - 1) * within
    return None if total < 10.0**-DECIMALS else (between - within) / total


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (np.round(np.asarray(v, np.float64).ravel(), DECIMALS) for v in (a, b))
    if len(x) != len(y) or len(x) < 2:
        raise InvalidValueError(f"ratings must pair up, two pairs or more, got {len(x)} and {len(y)}")
    return x, y

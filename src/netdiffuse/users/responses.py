"""How much of one thing is felt: satisfaction in [0, 1] with quality, delay and energy, each alone.

All take arrays that broadcast, and are monotone.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def quality_response(quality: ArrayLike, steepness: ArrayLike, half: ArrayLike) -> Array:
    """Logistic response to quality, 0 at quality 0 and 1 at quality 1.

    (L(q) - L(0)) / (L(1) - L(0)) with L(q) = 1 / (1 + exp(-steepness (q - half))). Opinion scores follow an objective
    measure by a logistic curve, flat at both ends of the scale: that is the fit that ITU-R BT.500 (annex on the
    analysis of results) and the Video Quality Experts Group (FR-TV phase I, 2000) use, and the shape of ratings over R
    in the E-model, ITU-T G.107.

    Args:
        quality: in [0, 1].
        steepness: of the curve, positive.
        half: where it is steepest, in [0, 1].
    """
    q, k, h = (np.asarray(a, np.float64) for a in (quality, steepness, half))
    low, high = _logistic(-k * h), _logistic(k * (1 - h))
    return np.clip((_logistic(k * (q - h)) - low) / (high - low), 0, 1)  # rounding can leave it by a hair


def delay_response(delay_s: ArrayLike, unnoticed_s: ArrayLike, patience_s: ArrayLike) -> Array:
    """Logarithmic response to waiting: 1 up to `unnoticed_s`, then falling with the logarithm to 0 at `patience_s`.

    ln(patience / delay) / ln(patience / unnoticed), held to [0, 1]: the model of ITU-T G.1030, annex A, between its
    shortest and longest session time. It is Weber and Fechner's law for time (Reichl et al., "The logarithmic nature of
    QoE and the role of the Weber-Fechner law in QoE assessment", IEEE ICC 2010; Egger et al., "Waiting times in quality
    of experience for web based services", QoMEX 2012).

    Args:
        delay_s: at least 0.
        unnoticed_s: positive.
        patience_s: above `unnoticed_s`.
    """
    delay, low, high = (np.asarray(a, np.float64) for a in (delay_s, unnoticed_s, patience_s))
    return np.log(high / np.clip(delay, low, high)) / np.log(high / low)


def energy_response(energy_share: ArrayLike, tolerance: ArrayLike) -> Array:
    """Exponential response to energy, 2^(-share / tolerance): 1 where nothing is drawn, 1/2 at the tolerance.

    The form is that of the IQX hypothesis, by which a disturbance hurts in proportion to the quality that is left
    (Fiedler, Hossfeld and Tran-Gia, "A generic quantitative relationship between quality of experience and quality of
    service", IEEE Network 24(2), 2010). That it holds for batteries is an assumption of ours.

    Args:
        energy_share: in [0, 1].
        tolerance: in (0, 1].
    """
    return np.exp2(-np.asarray(energy_share, np.float64) / np.asarray(tolerance, np.float64))


def _logistic(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))  # where exp(-x) would overflow, this does not

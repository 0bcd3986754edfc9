"""Checks of arguments: each raises `InvalidValueError` that names the argument and its value."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from netdiffuse.common.errors import InvalidValueError

# What no machine of today makes use of: beyond these, a slip of the finger would run for ever or out of memory.
MOST_THREADS = 1024
MOST_ENVS = 2**20
MOST_SAMPLES = 10**7  # contexts (or episodes) of an evaluation


def finite(name: str, value: float) -> float:
    """Return `value` as a float, refusing NaN, infinities and what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidValueError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise InvalidValueError(f"{name} must be finite, got {_short(value)}")
    return number


def positive(name: str, value: float) -> float:
    """Return `value` as a float, refusing what is not above zero."""
    if finite(name, value) <= 0:
        raise InvalidValueError(f"{name} must be positive, got {value!r}")
    return float(value)


def non_negative(name: str, value: float) -> float:
    """Return `value` as a float, refusing what is below zero."""
    if finite(name, value) < 0:
        raise InvalidValueError(f"{name} must be non-negative, got {value!r}")
    return float(value)


def fraction(name: str, value: float) -> float:
    """Return `value` as a float, refusing what is outside [0, 1]."""
    if not 0 <= finite(name, value) <= 1:
        raise InvalidValueError(f"{name} must be in [0, 1], got {value!r}")
    return float(value)


def integer(name: str, value: int, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int, refusing fractions, booleans and what is below `minimum` or above `maximum`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidValueError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise InvalidValueError(f"{name} must be an integer of at least {minimum}, got {_short(value)}")
    if maximum is not None and value > maximum:
        raise InvalidValueError(f"{name} must be an integer of at most {maximum}, got {_short(value)}")
    return int(value)


def seed(name: str, value: int) -> int:
    """Return `value` as an int, refusing what is not in [0, 2**32): NumPy takes no other seeds."""
    return integer(name, value, minimum=0, maximum=2**32 - 1)


def finite_inside(name: str, value: Any) -> None:
    """Refuse NaN and infinities anywhere in lists, tuples, sets and dictionaries; what is no number passes."""
    if isinstance(value, Mapping):
        for inner in (*value, *value.values()):
            finite_inside(name, inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            finite_inside(name, inner)
    elif isinstance(value, (float, np.floating)) and not math.isfinite(value):
        raise InvalidValueError(f"{name} must be finite, got {value!r}")


def _short(value: object) -> str:
    """A number as text, cut where it has hundreds of digits."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers beyond 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}... ({len(text)} characters)"

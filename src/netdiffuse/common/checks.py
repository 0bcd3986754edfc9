"""Checks of arguments: each raises `InvalidValueError` that names the argument and its value."""

import math

import numpy as np

from netdiffuse.common.errors import InvalidValueError


def finite(name: str, value: float) -> float:
    """Return `value` as a float, refusing NaN, infinities and what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidValueError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise InvalidValueError(f"{name} must be finite, got {value!r}")
    return float(value)


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


def integer(name: str, value: int, minimum: int = 1) -> int:
    """Return `value` as an int, refusing fractions, booleans and what is below `minimum`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidValueError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise InvalidValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return int(value)

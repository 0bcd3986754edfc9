"""Decibels and linear units, for numbers and for tensors."""

import math
from typing import TypeVar

import torch
from torch import Tensor

Real = TypeVar("Real", float, Tensor)


def log10(value: Real) -> Real:
    """Decimal logarithm; zero gives minus infinity."""
    if isinstance(value, Tensor):
        return torch.log10(value)
    return math.log10(value) if value > 0 else -math.inf


def power_of_ten(exponent: Real) -> Real:
    """10 to the power of a number or of each entry of a tensor."""
    if isinstance(exponent, Tensor):
        return torch.pow(10.0, exponent)
    return math.pow(10.0, exponent)


def db_to_linear(value_db: Real) -> Real:
    """Power ratio of a level in dB: 10^(dB / 10)."""
    return power_of_ten(value_db / 10.0)


def linear_to_db(ratio: Real) -> Real:
    """Level in dB of a non-negative power ratio: 10 log10(ratio); zero gives minus infinity."""
    return 10.0 * log10(ratio)


def dbm_to_watts(power_dbm: Real) -> Real:
    """Power in watts of a level in dBm (0 dBm is 1 mW)."""
    return power_of_ten(power_dbm / 10.0 - 3.0)


def watts_to_dbm(power_w: Real) -> Real:
    """Level in dBm of a non-negative power in watts; zero gives minus infinity."""
    return 10.0 * log10(power_w) + 30.0

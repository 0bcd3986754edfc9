"""Atomic writes, confidence intervals, named exceptions, seeding: used by every room."""

from netdiffuse.common.errors import (
    DataFileError,
    InvalidValueError,
    MissingExtraError,
    NetdiffuseError,
    NetdiffuseWarning,
    RunError,
    UnknownNameError,
    UnreachableDecisionError,
    UnsupportedError,
)
from netdiffuse.common.statistics import Interval, mean_interval

__all__ = [
    "DataFileError",
    "Interval",
    "InvalidValueError",
    "MissingExtraError",
    "NetdiffuseError",
    "NetdiffuseWarning",
    "RunError",
    "UnknownNameError",
    "UnreachableDecisionError",
    "UnsupportedError",
    "mean_interval",
]

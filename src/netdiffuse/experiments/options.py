"""The options of a training beside what it trains on and with: their checks, one by one."""

from collections.abc import Callable, Mapping
from typing import Any

from netdiffuse.common import UnknownNameError, checks
from netdiffuse.experiments import methods
from netdiffuse.experiments.config import check_device

CHECKS: dict[str, Callable[[str, Any], object]] = {
    "seconds": lambda _, value: checks.positive("seconds", value),
    "timesteps": lambda _, value: checks.integer("timesteps", value),
    "seed": lambda _, value: checks.seed("seed", value),
    "policy": lambda algorithm, value: methods.check_policy(algorithm, str(value)),
    "n_envs": lambda _, value: checks.integer("n_envs", value, maximum=checks.MOST_ENVS),
    "device": lambda _, value: check_device(str(value)),
    "threads": lambda _, value: checks.integer("threads", value, maximum=checks.MOST_THREADS),
    "contexts": lambda _, value: checks.integer("contexts", value, maximum=checks.MOST_SAMPLES),
}
"""Option of `train` to what refuses it, given the algorithm and the value."""


def check_options(algorithm: str, options: Mapping[str, Any]) -> None:
    """Refuse options of a training; those that are None are left to their defaults.

    Raises:
        UnknownNameError: an option, or a policy, that does not exist.
        InvalidValueError: a value outside its range.
        UnsupportedError: a policy that the algorithm does not have, or a device that cannot be used here.
    """
    for name, value in options.items():
        if name not in CHECKS:
            raise UnknownNameError("option", name, CHECKS)
        if value is not None:
            CHECKS[name](algorithm, value)

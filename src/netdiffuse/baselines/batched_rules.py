"""Which rules mean something in which environment of many steps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.baselines.denoising_rules import DENOISING_RULES
from netdiffuse.baselines.service_rules import SERVICE_RULES
from netdiffuse.problems.aigc_services import AIGCServicesVectorEnv
from netdiffuse.problems.batched import BatchedEnv
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv

Choose = Callable[[np.random.Generator], NDArray[Any]]


def rules_of(env: BatchedEnv, searches: bool = True) -> dict[str, Choose]:
    """The rules that mean something in an environment, each choosing in its present state, by name.

    Args:
        env: the environment.
        searches: whether those that take long to choose are among them.
    """
    if isinstance(env, AIGCServicesVectorEnv):
        return {name: partial(rule.choose, env.simulator) for name, rule in SERVICE_RULES.items()}
    if isinstance(env, SharedDenoisingVectorEnv):
        return {
            name: partial(rule.choose, env)
            for name, rule in DENOISING_RULES.items()
            if rule.fits(env) and (searches or not rule.searches)
        }
    return {}

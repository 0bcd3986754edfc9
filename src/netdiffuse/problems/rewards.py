"""The size of a problem's rewards: what makes learning independent of their unit and of a constant part."""

from typing import TypedDict

import torch

from netdiffuse.common.seeding import generator as seeded
from netdiffuse.problems.base import Problem


class RewardStatistics(TypedDict):
    """Mean and standard deviation, as keyword arguments."""

    reward_mean: float
    reward_std: float


@torch.no_grad()
def reward_statistics(problem: Problem, n: int = 4096, seed: int = 0) -> RewardStatistics:
    """Mean and standard deviation of the utility of uniformly random actions, from a seeded sample.

    The deviation is 1 where the utility does not vary beyond what single precision resolves beside its mean.
    """
    random = seeded(seed)
    contexts = problem.sample_contexts(n, random)
    actions = 2 * torch.rand(n, problem.feasible.action_size, generator=random) - 1
    utility = problem.utility(contexts, problem.feasible.decode(actions)).double()
    mean, std = float(utility.mean()), float(utility.std())
    return RewardStatistics(reward_mean=mean, reward_std=std if std > 1e-6 * abs(mean) else 1.0)

"""Standardised rewards for Stable-Baselines3's algorithms: critics learn faster about numbers of order one.

A constant is subtracted and a constant divides, so the order of decisions does not change, and logs and
evaluation, which read the environment, keep the problem's unit. The constants are arguments of a buffer, so a
saved model keeps them.
"""

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor


class StandardisedReplayBuffer(ReplayBuffer):
    """A replay buffer that hands out `(reward - reward_mean) / reward_std`."""

    def __init__(self, *args: Any, reward_mean: float = 0.0, reward_std: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reward_mean, self.reward_std = reward_mean, reward_std

    def _get_samples(self, batch_inds: np.ndarray[Any, Any], env: VecNormalize | None = None) -> ReplayBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        return samples._replace(rewards=(samples.rewards - self.reward_mean) / self.reward_std)


class StandardisedRolloutBuffer(RolloutBuffer):
    """A rollout buffer that keeps `(reward - reward_mean) / reward_std`."""

    def __init__(self, *args: Any, reward_mean: float = 0.0, reward_std: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reward_mean, self.reward_std = reward_mean, reward_std

    def add(
        self,
        obs: np.ndarray[Any, Any],
        action: np.ndarray[Any, Any],
        reward: np.ndarray[Any, Any],
        episode_start: np.ndarray[Any, Any],
        value: Tensor,
        log_prob: Tensor,
    ) -> None:
        """Keep one step of every environment."""
        standardised = (reward - self.reward_mean) / self.reward_std
        super().add(obs, action, standardised, episode_start, value, log_prob)

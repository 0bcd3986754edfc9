"""Stable-Baselines3's vectorised environment made from any `Problem`: thousands of contexts in one call."""

import time
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from torch import Tensor

from netdiffuse.problems.base import Problem
from netdiffuse.problems.context_batch import (
    ContextBatch,
    action_space,
    observation_space,
    to_array,
    to_tensor,
)
from netdiffuse.problems.shared_vecenv import SharedVecEnv

Array = NDArray[Any]


class ProblemVecEnv(SharedVecEnv):
    """A batch of contexts of a problem as a `VecEnv`, without a loop over contexts.

    Every episode lasts one step, so every step returns `dones` all true and the next contexts. Each info
    holds the context that was decided in ("terminal_observation"), "TimeLimit.truncated" False (the end is a
    true one: nothing is bootstrapped from it), "decision", and "episode" as `Monitor` would report it.

    The "sub-environments" share this object: `get_attr`, `set_attr` and `env_method` act on it, once.

    Args:
        problem: the problem.
        num_envs: number of contexts.
        seed: seed of the generator of all contexts; None for a fresh one.

    Raises:
        InvalidValueError: num_envs below 1.
    """

    def __init__(self, problem: Problem, num_envs: int = 1, seed: int | None = None) -> None:
        self._batch = ContextBatch(problem, num_envs, seed)
        self._actions: Tensor | None = None
        self._start = time.monotonic()
        super().__init__(self._batch.n, observation_space(problem), action_space(problem))

    @property
    def problem(self) -> Problem:
        """The problem."""
        return self._batch.problem

    @property
    def contexts(self) -> Tensor:
        """The contexts to decide in, shape (num_envs, *context_shape), as `reset` or `step` returned them.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
        """
        return self._batch.contexts

    def reset(self) -> Array:
        """Draw all contexts, after seeding their generator if `seed()` was called since the last reset."""
        if self._seeds[0] is not None:
            self._batch.seed(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return to_array(self._batch.draw())

    def step_tensor(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Decide in every context and move on to new ones: `step` without NumPy and infos.

        Args:
            actions: shape (num_envs, action_size), on the CPU.

        Returns:
            Rewards, shape (num_envs,), and decisions, shape (num_envs, *decision_shape).

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
            InvalidValueError: an action that is not finite or has the wrong shape.
        """
        result = self._batch.decide(actions)
        self._batch.draw()
        return result

    def step_async(self, actions: Array) -> None:
        """Keep the actions, shape (num_envs, action_size), for `step_wait`."""
        self._actions = to_tensor(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Take the decisions; see `step_tensor` for what is raised."""
        if self._actions is None:
            raise gymnasium.error.ResetNeeded("there are no actions to wait for: call step_async() first")
        actions, self._actions = self._actions, None
        before = to_array(self.contexts)
        rewards_tensor, decisions = self.step_tensor(actions)
        rewards = to_array(rewards_tensor)
        elapsed = round(time.monotonic() - self._start, 6)
        infos: list[dict[str, Any]] = [
            {
                "terminal_observation": context,
                "TimeLimit.truncated": False,
                "decision": decision,
                "episode": {"r": reward, "l": 1, "t": elapsed},
            }
            for context, decision, reward in zip(before, to_array(decisions), rewards.tolist(), strict=True)
        ]
        return to_array(self.contexts), rewards, np.ones(self.num_envs, dtype=bool), infos

    def state_dict(self) -> dict[str, Any]:
        """Generator state and contexts: after `load_state_dict`, the environment goes on bit for bit."""
        return self._batch.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InvalidValueError: the state is of another number or shape of contexts.
        """
        self._batch.load_state_dict(state)
        self._reset_seeds()

"""Gymnasium environments made from any `Problem`: one context at a time, or thousands in one call."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from netdiffuse.common import UnknownNameError
from netdiffuse.problems.base import Problem
from netdiffuse.problems.context_batch import (
    ContextBatch,
    action_space,
    observation_space,
    to_array,
    to_tensor,
)
from netdiffuse.problems.registry import make_problem

Array = NDArray[Any]


class ProblemEnv(gymnasium.Env[Array, Array]):
    """A one-shot decision problem as an environment whose episodes last one step.

    ## Description
    `reset` shows a context, `step` takes the decision and pays its utility, and the episode is over.

    ## Action space
    `Box(-1, 1, (action_size,), float32)`: the standardised coordinates of `problem.feasible`. Every finite
    action decodes to a feasible decision; coordinates outside [-1, 1] count as the bound.

    ## Observation space
    `Box(-inf, inf, context_shape, float32)`: the context, in the problem's unit (`problem.context_unit`).

    ## Reward
    `problem.utility(context, decision)`, in `problem.utility_unit`: never less the reference's.

    ## Episode end
    Terminated after one step, never truncated. The terminal observation is the context that was decided in.

    ## Info
    `step` returns the decision in physical units, as `info["decision"]`, shape decision_shape.

    ## Arguments
    Args:
        problem: the problem.
        seed: seed of the generator of contexts until `reset(seed=...)` gives another; None for a fresh one.
        render_mode: None, or "rgb_array" for a picture of the context and the decision.

    Raises:
        UnknownNameError: an unknown render mode.

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, problem: Problem, seed: int | None = None, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UnknownNameError("render mode", str(render_mode), ["rgb_array"])
        self.problem = problem
        self.render_mode = render_mode
        self.observation_space = observation_space(problem)
        self.action_space = action_space(problem)
        self._batch = ContextBatch(problem, 1, seed)
        self._shown: tuple[Array, Array | None] | None = None  # context and decision, for `render`

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Draw a context.

        Args:
            seed: seeds the environment's own generator; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        if seed is not None:
            self._batch.seed(seed)
        observation = to_array(self._batch.draw()[0])
        self._shown = observation, None
        return observation.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Take the decision, shape (action_size,), and end the episode.

        Raises:
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
            InvalidValueError: an action that is not finite or has the wrong shape.
        """
        rewards, decisions = self._batch.decide(to_tensor(action)[None])
        observation, decision = to_array(self._batch.contexts[0]), to_array(decisions[0])
        self._batch.clear()
        self._shown = observation, decision
        return observation.copy(), float(rewards[0]), True, False, {"decision": decision.copy()}

    def render(self) -> Array | None:
        """A picture of the context and, after `step`, of the decision, shape (height, width, 3), uint8.

        Returns None without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: there is nothing to show yet.
        """
        if self.render_mode is None:
            return None
        if self._shown is None:
            raise gymnasium.error.ResetNeeded("there is no context to show: call reset() first")
        from netdiffuse.problems.picture import picture

        return picture(self.problem, *self._shown)


class ProblemVectorEnv(VectorEnv[Array, Array, Array]):
    """A batch of contexts of a problem as a Gymnasium vector environment, without a loop over contexts.

    Each sub-environment is as `ProblemEnv`. All of them end at every step and start anew in that step
    (SAME_STEP): `step` returns the next contexts, and `infos["final_obs"]` those that were decided in, with
    the decisions in `infos["final_info"]["decision"]`.

    Args:
        problem: the problem.
        num_envs: number of contexts.
        seed: seed of the generator of all contexts until `reset(seed=...)` gives another; None for a fresh
            one.

    Raises:
        InvalidValueError: num_envs below 1.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, problem: Problem, num_envs: int = 1, seed: int | None = None) -> None:
        self._batch = ContextBatch(problem, num_envs, seed)
        self.problem = problem
        self.num_envs = self._batch.n
        self.single_observation_space = observation_space(problem)
        self.single_action_space = action_space(problem)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Draw all contexts.

        Args:
            seed: seeds the one generator of all contexts; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        if seed is not None:
            self._batch.seed(seed)
        return to_array(self._batch.draw()), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Decide in every context, actions of shape (num_envs, action_size), and move on to new ones.

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
            InvalidValueError: an action that is not finite or has the wrong shape.
        """
        rewards, decisions = self._batch.decide(to_tensor(actions))
        final = to_array(self._batch.contexts)
        every, none = np.ones(self.num_envs, dtype=bool), np.zeros(self.num_envs, dtype=bool)
        infos = {  # as Gymnasium builds them from single environments: final_obs is an array of arrays
            "final_obs": np.fromiter(final, dtype=object, count=self.num_envs),
            "_final_obs": every.copy(),
            "final_info": {"decision": to_array(decisions), "_decision": every.copy()},
            "_final_info": every.copy(),
        }
        observations = to_array(self._batch.draw())
        return observations, to_array(rewards).astype(np.float64), every, none, infos


def make_env(preset: str, render_mode: str | None = None, **kwargs: Any) -> ProblemEnv:
    """What `gymnasium.make` calls: the environment of `make_problem(preset, **kwargs)`."""
    return ProblemEnv(make_problem(preset, **kwargs), render_mode=render_mode)


def make_vector_env(preset: str, num_envs: int = 1, **kwargs: Any) -> ProblemVectorEnv:
    """What `gymnasium.make_vec` calls: the vector environment of `make_problem(preset, **kwargs)`."""
    return ProblemVectorEnv(make_problem(preset, **kwargs), num_envs)

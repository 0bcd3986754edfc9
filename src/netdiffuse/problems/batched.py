"""Sequential environments whose episodes go on in step, and the same for Stable-Baselines3."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from netdiffuse.common import UnsupportedError
from netdiffuse.problems.base import Structure
from netdiffuse.problems.feasible import FeasibleSet
from netdiffuse.problems.shared_vecenv import SharedVecEnv

Array = NDArray[Any]


class BatchedEnv(VectorEnv[Array, Array, Array]):
    """A Gymnasium vector environment that steps all episodes at once and can be saved and resumed.

    Subclasses start finished episodes anew in the same step (SAME_STEP), and report them as Gymnasium does:
    `infos["final_obs"]`, and under `infos["final_info"]` an array a name.

    Attributes:
        discount: the discount factor that its problem is posed with.
        reference_rule: name of the rule whose return others are given as a percentage of, or None.
        structure: how a network may read an observation, as `Problem.structure`; not "pairs".
        episode_steps: of every episode; None where they differ in length.
        feasible: the set that actions in [-1, 1] are decoded to, or None.
        entity_rewards: each entity's part of the last step's rewards, shape (num_envs, entities), which add up to them;
            None where rewards have no parts.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]
    discount: ClassVar[float] = 0.99
    reference_rule: ClassVar[str | None] = None
    structure: Structure = "vector"
    episode_steps: int | None = None
    feasible: FeasibleSet | None = None
    entity_rewards: Array | None = None

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are allowed now, shape (num_envs, actions), where actions are discrete.

        Raises:
            UnsupportedError: the environment has no masks.
        """
        raise UnsupportedError(f"{type(self).__name__} has no action masks")

    def final_infos(
        self, over: NDArray[np.bool_], observations: Array, measures: Mapping[str, Array]
    ) -> dict[str, Any]:
        """What `step` tells of episodes that have just ended, as Gymnasium's SAME_STEP has it.

        Args:
            over: which have, shape (num_envs,).
            observations: their last ones among them, before anything starts anew, shape (num_envs, ...).
            measures: name to an array, one entry an episode; copied.
        """
        final = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(over):
            final[row] = observations[row].copy()
        told: dict[str, Any] = {}
        for name, values in measures.items():
            told |= {name: values.copy(), f"_{name}": over.copy()}
        return {"final_obs": final, "_final_obs": over.copy(), "final_info": told, "_final_info": over.copy()}

    def summarise(self, final: dict[str, Array]) -> dict[str, float]:  # noqa: ARG002
        """Measures of finished episodes beside their return, from the arrays of `final_info`, one entry an episode."""
        return {}


class RandomPlay(TypedDict):
    """What random play shows: mean and deviation of the observations, and the deviation of the rewards."""

    mean: list[float]
    std: list[float]
    reward_std: float


def play_randomly(env: BatchedEnv, steps: int = 200, seed: int = 0) -> RandomPlay:
    """Measure observations and rewards under random actions, and leave the environment as it was.

    A number that never varies has deviation 1.
    """
    before = env.state_dict()
    observations, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    seen, rewards = [], []
    for _ in range(steps):
        seen.append(observations)
        observations, reward, _, _, _ = env.step(env.action_space.sample())
        rewards.append(reward)
    env.load_state_dict(before)
    every = np.concatenate(seen).astype(np.float64)
    mean, std = every.mean(0), every.std(0)
    reward_std = float(np.std(rewards))
    return RandomPlay(
        mean=mean.tolist(),
        std=np.where(std > 1e-6 * np.abs(mean), std, 1.0).tolist(),
        reward_std=reward_std if reward_std > 0 else 1.0,
    )


class BatchedVecEnv(SharedVecEnv):
    """A `BatchedEnv` as a Stable-Baselines3 `VecEnv`; finished episodes are reported as `Monitor` would.

    Args:
        env: the environment.
        seed: seed of the next `reset`; None for a fresh one.
    """

    def __init__(self, env: BatchedEnv, seed: int | None = None) -> None:
        self.env = env
        self._actions: Array | None = None
        self._start = time.monotonic()
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.seed(seed)

    def reset(self) -> Array:
        """Begin all episodes, after seeding the environment if `seed()` was called since the last reset."""
        observations, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return observations

    def step_async(self, actions: Array) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the actions.

        Raises:
            gymnasium.error.ResetNeeded: there are none.
        """
        if self._actions is None:
            raise gymnasium.error.ResetNeeded("there are no actions to wait for: call step_async() first")
        actions, self._actions = self._actions, None
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._returns += rewards
        self._lengths += 1
        dones = terminated | truncated
        out: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        elapsed = round(time.monotonic() - self._start, 6)
        for row in np.flatnonzero(dones):
            final = infos["final_info"]
            out[row] = {name: final[name][row] for name in final if not name.startswith("_")} | {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
                "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": elapsed},
            }
        self._returns[dones] = 0.0
        self._lengths[dones] = 0
        return observations, rewards.astype(np.float32), dones, out

    def state_dict(self) -> dict[str, Any]:
        """The environment's state, and the unfinished episodes' returns."""
        return {"env": self.env.state_dict(), "returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.env.load_state_dict(state["env"])
        self._returns, self._lengths = state["returns"].copy(), state["lengths"].copy()
        self._reset_seeds()

    @property
    def shared(self) -> BatchedEnv:
        """The environment, which is what attributes and methods are looked up in."""
        return self.env

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

"""Sequential environments whose episodes go on in step, and the same for Stable-Baselines3."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from netdiffuse.common import UnsupportedError

Array = NDArray[Any]


class BatchedEnv(VectorEnv[Array, Array, Array]):
    """A Gymnasium vector environment that steps all episodes at once and can be saved and resumed.

    Subclasses start finished episodes anew in the same step (SAME_STEP), and report them as Gymnasium does:
    `infos["final_obs"]`, and under `infos["final_info"]` an array a name.

    Attributes:
        discount: the discount factor that its problem is posed with.
        reference_rule: name of the rule whose return others are given as a percentage of, or None.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]
    discount: ClassVar[float] = 0.99
    reference_rule: ClassVar[str | None] = None

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

    def summarise(self, final: dict[str, Array]) -> dict[str, float]:  # noqa: ARG002
        """Measures of finished episodes beside their return, from the arrays of `final_info`, one entry an episode."""
        return {}


class BatchedVecEnv(VecEnv):
    """A `BatchedEnv` as a Stable-Baselines3 `VecEnv`; finished episodes are reported as `Monitor` would.

    The "sub-environments" share one object: `get_attr` and `set_attr` act on it, once; `env_method` too, and a result
    with one row an environment (`action_masks`) is handed out row by row.

    Args:
        env: the environment.
        seed: seed of the next `reset`; None for a fresh one.
    """

    def __init__(self, env: BatchedEnv, seed: int | None = None) -> None:
        self.env = env
        self.render_mode = None
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

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The environment's attribute, once an index."""
        return [getattr(self.env, attr_name)] * self._count(indices)

    def has_attr(self, attr_name: str) -> bool:
        """Whether the environment has the attribute."""
        return hasattr(self.env, attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the environment's attribute.

        Raises:
            UnsupportedError: only some of the indices are given; they share one object.
        """
        if self._count(indices) != self.num_envs:
            raise UnsupportedError(f"'{attr_name}' cannot be set for some environments only: they share one object")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the environment's method once; its result once an index, or its rows where it has one for each."""
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        wanted = list(self._get_indices(indices))
        if isinstance(result, np.ndarray) and result.shape[:1] == (self.num_envs,):
            return [result[i] for i in wanted]
        return [result] * len(wanted)

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],  # noqa: ARG002
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """False for each index: there are no wrappers inside."""
        return [False] * self._count(indices)

    def get_images(self) -> Sequence[Array | None]:
        """None for each environment: a single environment draws pictures."""
        return [None] * self.num_envs

    def _count(self, indices: VecEnvIndices) -> int:
        return len(list(self._get_indices(indices)))

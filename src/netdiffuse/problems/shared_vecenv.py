"""What our Stable-Baselines3 environments have in common: their "sub-environments" share one object."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from netdiffuse.common import UnsupportedError

Array = NDArray[Any]


class SharedVecEnv(VecEnv):
    """A `VecEnv` whose sub-environments are rows of one object, which attributes and methods are looked up in.

    `get_attr` and `set_attr` act on it, once; `env_method` too, and a result with one row an environment
    (`action_masks`) is handed out row by row.
    """

    render_mode: str | None = None

    @property
    def shared(self) -> Any:
        """The object."""
        return self

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The object's attribute, once an index."""
        return [getattr(self.shared, attr_name)] * self._count(indices)

    def has_attr(self, attr_name: str) -> bool:
        """Whether the object has the attribute."""
        return hasattr(self.shared, attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the object's attribute.

        Raises:
            UnsupportedError: only some of the indices are given; they share one object.
        """
        if self._count(indices) != self.num_envs:
            raise UnsupportedError(f"'{attr_name}' cannot be set for some environments only: they share one object")
        setattr(self.shared, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the object's method once; its result once an index, or its rows where it has one for each."""
        result = getattr(self.shared, method_name)(*method_args, **method_kwargs)
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
        """None for each environment: pictures are drawn by single environments."""
        return [None] * self.num_envs

    def _count(self, indices: VecEnvIndices) -> int:
        return len(list(self._get_indices(indices)))

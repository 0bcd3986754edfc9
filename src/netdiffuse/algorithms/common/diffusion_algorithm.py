"""What every algorithm here can do beside Stable-Baselines3's API."""

import inspect
import io
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import GymEnv

from netdiffuse.algorithms.common.policies import DiffusionPolicy, EquivariantDiffusionPolicy
from netdiffuse.algorithms.common.setup import as_env
from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import FeasibleSet

Self = TypeVar("Self", bound="DiffusionAlgorithm")


class DiffusionAlgorithm(BaseAlgorithm):
    """Problems wherever an environment is taken, looking into the chain, and moving to another number of entities."""

    recommended_n_envs: ClassVar[int] = 1
    policy: DiffusionPolicy
    feasible: FeasibleSet | None

    @abstractmethod
    def _attach(self) -> None:
        """Take from the environment what else is known of it: its problem, and what follows from that."""

    def set_env(self, env: GymEnv | Problem | str, force_reset: bool = True) -> None:
        """As in Stable-Baselines3; a `Problem` or the name of one will do."""
        super().set_env(as_env(env, self.n_envs, None), force_reset)  # type: ignore[arg-type] # of an unknown name
        self._attach()

    @classmethod
    def load(
        cls: type[Self],
        path: str | Path | io.BufferedIOBase,
        env: GymEnv | Problem | str | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """As in Stable-Baselines3; a `Problem` or the name of one will do for `env`."""
        made = None
        if env is not None:
            saved, _, _ = load_from_zip_file(path, device="cpu", load_data=True, custom_objects=custom_objects)
            if isinstance(path, io.BufferedIOBase):
                path.seek(0)
            made = as_env(env, saved["n_envs"] if saved else cls.recommended_n_envs, None)
        return super().load(path, made, device, custom_objects, print_system_info, force_reset, **kwargs)  # type: ignore[arg-type]

    @torch.no_grad()
    def denoising_trajectory(self, obs: ArrayLike, seed: int | None = 0) -> NDArray[np.float32]:
        """The chain from noise to action, shape (steps + 1, n, action_size).

        Args:
            obs: observations, shape (n, ...).
            seed: seed of all noise; None for the deterministic chain that starts at zero.
        """
        self.policy.set_training_mode(False)
        observation = torch.as_tensor(np.asarray(obs, dtype=np.float32), device=self.device)
        return torch.stack(list(self.policy.trajectory(observation, seed))).cpu().numpy()

    def transfer(self: Self, env: GymEnv | Problem | str) -> Self:
        """The same policy for another number of entities, without retraining: a new model that shares no weights.

        It has the settings of this one, and can be trained on.

        Args:
            env: an environment, a `Problem`, or the name of one, of the same kind of entities.

        Raises:
            UnsupportedError: the networks are not equivariant, and so tied to one size.
            InvalidValueError: the coordinates of the new problem have another scale.
        """
        if not isinstance(self.policy, EquivariantDiffusionPolicy):
            raise UnsupportedError("transfer needs 'EquivariantPolicy': an MLP is tied to the size it was trained on")
        model = type(self)(
            self.policy_class,
            as_env(env, self.n_envs, self.seed),
            device=self.device,
            policy_kwargs=self.policy_kwargs,
            _init_setup_model=False,  # type: ignore[call-arg] # of the subclasses; one without an expert may decide
        )
        for name in (*inspect.signature(type(self)).parameters, "replay_buffer_kwargs"):
            if hasattr(self, name) and name not in ("policy", "env", "device", "policy_kwargs", "n_envs"):
                setattr(model, name, getattr(self, name))
        model._setup_model()
        old, new = (None if one.feasible is None else one.feasible.scales for one in (self, model))
        if old != new:
            raise InvalidValueError(
                f"the policy was trained on coordinates of scale {_scales(old)}, the new problem's have {_scales(new)}:"
                f" make it with scale={_scales(old)}"
            )
        model.policy.load_state_dict(self.policy.state_dict())
        return model

    def _record(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.logger.record_mean(name, value)

    def _dump_metrics(self) -> None:
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


def _scales(scales: tuple[float, ...] | None) -> str:
    return ", ".join(f"{scale:g}" for scale in scales or ()) or "none"

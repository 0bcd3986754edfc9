"""The policy of D2SAC: a diffusion model that denoises into the logits of a categorical distribution."""

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from netdiffuse.algorithms.common.policies import DiffusionPolicy
from netdiffuse.common import InvalidValueError

LOGIT_SCALE = 3.0
"""Logits of a unit of x0: probabilities from e^-24 to nearly 1 lie within the bound of the chain."""


class QValues(nn.Module):
    """Values of all discrete actions, shape (n, actions): fully connected.

    Without layer normalisation, unlike `MLPQNetwork`: on edge services it cost more than it brought.
    """

    def __init__(self, context_size: int, actions: int, hidden: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = context_size
        for after in hidden:
            layers += [nn.Linear(before, after), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, actions)

    def forward(self, context: Tensor) -> Tensor:
        """Map standardised contexts (n, d) to (n, actions)."""
        return self.head(self.body(context))


class CategoricalDiffusionPolicy(DiffusionPolicy):
    """A `DiffusionPolicy` over a `Discrete` space: the chain ends in x0, and the logits are 3 x0.

    x0 is bounded smoothly by 4, so no logit can run away, and an untrained network, whose estimates of x0 are small,
    is close to uniform. `predict(deterministic=True)` takes the most probable action of the chain that starts at zero;
    `deterministic=False` draws the chain, and then the action.
    """

    bound: ClassVar[float] = 4.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.n_candidates != 1:
            raise InvalidValueError(f"n_candidates must be 1 where a choice is drawn, got {self.n_candidates}")

    @staticmethod
    def _coordinates(action_space: spaces.Space[Any]) -> int:
        assert isinstance(action_space, spaces.Discrete)
        return int(action_space.n)

    def _make_q_network(self) -> nn.Module:  # type: ignore[override] # values of all actions at once
        return QValues(self.features_extractor.features_dim, self.action_size, self.net_arch)

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,  # noqa: ARG002
        deterministic: bool = False,
        action_masks: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """As in Stable-Baselines3, with masks as in sb3-contrib: booleans (n, actions), or (actions,) for all.

        Raises:
            InvalidValueError: masks of another shape, or one that allows nothing.
        """
        self.set_training_mode(False)
        obs, vectorised = self.obs_to_tensor(observation)
        assert isinstance(obs, Tensor)
        masks = None
        if action_masks is not None:
            masks = torch.from_numpy(self.check_masks(action_masks, len(obs))).to(self.device)
        with torch.no_grad():
            actions = self.choose(obs, deterministic, masks).cpu().numpy() + self._first
        return (actions if vectorised else actions[0]), state

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        return self.choose(observation, deterministic, None) + self._first

    @property
    def _first(self) -> int:
        assert isinstance(self.action_space, spaces.Discrete)
        return int(self.action_space.start)

    def choose(self, obs: Tensor, deterministic: bool, masks: Tensor | None, acting: bool = True) -> Tensor:
        """Numbers of actions from 0, shape (n,), for raw observations (n, ...).

        Args:
            obs: observations.
            deterministic: the most probable action of the deterministic chain, instead of a draw.
            masks: which actions are allowed, booleans (n, actions); None for all.
            acting: the running average of the actor, instead of the actor itself.
        """
        actor = self.acting if acting else self.actor
        log_probs = self.log_probs(actor(self.context(obs), deterministic=deterministic), masks)
        if deterministic:
            return log_probs.argmax(1)
        return torch.multinomial(log_probs.exp(), 1).squeeze(1)

    @staticmethod
    def log_probs(x0: Tensor, masks: Tensor | None) -> Tensor:
        """Log-probabilities of the actions, of the shape of x0 (n, actions); -inf where the mask forbids one."""
        logits = LOGIT_SCALE * x0
        if masks is not None:
            logits = logits.masked_fill(~masks, -torch.inf)
        return logits.log_softmax(1)

    def check_masks(self, masks: NDArray[Any], n: int) -> NDArray[np.bool_]:
        """Masks as booleans of shape (n, actions).

        Raises:
            InvalidValueError: another shape, or a row that allows nothing.
        """
        found = np.asarray(masks, dtype=bool)
        if found.ndim == 1:
            found = np.broadcast_to(found, (n, len(found)))
        if found.shape != (n, self.action_size):
            raise InvalidValueError(f"action_masks must have shape ({n}, {self.action_size}), got {np.shape(masks)}")
        if not found.any(1).all():
            raise InvalidValueError(f"action_masks must allow an action, row {int(np.argmin(found.any(1)))} has none")
        return found.copy()


POLICIES: dict[str, type[BasePolicy]] = {"MlpPolicy": CategoricalDiffusionPolicy}

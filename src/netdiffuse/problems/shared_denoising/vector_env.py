"""Shared denoising as a Gymnasium vector environment: many sessions in step."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError
from netdiffuse.problems.base import Structure
from netdiffuse.problems.batched import BatchedEnv
from netdiffuse.problems.feasible import Budget, Integer, Product
from netdiffuse.problems.shared_denoising.observation import features, observe
from netdiffuse.problems.shared_denoising.outcomes import STEPS, Outcome
from netdiffuse.problems.shared_denoising.settings import make_settings
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator
from netdiffuse.problems.shared_denoising.tally import Tally, summarise
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]

MOST_OF_EQUAL = 2.5  # a user's share of power or bandwidth is at most so many times the equal one


class SharedDenoisingVectorEnv(BatchedEnv):
    """Many sessions of `SharedDenoisingEnv` in step, without a loop over sessions or users.

    A session that ends starts anew in the same step (SAME_STEP).

    Args:
        num_envs: number of sessions.
        **settings: as `SharedDenoisingSettings`.

    Attributes:
        settings: those.
        feasible: the decisions: `shared` (k), `power` (watts) and `bandwidth` (hertz), an entry a user each.
        simulator: what goes on.
        entity_rewards: each user's part of the last rewards, shape (num_envs, users): the user's opinion above the
            floor, less energy_weight x the joules that the server spent for the user. They add up to the reward.
        last: outcome and opinions of the last step.

    Raises:
        InvalidValueError, UnknownNameError: as `SharedDenoisingSettings`.
        MissingExtraError: `outcome="pictures"` without the extra [denoising].
    """

    discount: ClassVar[float] = 0.9
    reference_rule: ClassVar[str | None] = "greedy"
    structure: Structure = "entities"
    feasible: Product

    def __init__(self, num_envs: int = 1, **settings: Any) -> None:
        self.settings = make_settings(settings)
        self.simulator = SharedDenoisingSimulator(num_envs, self.settings)
        self.num_envs = self.simulator.n
        self.episode_steps = self.settings.slots
        self.feasible = feasible_set(self.settings.users, self.settings.power_w, self.settings.bandwidth_hz)
        shape = (self.settings.users, len(features(self.settings.show_personas)))
        self.single_observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (self.feasible.action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.entity_rewards = np.zeros((self.num_envs, self.settings.users))
        self.last: tuple[Outcome, Array] | None = None
        self._tally = Tally(self.num_envs, self.settings.users, self.simulator.names)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin all sessions.

        Args:
            seed: seeds the generators of all sessions; None goes on with them.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.simulator.seed(seed)
        self.simulator.begin()
        self._tally.clear(np.ones(self.num_envs, bool))
        self._begun, self.last = True, None
        return self.observe(), {}

    def observe(self) -> NDArray[np.float32]:
        """Observations, shape (num_envs, users, features)."""
        return observe(self.simulator, self.settings.show_personas)

    def decode(self, actions: Array) -> tuple[NDArray[np.int64], Array, Array]:
        """Actions, shape (num_envs, 3 users), as k, powers in watts and bandwidths in hertz, (num_envs, users) each.

        Raises:
            InvalidValueError: a wrong shape, or a number that is not finite.
        """
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape:
            raise InvalidValueError(f"actions must have shape {self.action_space.shape}, got {actions.shape}")
        return decode(self.feasible, actions)

    def encode(self, shared: Array, power_w: Array, bandwidth_hz: Array) -> NDArray[np.float32]:
        """The canonical actions of decisions, or those nearest to them; the inverse of `decode`."""
        return encode(self.feasible, shared, power_w, bandwidth_hz)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Take decisions, shape (num_envs, 3 users), each in [-1, 1].

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
            InvalidValueError: a wrong shape, or a number that is not finite.
        """
        if not self._begun:
            raise gymnasium.error.ResetNeeded("nobody asks for pictures: call reset() first")
        s = self.simulator
        outcome = s.outcome(*self.decode(actions))
        opinions = s.opinions(outcome)
        self.entity_rewards = (opinions - FLOOR) - self.settings.energy_weight * outcome.server_j
        self._tally.add(outcome, opinions, s.person)
        self.last = (outcome, opinions)
        over = s.advance(outcome)
        observations = self.observe()
        infos: dict[str, Any] = {}
        if over.any():
            infos = self.final_infos(over, observations, self.measures())
            self._tally.clear(over)
            s.begin(over)
            observations = self.observe()
        return observations, self.entity_rewards.sum(-1), over, np.zeros(self.num_envs, dtype=bool), infos

    def measures(self) -> dict[str, Array]:
        """What the sessions have come to so far, as `Tally.measures`."""
        return self._tally.measures(self.simulator.index)

    def summarise(self, final: dict[str, Array]) -> dict[str, float]:
        """Means over finished sessions, late and lost in percent, QoE a preset."""
        return summarise(final)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""
        return {"begun": self._begun, "simulator": self.simulator.state_dict(), "tally": self._tally.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.simulator.load_state_dict(state["simulator"])
        self._begun = state["begun"]
        self._tally.load_state_dict(state["tally"])


def feasible_set(users: int, power_w: float, bandwidth_hz: float) -> Product:
    """Decisions for so many users: k of each, and power and bandwidth under budgets."""
    scale = max(1.0, min(users, MOST_OF_EQUAL) - 1)
    return Product(
        shared=Integer(0, STEPS, (users,)),
        power=Budget(users, power_w, scale),
        bandwidth=Budget(users, bandwidth_hz, scale),
    )


def decode(feasible: Product, actions: NDArray[np.float32]) -> tuple[NDArray[np.int64], Array, Array]:
    """Actions, shape (n, 3 users), as k, powers in watts and bandwidths in hertz, shape (n, users) each."""
    parts = feasible.split(feasible.decode(torch.from_numpy(actions)))
    power, bandwidth = (parts[name].numpy().astype(np.float64) for name in ("power", "bandwidth"))
    return parts["shared"].numpy().astype(np.int64), power, bandwidth


def encode(feasible: Product, shared: Array, power_w: Array, bandwidth_hz: Array) -> NDArray[np.float32]:
    """The canonical actions, shape (n, 3 users), of decisions, shape (n, users) each, or those nearest to them."""
    parts = {"shared": shared, "power": power_w, "bandwidth": bandwidth_hz}
    decision = torch.cat([torch.from_numpy(np.asarray(parts[name], np.float32)) for name in feasible.parts], -1)
    return feasible.encode_nearest(decision).numpy()

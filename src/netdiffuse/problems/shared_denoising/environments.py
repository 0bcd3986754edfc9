"""Shared denoising as Gymnasium environments: one session, or many in step."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, UnknownNameError, checks
from netdiffuse.denoising.cost import NOISE_DENSITY_W_PER_HZ
from netdiffuse.problems.base import Structure
from netdiffuse.problems.batched import BatchedEnv
from netdiffuse.problems.feasible import Budget, Integer, Product
from netdiffuse.problems.shared_denoising.outcomes import STEPS, Outcome
from netdiffuse.problems.shared_denoising.picture import picture, table
from netdiffuse.problems.shared_denoising.simulator import (
    Quality,
    SharedDenoisingSimulator,
    quality_by_table,
)
from netdiffuse.users.persona import COLUMNS
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]

ENERGY_WEIGHT = 0.01  # rating points a joule of the server
MOST_OF_EQUAL = 2.5  # a user's share of power or bandwidth is at most so many times the equal one
FEATURES = ("similarity", "group_share", "snr_db / 10", "frequency_ghz", "battery_left", "session_left")
OUTCOMES = ("table", "pictures")
MOST_NAMED = 20  # personas that have a name of their own in the measures
SUMS = ("qoe", "server_energy_j", "shared_steps", "late", "lost")


class SharedDenoisingVectorEnv(BatchedEnv):
    """Many sessions of `SharedDenoisingEnv` in step, without a loop over sessions or users.

    A session that ends starts anew in the same step (SAME_STEP).

    Args:
        num_envs: number of sessions.
        users, groups, slots, personas, show_personas, energy_weight, outcome, bandwidth_hz, power_w, battery_j, noisy:
            as `SharedDenoisingEnv`.

    Attributes:
        feasible: the decisions: `shared` (k), `power` (watts) and `bandwidth` (hertz), an entry a user each.
        simulator: what goes on.
    """

    discount: ClassVar[float] = 0.95
    reference_rule: ClassVar[str | None] = "greedy"
    structure: Structure = "entities"
    feasible: Product

    def __init__(
        self,
        num_envs: int = 1,
        users: int = 8,
        groups: int = 3,
        slots: int = 12,
        personas: str = "presets",
        show_personas: bool = True,
        energy_weight: float = ENERGY_WEIGHT,
        outcome: str = "table",
        bandwidth_hz: float = 2e5,
        power_w: float = 0.1,
        battery_j: float = 150.0,
        noisy: bool = True,
    ) -> None:
        if outcome not in OUTCOMES:
            raise UnknownNameError("outcome", str(outcome), OUTCOMES)
        self.simulator = SharedDenoisingSimulator(
            num_envs, users, groups, slots, personas, bandwidth_hz, power_w, battery_j, noisy, _quality(outcome)
        )
        self.show_personas = bool(show_personas)
        self.energy_weight = checks.non_negative("energy_weight", energy_weight)
        self.num_envs = self.simulator.n
        n = self.simulator.users
        scale = max(1.0, min(n, MOST_OF_EQUAL) - 1)
        self.feasible = Product(
            shared=Integer(0, STEPS, (n,)),
            power=Budget(n, self.simulator.power_w, scale),
            bandwidth=Budget(n, self.simulator.bandwidth_hz, scale),
        )
        columns = len(FEATURES) + (len(COLUMNS) if self.show_personas else 0)
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (n, columns), np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (self.feasible.action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._sums = {name: np.zeros(self.num_envs) for name in SUMS}
        self._of_person = np.zeros((2, self.num_envs, len(self.simulator.names)))  # opinions above the floor; how many
        self._begun = False
        self.last: tuple[Outcome, Array] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin all sessions.

        Args:
            seed: seeds the one generator of all sessions; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.simulator.random = np.random.default_rng(seed)
        self.simulator.begin()
        self._clear(np.ones(self.num_envs, bool))
        self._begun, self.last = True, None
        return self.observe(), {}

    def observe(self) -> NDArray[np.float32]:
        """Observations, shape (num_envs, users, features)."""
        s = self.simulator
        together = s.slot.group[:, :, None] == s.slot.group[:, None, :]
        # SNR of the equal split, in which the number of users cancels
        snr_db = 10 * np.log10(s.power_w * s.slot.gain / (NOISE_DENSITY_W_PER_HZ * s.bandwidth_hz))
        left = np.broadcast_to((1 - s.index / s.slots)[:, None], s.left_j.shape)
        columns = [
            s.slot.similarity,
            together.mean(-1),
            snr_db / 10,
            s.frequency_hz / 1e9,
            s.left_j / s.battery_j,
            left,
        ]
        seen = np.stack(columns, -1)
        if self.show_personas:
            seen = np.concatenate([seen, s.population[s.person]], -1)
        return seen.astype(np.float32)

    def decode(self, actions: Array) -> tuple[NDArray[np.int64], Array, Array]:
        """Actions, shape (num_envs, 3 users), as k, powers in watts and bandwidths in hertz, (num_envs, users) each.

        Raises:
            InvalidValueError: a wrong shape, or a number that is not finite.
        """
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape:
            raise InvalidValueError(f"actions must have shape {self.action_space.shape}, got {actions.shape}")
        parts = self.feasible.split(self.feasible.decode(torch.from_numpy(actions)))
        power, bandwidth = (parts[name].numpy().astype(np.float64) for name in ("power", "bandwidth"))
        return parts["shared"].numpy().astype(np.int64), power, bandwidth

    def encode(self, shared: Array, power_w: Array, bandwidth_hz: Array) -> NDArray[np.float32]:
        """The canonical actions of decisions, or those nearest to them; the inverse of `decode`."""
        parts = {"shared": shared, "power": power_w, "bandwidth": bandwidth_hz}
        decision = torch.cat([torch.from_numpy(np.asarray(parts[n], np.float32)) for n in self.feasible.parts], -1)
        return self.feasible.encode_nearest(decision).numpy()

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
        rewards = (opinions - FLOOR).sum(-1) - self.energy_weight * outcome.server_j
        self._count(outcome, opinions)
        self.last = (outcome, opinions)
        over = s.advance(outcome)
        observations = self.observe()
        infos: dict[str, Any] = {}
        if over.any():
            infos = self.final_infos(over, observations, self.measures())
            self._clear(over)
            s.begin(over)
            observations = self.observe()
        return observations, rewards, over, np.zeros(self.num_envs, dtype=bool), infos

    def measures(self) -> dict[str, Array]:
        """What the sessions have come to so far, arrays of shape (num_envs,).

        `qoe` (mean of a user's opinion above the floor), `server_energy_j` (a slot), `shared_steps` (mean of a user),
        `late` and `lost` (shares of users) and, for presets, `qoe_<name>` and `users_<name>`, whose are how many.
        """
        s = self.simulator
        slots = np.maximum(s.index, 1)
        found = {
            name: values / (slots if name == "server_energy_j" else slots * s.users)
            for name, values in self._sums.items()
        }
        if len(s.names) <= MOST_NAMED:
            for column, name in enumerate(s.names):
                found[f"qoe_{name}"] = self._of_person[0, :, column].copy()
                found[f"users_{name}"] = self._of_person[1, :, column].copy()
        return found

    def summarise(self, final: dict[str, Array]) -> dict[str, float]:
        """Means over finished sessions of what `measures` tells, late and lost in percent, QoE a preset."""
        found = {name: float(final[name].mean()) for name in SUMS if name not in ("late", "lost")}
        found |= {f"{name}_percent": 100 * float(final[name].mean()) for name in ("late", "lost")}
        for key in final:
            if key.startswith("users_") and final[key].sum() > 0:
                name = f"qoe_{key.removeprefix('users_')}"
                found[name] = float(final[name].sum() / final[key].sum())
        return found

    def _count(self, outcome: Outcome, opinions: Array) -> None:
        above = opinions - FLOOR
        numbers = (above.sum(-1), outcome.server_j, outcome.shared.sum(-1), outcome.late.sum(-1), outcome.lost.sum(-1))
        for name, number in zip(SUMS, numbers, strict=True):
            self._sums[name] += number
        if len(self.simulator.names) <= MOST_NAMED:
            is_person = self.simulator.person[..., None] == np.arange(len(self.simulator.names))
            self._of_person[0] += (is_person * above[..., None]).sum(1)
            self._of_person[1] += is_person.sum(1)

    def _clear(self, which: NDArray[np.bool_]) -> None:
        for values in self._sums.values():
            values[which] = 0.0
        self._of_person[:, which] = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""
        return {
            "begun": self._begun,
            "simulator": self.simulator.state_dict(),
            "sums": {name: values.copy() for name, values in self._sums.items()},
            "of_person": self._of_person.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.simulator.load_state_dict(state["simulator"])
        self._begun = state["begun"]
        self._sums = {name: values.copy() for name, values in state["sums"].items()}
        self._of_person = state["of_person"].copy()


class SharedDenoisingEnv(gymnasium.Env[Array, Array]):
    """Decide how users share the denoising of their pictures, and how power and bandwidth are divided among them.

    ## Description
    Users around an edge server ask for pictures, one each in every slot. Whose prompts belong to a group share the
    first k of T = 11 denoising steps, which the server runs once; the state crosses the radio, and each device does the
    other steps by its own prompt. More shared steps spare batteries, but pictures show the leader's prompt instead of
    the user's, and the server's energy has a price. Users with personalities say what they think of the picture, the
    delay and the battery. After Du et al., "Reinforcement Learning With LLMs Interaction For Distributed Diffusion
    Model Services" (IEEE TPAMI 2025, arXiv 2311.11094), whose equations of energy, fading and QoE are not published in
    full: this is an environment after theirs, not a reproduction. Choices are listed below.

    ## Action space
    `Box(-1, 1, (3 N,))`, the standardised coordinates of a `Product`: k of each user (`Integer` 0..T), powers
    (`Budget`), bandwidths (`Budget`); a user gets at most two and a half times the equal share.

    ## Observation space
    `Box(-inf, inf, (N, 6 or 18))`, a row a user: cosine of the user's prompt with the group's leader's (1 for the
    leader), share of users in the group, SNR of the equal split (dB / 10), device frequency (GHz), battery (share of a
    full one), share of the session that is left; then, with `show_personas`, the persona's traits and wants
    (`netdiffuse.users.persona.COLUMNS`).

    ## Reward
    sum over users of (rating - 1) - energy_weight x joules of the server.

    ## Dynamics
    In a slot each user joins one of the groups, which has a theme (an object, or a place), and asks for one of its 8
    captions; the medoid leads. Users walk, 5 m a slot; path loss, shadowing and Rayleigh fading (a new block each slot)
    are those of `netdiffuse.channels.LogDistance`, at noise of -174 dBm/Hz. The server runs groups side by side on 2
    processors of 3 GHz (slower where there are more groups), devices have 1 to 2 GHz; a step has 50 times the cycles of
    HIS, so that a picture takes 4 to 8 s on a device alone. The state has 131,072 bits, sent at Shannon's rate; its bit
    errors are those of uncoded QPSK at that SNR. Whoever waits for it longer than 10 s goes on alone. A device draws
    its steps' energy from its battery, which is never charged; where that is empty there is no picture (quality 0).
    Quality is read from a table that was measured with the small model over similarity, k / T and bit error rate, or
    judged on real pictures (`outcome="pictures"`, which needs the extra [denoising] and takes about a second a slot).
    Users are drawn anew each session. Ratings are `netdiffuse.users.ParametricRater`'s.

    ## Episode end
    Terminated after `slots` slots. Never truncated. Discount 0.95.

    ## Info
    The measures of `SharedDenoisingVectorEnv.measures`, so far.

    ## Arguments
    Args:
        users: N.
        groups: of prompts in a slot, at most.
        slots: of a session.
        personas: "presets" (each user is one of the six presets) or "random" (drawn around the average one).
        show_personas: whether they are observed.
        energy_weight: rating points a joule of the server, at least 0.
        outcome: "table" or "pictures".
        bandwidth_hz: what is divided among users.
        power_w: likewise.
        battery_j: what a full battery holds for pictures.
        noisy: whether ratings are drawn, as people's are, or their means.
        render_mode: None, "ansi" for a table or "rgb_array" for a picture.

    Raises:
        InvalidValueError: an argument outside its range.
        UnknownNameError: an unknown render mode, outcome or kind of personas.
        MissingExtraError: `outcome="pictures"` without the extra [denoising].

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(
        self,
        users: int = 8,
        groups: int = 3,
        slots: int = 12,
        personas: str = "presets",
        show_personas: bool = True,
        energy_weight: float = ENERGY_WEIGHT,
        outcome: str = "table",
        bandwidth_hz: float = 2e5,
        power_w: float = 0.1,
        battery_j: float = 150.0,
        noisy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), ["ansi", "rgb_array"])
        self.render_mode = render_mode
        self._all = SharedDenoisingVectorEnv(
            1, users, groups, slots, personas, show_personas, energy_weight, outcome, bandwidth_hz, power_w, battery_j,
            noisy,
        )  # fmt: skip
        self.observation_space, self.action_space = self._all.single_observation_space, self._all.single_action_space
        self.simulator, self.feasible = self._all.simulator, self._all.feasible
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a session.

        Args:
            seed: seeds the environment's own generator; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        self.simulator.random = self.np_random
        observations, _ = self._all.reset()
        self._running = True
        return observations[0], self._info()

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Take a decision, shape (3 N,).

        Raises:
            gymnasium.error.ResetNeeded: the session is over, or none has begun.
            InvalidValueError: a wrong shape, or a number that is not finite.
        """
        if not self._running:
            raise gymnasium.error.ResetNeeded("nobody asks for pictures: call reset() first")
        observations, rewards, over, _, infos = self._all.step(np.asarray(action)[None])
        if not over[0]:
            return observations[0], float(rewards[0]), False, False, self._info()
        self._running = False
        final = infos["final_info"]
        measures = {name: float(values[0]) for name, values in final.items() if not name.startswith("_")}
        return infos["final_obs"][0], float(rewards[0]), True, False, measures

    def render(self) -> Any:
        """The users as a table ("ansi") or a picture, shape (400, 600, 3), uint8 ("rgb_array").

        Raises:
            gymnasium.error.ResetNeeded: there is nothing to show yet.
        """
        if self.render_mode is None:
            return None
        if not self._running and self._all.last is None:
            raise gymnasium.error.ResetNeeded("there is nothing to show: call reset() first")
        return (table if self.render_mode == "ansi" else picture)(self.simulator, self._all.last)

    def _info(self) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in self._all.measures().items()}


def _quality(outcome: str) -> Quality:
    if outcome == "table":
        return quality_by_table
    from netdiffuse.problems.shared_denoising.pictures import QualityByPictures

    return QualityByPictures()

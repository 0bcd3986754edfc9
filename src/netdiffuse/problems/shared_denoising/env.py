"""Shared denoising as a Gymnasium environment: one session."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import UnknownNameError
from netdiffuse.problems.shared_denoising.picture import Scene, picture, table
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.vector_env import SharedDenoisingVectorEnv

Array = NDArray[Any]


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
    Terminated after `slots` slots. Never truncated. Discount 0.9.

    ## Info
    The measures of `SharedDenoisingVectorEnv.measures`, so far.

    ## Arguments
    Args:
        render_mode: None, "ansi" for a table or "rgb_array" for a picture.
        **settings: `users`, `groups`, `slots`, `personas`, `show_personas`, `energy_weight`, `outcome`, `bandwidth_hz`,
            `power_w`, `battery_j` and `noisy`, as `SharedDenoisingSettings`.

    Raises:
        InvalidValueError: an argument outside its range.
        UnknownNameError: an unknown render mode, outcome or kind of personas.
        MissingExtraError: `outcome="pictures"` without the extra [denoising].

    ## Version history
    * v0: first version.
    """

    settings_type = SharedDenoisingSettings  # what `**settings` are
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), ["ansi", "rgb_array"])
        self.render_mode = render_mode
        self._all = SharedDenoisingVectorEnv(1, **settings)
        self.observation_space, self.action_space = self._all.single_observation_space, self._all.single_action_space
        self.simulator, self.feasible = self._all.simulator, self._all.feasible
        self._running = False
        self._ended: Scene | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a session.

        Args:
            seed: seeds the session's generators; None goes on with them.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        observations, _ = self._all.reset(seed=seed)
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
        before = Scene.of(self.simulator)
        observations, rewards, over, _, infos = self._all.step(np.asarray(action)[None])
        if not over[0]:
            return observations[0], float(rewards[0]), False, False, self._info()
        assert self._all.last is not None  # there has been a step
        self._running, self._ended = False, before.over(self._all.last[0])
        final = infos["final_info"]
        measures = {name: float(values[0]) for name, values in final.items() if not name.startswith("_")}
        return infos["final_obs"][0], float(rewards[0]), True, False, measures

    def render(self) -> Any:
        """The users as a table ("ansi") or a picture, shape (400, 600, 3), uint8 ("rgb_array").

        After the last slot these are the users who were rated, with what they asked for in it.

        Raises:
            gymnasium.error.ResetNeeded: there is nothing to show yet.
        """
        if self.render_mode is None:
            return None
        scene = Scene.of(self.simulator) if self._running else self._ended
        if scene is None:
            raise gymnasium.error.ResetNeeded("there is nothing to show: call reset() first")
        return (table if self.render_mode == "ansi" else picture)(scene, self._all.last)

    def _info(self) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in self._all.measures().items()}

"""Edge AIGC services as Gymnasium environments: one episode, or many in step."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.problems.aigc_services.picture import picture, table
from netdiffuse.problems.aigc_services.providers import Providers
from netdiffuse.problems.aigc_services.simulator import ServiceSimulator
from netdiffuse.problems.batched import BatchedEnv

Array = NDArray[Any]
DISCOUNT = 0.95


def make_providers(instance: str = "reference", providers: int | None = None, instance_seed: int = 0) -> Providers:
    """The providers that an environment's arguments name.

    Args:
        instance: "reference" for the paper's 20, "random" for drawn ones, or the path of a JSON file.
        providers: how many to draw; for "random" alone (20 unless told).
        instance_seed: of the draw.

    Raises:
        InvalidValueError: `providers` without "random", or a file that cannot be read.
    """
    if instance == "random":
        return Providers.draw(20 if providers is None else providers, instance_seed)
    found = Providers.reference() if instance == "reference" else Providers.read(instance)
    if providers not in (None, len(found)):
        raise InvalidValueError(
            f"instance '{instance}' has {len(found)} providers, not {providers}: use instance='random' to draw some"
        )
    return found


def _spaces(simulator: ServiceSimulator) -> tuple[spaces.Box, spaces.Discrete]:
    p = len(simulator.providers)
    # shares and the task's numbers lie in [0, 1]; a provider of one's own may have a capacity above 900
    high = np.ones(2 * p + 2, np.float32)
    high[0 : 2 * p : 2] = np.maximum(simulator.providers.total_t / 900, 1)
    return spaces.Box(0.0, high, dtype=np.float32), spaces.Discrete(p)


class AIGCServicesEnv(gymnasium.Env[Array, Any]):
    """Give each user's task to one of 20 edge providers of AI-generated content (AIGC).

    ## Description
    Users ask for pictures, one task after another; each task needs a number of denoising steps t. An agent gives it to
    a service provider. Providers differ in capacity, which is seen, and in the quality of their pictures, which is
    not. One that is given more than it has room for crashes, and loses all that it runs. After Du et al.,
    "Diffusion-based Reinforcement Learning for Edge-enabled AI-Generated Content Services" (IEEE TMC 2024, arXiv
    2303.13052); dynamics as in the authors' code.

    ## Action space
    `Discrete(P)`: the provider, P = 20 for the reference instance.

    ## Observation space
    `Box(0, 1, (2 P + 2,), float32)`: for each provider its capacity over 900 steps and its free share of it, then of
    the task that waits t / 250 and its running time over that of 250 steps.

    ## Reward
    Where the provider has room, at once the quality q(t) of the picture: 0 for t < ax, then rising linearly from 0 to
    by - ay over [ax, bx], then by - ay. Otherwise -(2 + sum of 2 (1 - progress) over the tasks that it was running).

    ## Tasks
    The first at time 0, then a Poisson process of `rate` a second over `horizon` seconds, about 1,000 tasks; t uniform
    over {100, 110, ..., 250}; a task runs (0.001 t^2 + 2.5 t - 14) minutes.

    ## Episode end
    Terminated when the last task arrives, which is not assigned. Never truncated. The paper's discount is 0.95.

    ## Info
    `served` (tasks accepted), `finished`, `crashed` (running tasks lost) and `crashes`, so far; `time`, in seconds.

    ## Action masks
    `action_masks()`, as in sb3-contrib: which providers have room for the task that waits.

    ## Arguments
    Args:
        instance: "reference", "random", or the path of a JSON file with providers.
        providers: how many providers "random" draws; 20 unless told.
        instance_seed: seed of that draw.
        rate: arrivals a second.
        horizon: length of an episode in seconds.
        render_mode: None, "ansi" for a table or "rgb_array" for a picture.

    Raises:
        InvalidValueError: an argument outside its range.
        UnknownNameError: an unknown render mode.

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(
        self,
        instance: str = "reference",
        providers: int | None = None,
        instance_seed: int = 0,
        rate: float = 0.001,
        horizon: float = 1e6,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), ["ansi", "rgb_array"])
        self.render_mode = render_mode
        self.simulator = ServiceSimulator(make_providers(instance, providers, instance_seed), 1, rate, horizon)
        self.observation_space, self.action_space = _spaces(self.simulator)
        self._running = False
        self._last: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: seeds the environment's own generator; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        self.simulator.random = self.np_random
        self.simulator.begin()
        self._running, self._last = True, None
        return self.simulator.observe()[0], self._info()

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Give the task that waits to provider number `action`.

        Raises:
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
            InvalidValueError: no such provider.
        """
        if not self._running:
            raise gymnasium.error.ResetNeeded("there is no task to assign: call reset() first")
        reward = self.simulator.assign(np.asarray(action).reshape(1))[0]
        self._last = int(action)
        over = bool(self.simulator.over[0])
        self._running = not over
        return self.simulator.observe()[0], float(reward), over, False, self._info()

    def action_masks(self) -> NDArray[np.bool_]:
        """Which providers have room for the task that waits, shape (P,); all, where none has."""
        return _masks(self.simulator)[0]

    def render(self) -> Any:
        """A table of the providers as text ("ansi"), or a picture, shape (400, 600, 3), uint8 ("rgb_array").

        Raises:
            gymnasium.error.ResetNeeded: there is nothing to show yet.
        """
        if self.render_mode is None:
            return None
        if not self._running and self._last is None:
            raise gymnasium.error.ResetNeeded("there is nothing to show: call reset() first")
        return (table if self.render_mode == "ansi" else picture)(self.simulator, self._last)

    def _info(self) -> dict[str, Any]:
        counts = {name: int(values[0]) for name, values in self.simulator.counts.items()}
        return {**counts, "time": int(self.simulator.now[0])}


class AIGCServicesVectorEnv(BatchedEnv):
    """Many episodes of `AIGCServicesEnv` in step, without a loop over episodes or providers.

    An episode that ends starts anew in the same step (SAME_STEP).

    Args:
        num_envs: number of episodes.
        instance, providers, instance_seed, rate, horizon: as `AIGCServicesEnv`.
    """

    discount: ClassVar[float] = DISCOUNT
    reference_rule: ClassVar[str | None] = "prophet"

    def __init__(
        self,
        num_envs: int = 1,
        instance: str = "reference",
        providers: int | None = None,
        instance_seed: int = 0,
        rate: float = 0.001,
        horizon: float = 1e6,
    ) -> None:
        self.simulator = ServiceSimulator(make_providers(instance, providers, instance_seed), num_envs, rate, horizon)
        self.num_envs = self.simulator.n
        self.single_observation_space, self.single_action_space = _spaces(self.simulator)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin all episodes.

        Args:
            seed: seeds the one generator of all episodes; None goes on with it.
            options: not used.
        """
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.simulator.random = np.random.default_rng(seed)
        self.simulator.begin()
        self._begun = True
        return self.simulator.observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Give the task that waits in each episode to a provider, actions of shape (num_envs,).

        Raises:
            gymnasium.error.ResetNeeded: `reset` has not been called.
            InvalidValueError: a wrong shape, or a number that is no provider's.
        """
        if not self._begun:
            raise gymnasium.error.ResetNeeded("there are no tasks to assign: call reset() first")
        rewards = self.simulator.assign(np.asarray(actions))
        over = self.simulator.over.copy()
        infos: dict[str, Any] = {}
        observations = self.simulator.observe()
        if over.any():
            infos = self.final_infos(over, observations, self.simulator.counts)
            self.simulator.begin(over)
            observations = self.simulator.observe()
        return observations, rewards, over, np.zeros(self.num_envs, dtype=bool), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which providers have room for the task that waits, shape (num_envs, P); all, where none has."""
        return _masks(self.simulator)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""
        return {"begun": self._begun, "simulator": self.simulator.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.simulator.load_state_dict(state["simulator"])
        self._begun = state["begun"]

    def summarise(self, final: dict[str, Array]) -> dict[str, float]:
        """What an evaluation tells of finished episodes beside their return: percent of accepted tasks lost."""
        served = float(final["served"].sum())
        return {"crash_percent": 100 * float(final["crashed"].sum()) / served if served else 0.0}


def _masks(simulator: ServiceSimulator) -> NDArray[np.bool_]:
    room = simulator.room()
    return room | ~room.any(-1, keepdims=True)  # where none has room one must crash: a mask allows something

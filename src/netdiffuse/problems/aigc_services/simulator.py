"""Episodes of edge AIGC services, many in step: arrivals, assignments, crashes, without a loop over any of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.problems.aigc_services.providers import MAX_STEPS, MAX_TOTAL, MIN_STEPS, STEP, Providers

Array = NDArray[Any]

CRASH_PENALTY = 2.0
NEVER = np.iinfo(np.int64).max
MOST_TASKS = 1_000_000  # of an episode, on average
COUNTS = ("served", "finished", "crashed", "crashes")


def runtime_seconds(steps: Array) -> NDArray[np.float64]:
    """How long a task of so many denoising steps runs: (0.001 t^2 + 2.5 t - 14) minutes, in seconds."""
    t = np.asarray(steps, dtype=np.float64)
    return (0.001 * t**2 + 2.5 * t - 14) * 60


class ServiceSimulator:
    """n independent episodes in step: in each, one task after another is given to a provider.

    The first task arrives at time 0, the others as a Poisson process (whole seconds); each needs `t` steps, uniform
    over {100, 110, ..., 250}. A provider with room runs it at once. One without room crashes: the new task and all
    that it runs are lost, and it is empty again. Before each decision, finished tasks leave.

    Args:
        providers: the providers.
        n: number of episodes.
        rate: arrivals a second.
        horizon: length of an episode in seconds.

    Attributes:
        counts: for each of `COUNTS` an integer an episode, shape (n,): tasks accepted, tasks that ended in time,
            running tasks lost, and crashes.
        load: the steps that each provider runs, shape (n, P).

    Raises:
        InvalidValueError: n below 1, or a rate or a horizon that is not positive, or too many tasks.
    """

    def __init__(self, providers: Providers, n: int, rate: float = 0.001, horizon: float = 1e6) -> None:
        self.providers = providers
        self.n = checks.integer("num_envs", n)
        self.rate = checks.positive("rate", rate)
        self.horizon = checks.positive("horizon", horizon)
        if self.rate * self.horizon > MOST_TASKS:
            raise InvalidValueError(
                f"an episode must have at most {MOST_TASKS} tasks on average, rate {rate} and horizon {horizon} give "
                f"{self.rate * self.horizon:.3g}"
            )
        slots = int(providers.total_t.max()) // MIN_STEPS  # no provider runs more tasks at once
        shape = (self.n, len(providers), slots)
        self.random = np.random.default_rng()
        self.counts: dict[str, NDArray[np.int64]] = {name: np.zeros(self.n, np.int64) for name in COUNTS}
        self._steps = np.zeros(shape)  # of the task in each slot; 0 where there is none
        self._starts = np.zeros(shape)
        self._ends = np.zeros(shape)
        self._arrivals = np.zeros((self.n, 1), np.int64)
        self._needs = np.zeros((self.n, 1))
        self._tasks = np.zeros(self.n, np.int64)
        self._index = np.zeros(self.n, np.int64)
        self._rows = np.arange(self.n)
        # what does not change, looked up instead of computed
        self._longest = float(runtime_seconds(np.array(MAX_STEPS)))
        self._quality = providers.quality(np.arange(MAX_STEPS + 1))  # (steps, P)

    def begin(self, which: NDArray[np.bool_] | None = None) -> None:
        """Start the marked episodes anew (all by default): new tasks, and empty providers."""
        rows = self._rows if which is None else np.flatnonzero(which)
        if not rows.size:
            return
        arrivals = self.random.poisson(self.rate * self.horizon, len(rows))
        counts = 1 + np.maximum(arrivals, 1)  # at least one task to assign before the last one
        width = int(counts.max())  # of these episodes alone: a seed gives the same ones whatever was played before
        if width > self._arrivals.shape[1]:
            more = ((0, 0), (0, width - self._arrivals.shape[1]))
            self._arrivals = np.pad(self._arrivals, more, constant_values=NEVER)
            self._needs = np.pad(self._needs, more)
        times = self.random.random((len(rows), width)) * self.horizon
        times[np.arange(width) >= counts[:, None]] = np.inf
        times[:, 0] = 0.0  # then sorted uniform times are those of a Poisson process, given their number
        times.sort(axis=1)
        beyond = np.isinf(times)
        self._arrivals[rows, :width] = np.where(beyond, NEVER, np.where(beyond, 0.0, times).astype(np.int64))
        self._arrivals[rows, width:] = NEVER
        needs = self.random.integers(0, (MAX_STEPS - MIN_STEPS) // STEP + 1, (len(rows), width))
        self._needs[rows, :width] = MIN_STEPS + STEP * needs
        self._tasks[rows] = counts
        self._index[rows] = 0
        self._steps[rows] = 0.0
        for values in self.counts.values():
            values[rows] = 0

    @property
    def index(self) -> NDArray[np.int64]:
        """Number of the current task in its episode, from 0, shape (n,)."""
        return self._index

    @property
    def now(self) -> NDArray[np.int64]:
        """Seconds since the start of each episode, shape (n,)."""
        return self._arrivals[self._rows, self._index]

    @property
    def need(self) -> NDArray[np.float64]:
        """Denoising steps of the task that waits, shape (n,)."""
        return self._needs[self._rows, self._index]

    @property
    def load(self) -> NDArray[np.float64]:
        """Denoising steps that each provider runs, shape (n, P)."""
        return self._steps.sum(-1)

    @property
    def running(self) -> NDArray[np.int64]:
        """Number of tasks that each provider runs, shape (n, P)."""
        return np.count_nonzero(self._steps, axis=-1)

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which episodes have come to their last task, which nobody is asked about, shape (n,)."""
        return self._index >= self._tasks - 1

    def room(self) -> NDArray[np.bool_]:
        """Which providers have room for the task that waits, shape (n, P)."""
        return self.providers.total_t - self.load >= self.need[:, None]

    def quality(self) -> NDArray[np.float64]:
        """Quality that each provider would give the task that waits, shape (n, P). Not part of the observation."""
        return self._quality[self.need.astype(np.int64)]

    def observe(self) -> NDArray[np.float32]:
        """Observations, shape (n, 2 P + 2): for each provider total_t / 900 and its free share; t / 250; runtime."""
        p = len(self.providers)
        out = np.empty((self.n, 2 * p + 2), np.float32)
        out[:, 0 : 2 * p : 2] = self.providers.total_t / MAX_TOTAL
        out[:, 1 : 2 * p : 2] = 1 - self.load / self.providers.total_t
        need = self.need
        out[:, -2] = need / MAX_STEPS
        out[:, -1] = runtime_seconds(need) / self._longest
        return out

    def assign(self, choice: Array) -> NDArray[np.float64]:
        """Give the task that waits in each episode to a provider, and move on to the next arrival.

        Args:
            choice: a provider's number for each episode, shape (n,).

        Returns:
            Rewards, shape (n,): the picture's quality, or where the provider crashes
            -(2 + sum of 2 (1 - progress) over the tasks that it ran).

        Raises:
            InvalidValueError: a wrong shape, or a number that is no provider's.
        """
        choice = np.asarray(choice)
        if choice.shape != (self.n,) or not np.issubdtype(choice.dtype, np.integer):
            raise InvalidValueError(
                f"actions must be {self.n} integers, one an episode, got {choice.dtype} of shape {choice.shape}"
            )
        if ((choice < 0) | (choice >= len(self.providers))).any():
            bad = int(choice[(choice < 0) | (choice >= len(self.providers))][0])
            raise InvalidValueError(f"actions must be 0 to {len(self.providers) - 1}, a provider's number, got {bad}")
        rows, now, need = self._rows, self.now, self.need
        steps = self._steps[rows, choice]  # (n, slots)
        enough = self.providers.total_t[choice] - steps.sum(-1) >= need
        rewards = self._quality[need.astype(np.int64), choice]

        full = np.flatnonzero(~enough)  # these crash
        if full.size:
            provider = choice[full]
            lost = steps[full] > 0
            starts, ends = self._starts[full, provider], self._ends[full, provider]
            progress = (now[full, None] - starts) / np.where(lost, ends - starts, 1.0)
            rewards[full] = -CRASH_PENALTY * (1 + ((1 - progress) * lost).sum(-1))
            self._steps[full, provider] = 0.0
            self.counts["crashed"][full] += lost.sum(-1)
            self.counts["crashes"][full] += 1

        taken = np.flatnonzero(enough)
        slot = (steps[taken] == 0).argmax(-1)  # the first free one
        place = (taken, choice[taken], slot)
        self._steps[place] = need[taken]
        self._starts[place] = now[taken]
        self._ends[place] = now[taken] + runtime_seconds(need[taken])
        self.counts["served"][taken] += 1

        self._index += 1
        done = (self._steps > 0) & (self._ends <= self.now[:, None, None])
        self._steps[done] = 0.0
        self.counts["finished"] += done.sum((1, 2))
        return rewards

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""
        names = ("_steps", "_starts", "_ends", "_arrivals", "_needs", "_tasks", "_index")
        arrays = {name: getattr(self, name).copy() for name in names}
        counts = {name: values.copy() for name, values in self.counts.items()}
        providers = {name: values.copy() for name, values in vars(self.providers).items()}
        return {
            "arrays": arrays,
            "counts": counts,
            "random": self.random.bit_generator.state,
            "providers": providers,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InvalidValueError: the state is of another number of episodes or of other providers.
        """
        shape = state["arrays"]["_steps"].shape
        if shape != self._steps.shape:
            raise InvalidValueError(f"the saved episodes must have shape {self._steps.shape}, got {shape}")
        for name, values in vars(self.providers).items():
            if not np.array_equal(values, state["providers"][name]):
                raise InvalidValueError(
                    f"the saved episodes are of providers with another {name}: was their file edited?"
                )
        for name, values in state["arrays"].items():
            setattr(self, name, values.copy())
        self.counts = {name: values.copy() for name, values in state["counts"].items()}
        self.random.bit_generator.state = state["random"]

"""Classical rules for shared denoising: who shares how many steps, with what power and bandwidth, without learning."""

from abc import ABC, abstractmethod
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.outcomes import STEPS, server_joules
from netdiffuse.problems.shared_denoising.vector_env import decode, encode
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]
MOST_SEARCHED = 3  # users: the search tries all numbers of steps of all users
STEP_J = float(server_joules(np.ones(1))[0])  # of the server, for a step
SHARES = 4  # parts in which the search divides bandwidth


class DenoisingRule(ABC):
    """Decides for all users of every session.

    Attributes:
        name: its name in tables and on the command line.
        description: one line for lists.
        searches: whether it takes so long to decide that it is played only where it is asked for.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    searches: ClassVar[bool] = False

    @abstractmethod
    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:
        """Actions, shape (num_envs, 3 users); only the random rule draws from `random`."""

    def fits(self, env: SharedDenoisingVectorEnv) -> bool:  # noqa: ARG002
        """Whether it can decide there."""
        return True


class RandomSharing(DenoisingRule):
    """Any decision."""

    name = "random"
    description = "any decision"

    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:
        """Draw coordinates uniformly."""
        return random.uniform(-1, 1, env.action_space.shape or ()).astype(np.float32)


class Alone(DenoisingRule):
    """Nobody shares anything."""

    name = "alone"
    description = "every device denoises alone"

    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:  # noqa: ARG002
        """No shared step."""
        return env.encode(*equal_split(env, np.zeros((env.num_envs, env.simulator.users), np.int64)))


class EqualShares(DenoisingRule):
    """Half of the steps shared by all, power and bandwidth divided equally."""

    name = "equal-shares"
    description = "half of the steps shared, equal power and bandwidth"

    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:  # noqa: ARG002
        """The same for everybody."""
        return env.encode(*equal_split(env, np.full((env.num_envs, env.simulator.users), STEPS // 2)))


class GreedySharing(DenoisingRule):
    """For each user the shared steps that serve the user best now, at equal power and bandwidth.

    It knows the users' personalities and how they rate, but not the future of their batteries; a user pays an equal
    part of what the server's steps for the group cost. Power and bandwidth then go to those who share, equally.
    """

    name = "greedy"
    description = "the steps that serve each user best now: knows how users rate, not the future"

    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:  # noqa: ARG002
        """Try every number of steps for all."""
        s = env.simulator
        members = (s.slot.group[:, :, None] == s.slot.group[:, None, :]).sum(-1)
        values = []
        for k in range(STEPS + 1):
            outcome = s.outcome(*equal_split(env, np.full((s.n, s.users), k)))
            price = env.settings.energy_weight * STEP_J * k / members
            values.append(s.mean_opinions(outcome) - price)
        return env.encode(*equal_split(env, np.argmax(values, 0), only_sharers=True))


class Exhaustive(DenoisingRule):
    """Every decision on a grid: all numbers of shared steps, bandwidth in quarters, power in proportion to it.

    The best in expectation now, of what the environment can carry out; not the future either. For three users at most.
    """

    name = "exhaustive"
    description = f"tries all decisions on a grid, for {MOST_SEARCHED} users at most"
    searches = True

    def fits(self, env: SharedDenoisingVectorEnv) -> bool:
        """A few users."""
        return env.simulator.users <= MOST_SEARCHED

    def choose(self, env: SharedDenoisingVectorEnv, random: np.random.Generator) -> NDArray[np.float32]:  # noqa: ARG002
        """Try them all, in all sessions at once."""
        s = env.simulator
        n = s.users
        best = np.full(s.n, -np.inf)
        found: list[Array] = [np.zeros((s.n, n)) for _ in range(3)]
        splits = [np.array(p) / SHARES for p in product(range(SHARES + 1), repeat=n) if sum(p) == SHARES]
        for k in product(range(STEPS + 1), repeat=n):
            for split in splits:
                if any((share > 0) != (steps > 0) for share, steps in zip(split, k, strict=True)) and any(k):
                    continue  # bandwidth for who sends nothing, or none for who does
                parts = np.array(k), split * env.settings.power_w, split * env.settings.bandwidth_hz
                reached = decode(env.feasible, encode(env.feasible, *(part[None] for part in parts)))
                decision = [part.repeat(s.n, 0) for part in reached]
                outcome = s.outcome(*decision)
                each = s.mean_opinions(outcome) - FLOOR - env.settings.energy_weight * outcome.server_j
                value = each.sum(-1)
                better = value > best
                best[better] = value[better]
                for kept, tried in zip(found, decision, strict=True):
                    kept[better] = tried[better]
        return env.encode(*found)


DENOISING_RULES: dict[str, DenoisingRule] = {
    rule.name: rule for rule in (RandomSharing(), Alone(), EqualShares(), GreedySharing(), Exhaustive())
}


def equal_split(env: SharedDenoisingVectorEnv, shared: Array, only_sharers: bool = False) -> tuple[Array, Array, Array]:
    """These shared steps with power and bandwidth divided equally, among all or among those who share.

    Where so few share that each would get more than a user can, the environment carries out what is nearest to it.
    """
    share = np.ones(shared.shape) if not only_sharers else (shared > 0).astype(np.float64)
    share /= np.maximum(share.sum(-1, keepdims=True), 1)
    return shared, share * env.settings.power_w, share * env.settings.bandwidth_hz

"""Classical rules for edge AIGC services: to whom a task goes, without learning. Ties go to the lowest number."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.aigc_services import ServiceSimulator

Choice = NDArray[np.int64]


class ServiceRule(ABC):
    """Chooses a provider for the task that waits in every episode.

    Attributes:
        name: its name in tables and on the command line.
        description: one line for lists.
    """

    name: ClassVar[str]
    description: ClassVar[str]

    @abstractmethod
    def choose(self, simulator: ServiceSimulator, random: np.random.Generator) -> Choice:
        """Providers' numbers, shape (n,); only the random rule draws from `random`."""


class RandomProvider(ServiceRule):
    """Any provider."""

    name = "random"
    description = "any provider"

    def choose(self, simulator: ServiceSimulator, random: np.random.Generator) -> Choice:
        """Draw uniformly."""
        return random.integers(0, len(simulator.providers), simulator.n)


class RoundRobin(ServiceRule):
    """One provider after another."""

    name = "round-robin"
    description = "one provider after another"

    def choose(self, simulator: ServiceSimulator, random: np.random.Generator) -> Choice:  # noqa: ARG002
        """Count tasks from the start of the episode."""
        return simulator.index % len(simulator.providers)


class CrashAvoid(ServiceRule):
    """The provider with the most free steps."""

    name = "crash-avoid"
    description = "the provider with the most free steps"

    def choose(self, simulator: ServiceSimulator, random: np.random.Generator) -> Choice:  # noqa: ARG002
        """Look at loads."""
        return (simulator.providers.total_t - simulator.load).argmax(1)


class Prophet(ServiceRule):
    """The best quality among the providers with room; it knows the hidden curves, but not the future.

    Provider 0 where none has room. Myopic, so no upper bound: what it fills now may be missed later.
    """

    name = "prophet"
    description = "the best quality with room: knows the hidden curves, not the future"

    def choose(self, simulator: ServiceSimulator, random: np.random.Generator) -> Choice:  # noqa: ARG002
        """Look at the hidden qualities."""
        room = simulator.room()
        best = np.where(room, simulator.quality(), -1.0).argmax(1)
        return np.where(room.any(1), best, 0)


SERVICE_RULES: dict[str, ServiceRule] = {
    rule.name: rule for rule in (RandomProvider(), RoundRobin(), CrashAvoid(), Prophet())
}

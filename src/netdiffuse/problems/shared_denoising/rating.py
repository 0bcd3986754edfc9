"""Who rates the sessions' pictures: the parametric rater, or any other."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising.outcomes import Outcome
from netdiffuse.users import ParametricRater, Sensitivities

if TYPE_CHECKING:
    from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

Array = NDArray[Any]


class Rating(Protocol):
    """Opinions of an outcome."""

    def __call__(self, simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
        """Opinions in [1, 5], shape (sessions, users); randomness comes from `simulator.opinion_random`."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, to go on bit for bit."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class ParametricRating:
    """`ParametricRater`, which remembers nothing.

    Args:
        noisy: whether opinions are drawn, as people's are, or means.
    """

    def __init__(self, noisy: bool = True) -> None:
        self.noisy = noisy
        self._rater = ParametricRater(0)

    def __call__(self, simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
        """Opinions in [1, 5], shape (sessions, users)."""
        if not self.noisy:
            return parametric_means(simulator, outcome)
        return self._rater.draw(*_felt(simulator, outcome), random=simulator.opinion_random)

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def parametric_means(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
    """Mean opinions of `ParametricRater`, shape (sessions, users)."""
    return ParametricRater(0).mean(*_felt(simulator, outcome))


def energy_share(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
    """Share of what each battery held that the picture drew, in [0, 1], shape (sessions, users).

    An empty battery that nothing was asked of (all steps shared) lost nothing; one that could not do its steps
    lost all.
    """
    left = simulator.left_j
    share = np.divide(outcome.device_j, left, out=outcome.lost.astype(np.float64), where=left > 0)
    return np.minimum(share, 1.0)


def _felt(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> tuple[Sensitivities, Array, Array, Array]:
    people = Sensitivities.of(simulator.population[simulator.person])
    return people, outcome.quality, outcome.delay_s, energy_share(simulator, outcome)

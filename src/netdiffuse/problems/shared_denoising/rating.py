"""Who rates the sessions' pictures: the parametric rater, or any other."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising import outcomes
from netdiffuse.problems.shared_denoising.outcomes import Outcome
from netdiffuse.users import Calibration, ParametricRater, Sensitivities
from netdiffuse.users.qoe import CEILING, FLOOR

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


class CalibratedRating(ParametricRating):
    """`ParametricRater`, corrected by what people have said.

    Args:
        calibration: the correction.
        noisy: whether opinions are drawn, as people's are, or means.
    """

    def __init__(self, calibration: Calibration, noisy: bool = True) -> None:
        super().__init__(noisy)
        self.calibration = calibration

    def __call__(self, simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
        """Opinions in [1, 5], shape (sessions, users)."""
        people = simulator.population[simulator.person]
        sensitivities, *felt = _felt(simulator, outcome)
        mean = parametric_means(simulator, outcome) + self.calibration(people, *felt)
        mean = np.clip(mean, FLOOR, CEILING)
        return self._rater.around(mean, sensitivities, simulator.opinion_random) if self.noisy else mean

    def state_dict(self) -> dict[str, Any]:
        """Whose correction it is, so that what was rated otherwise can be told from it."""
        return {"calibration": self.calibration.digest}


def parametric_means(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
    """Mean opinions of `ParametricRater`, shape (sessions, users)."""
    return ParametricRater(0).mean(*_felt(simulator, outcome))


def energy_share(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
    """Share of what each battery held that the picture drew, in [0, 1], shape (sessions, users)."""
    return outcomes.energy_share(outcome.device_j, outcome.lost, simulator.left_j)


def _felt(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> tuple[Sensitivities, Array, Array, Array]:
    people = Sensitivities.of(simulator.population[simulator.person])
    return people, outcome.quality, outcome.delay_s, energy_share(simulator, outcome)

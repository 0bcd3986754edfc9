"""Users as a formula: the embedded rater, fast enough for any training."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from netdiffuse.common import checks
from netdiffuse.users.description import short
from netdiffuse.users.experience import Experience, Opinion, check_pairs
from netdiffuse.users.persona import Array, Persona
from netdiffuse.users.qoe import CEILING, FLOOR
from netdiffuse.users.responses import delay_response, energy_response, quality_response
from netdiffuse.users.sensitivities import Sensitivities

MODEL = "parametric"
SURELY = 1e-9  # a Beta distribution needs a mean inside (0, 1)


class Factors(NamedTuple):
    """What is left of satisfaction by each of the three, in [0, 1]; their product is satisfaction."""

    quality: Array
    delay: Array
    energy: Array


class ParametricRater:
    """Ratings by documented relations between quality, delay, energy, personality and opinion.

    Satisfaction is a product, s = prod_i (1 - w_i (1 - s_i)) over quality, delay and energy, with the responses s_i of
    `responses` and the weights w_i of `sensitivities`: what is bad in one respect is not made up for in another
    (additive and multiplicative models are compared by Hossfeld et al., "On additive and multiplicative QoS-QoE models
    for multiple QoS parameters", PQS 2016; this product with weights is ours). A user's leniency b and extremity g act
    on its log-odds, logit(s') = g logit(s) + b, so that nothing is clipped. The mean opinion is 1 + 4 s'.

    A draw is that mean with a Beta distribution on [1, 5] of variance a (mean - 1) (5 - mean): exactly the SOS
    hypothesis (Hossfeld, Schatz and Egger, "SOS: the MOS is not enough!", QoMEX 2011), here of one user's repeated
    ratings, and unbiased: draws average to the mean.

    The mean never falls with quality and never rises with delay or energy.

    Args:
        seed: of the draws.
        noisy: whether `rate` draws; else it gives the mean.

    Attributes:
        random: generator of the draws; save its state, `random.bit_generator.state`, to go on exactly.
    """

    def __init__(self, seed: int = 0, noisy: bool = True) -> None:
        self.random = np.random.default_rng(checks.seed("seed", seed))
        self.noisy = noisy

    def factors(
        self, people: Sensitivities, quality: ArrayLike, delay_s: ArrayLike, energy_share: ArrayLike
    ) -> Factors:
        """What is left of satisfaction by quality, delay and energy; arguments broadcast."""
        return Factors(
            _left(people.quality_weight, quality_response(quality, people.steepness, people.half_quality)),
            _left(people.delay_weight, delay_response(delay_s, people.unnoticed_s, people.patience_s)),
            _left(people.energy_weight, energy_response(energy_share, people.energy_tolerance)),
        )

    def mean(self, people: Sensitivities, quality: ArrayLike, delay_s: ArrayLike, energy_share: ArrayLike) -> Array:
        """Mean opinions in [1, 5].

        Args:
            people: n users (or of any shape that broadcasts).
            quality: in [0, 1], shape (..., n).
            delay_s: seconds, at least 0, shape (..., n).
            energy_share: share of what the battery held, in [0, 1], shape (..., n).
        """
        quality_left, delay_left, energy_left = self.factors(people, quality, delay_s, energy_share)
        s = quality_left * delay_left * energy_left
        yes = np.exp(people.leniency) * s**people.extremity
        satisfied = yes / (yes + (1 - s) ** people.extremity)
        return FLOOR + (CEILING - FLOOR) * satisfied

    def draw(
        self,
        people: Sensitivities,
        quality: ArrayLike,
        delay_s: ArrayLike,
        energy_share: ArrayLike,
        random: np.random.Generator | None = None,
    ) -> Array:
        """Opinions in [1, 5] with the noise of people who rate.

        Args:
            people: as for `mean`.
            quality: as for `mean`.
            delay_s: as for `mean`.
            energy_share: as for `mean`.
            random: whose numbers to use; the rater's own unless told.
        """
        return self.around(self.mean(people, quality, delay_s, energy_share), people, random)

    def around(self, mean: ArrayLike, people: Sensitivities, random: np.random.Generator | None = None) -> Array:
        """Opinions in [1, 5] around any mean, with the noise of these people.

        Args:
            mean: in [1, 5], shape (..., n).
            people: as for `mean`.
            random: whose numbers to use; the rater's own unless told.
        """
        mean = np.asarray(mean, np.float64)
        satisfied = np.clip((mean - FLOOR) / (CEILING - FLOOR), SURELY, 1 - SURELY)
        precision = 1 / people.inconsistency - 1  # variance of Beta(p m, p (1 - m)) is m (1 - m) / (1 + p)
        drawn = (random or self.random).beta(precision * satisfied, precision * (1 - satisfied))
        return FLOOR + (CEILING - FLOOR) * drawn

    def rate(self, personas: Sequence[Persona], experiences: Sequence[Experience]) -> list[Opinion]:
        """One opinion for each pair, with the strongest complaint as its reason.

        Raises:
            InvalidValueError: lists of different lengths.
        """
        check_pairs(personas, experiences)
        if not personas:
            return []
        people = Sensitivities.of(personas)
        given = np.array([[e.quality, e.delay_s, e.energy_share] for e in experiences]).T
        means = self.mean(people, *given)
        ratings = self.draw(people, *given) if self.noisy else means
        spreads = people.inconsistency * (means - FLOOR) * (CEILING - means) if self.noisy else np.zeros_like(means)
        left = np.stack(self.factors(people, *given))
        return [
            Opinion(float(rating), _reason(experience, factors), float(spread))
            for rating, spread, experience, factors in zip(ratings, spreads, experiences, left.T, strict=True)
        ]

    def forget(self, names: Collection[str] | None = None) -> None:
        """Nothing is remembered."""

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"random": self.random.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.random.bit_generator.state = state["random"]


def _left(weight: Array, response: Array) -> Array:
    return 1 - weight * (1 - response)


def _reason(experience: Experience, left: Array) -> str:
    """The strongest complaint, if there is one."""
    if left.min() > 0.9:
        return "nothing to complain of"
    return (
        f"the picture shows {100 * experience.quality:.0f}% of what was asked for",
        f"it took {short(experience.delay_s)} s",
        f"it drew {short(100 * experience.energy_share)}% of the battery",
    )[int(left.argmin())]

"""Who a user is: five traits of personality, and what they want of a picture and of waiting for it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, UnknownNameError, checks

Array = NDArray[np.float64]

LONGEST_S = 3600.0  # that anyone is patient


@dataclass(frozen=True)
class Preferences:
    """What a user of average personality would want; the traits bend these numbers (see `sensitivities`).

    Attributes:
        quality_importance: share of the satisfaction that the worst picture takes away, in [0, 1].
        delay_importance: share that waiting beyond all patience takes away, in [0, 1].
        energy_importance: share that an emptied battery takes away, in [0, 1].
        least_quality: quality at which half of the way from the worst to the best picture is felt, in [0, 1].
        unnoticed_s: delay up to which nothing is felt, seconds, positive.
        patience_s: delay beyond which it cannot get worse, seconds, above `unnoticed_s` and at most an hour.
        energy_tolerance: share of the battery whose draw takes half of what energy can take away, in (0, 1].

    Raises:
        InvalidValueError: a number outside its range.
    """

    quality_importance: float = 0.95
    delay_importance: float = 0.6
    energy_importance: float = 0.3
    least_quality: float = 0.5
    unnoticed_s: float = 0.5
    patience_s: float = 20.0
    energy_tolerance: float = 0.1

    def __post_init__(self) -> None:
        for name in ("quality_importance", "delay_importance", "energy_importance", "least_quality"):
            checks.fraction(name, getattr(self, name))
        checks.positive("unnoticed_s", self.unnoticed_s)
        if checks.finite("patience_s", self.patience_s) <= self.unnoticed_s:
            raise InvalidValueError(f"patience_s must be above unnoticed_s, got {self.patience_s!r}")
        if self.patience_s > LONGEST_S:
            raise InvalidValueError(f"patience_s must be at most {LONGEST_S:g} s, got {self.patience_s!r}")
        if checks.positive("energy_tolerance", self.energy_tolerance) > 1:
            raise InvalidValueError(f"energy_tolerance must be in (0, 1], got {self.energy_tolerance!r}")


@dataclass(frozen=True)
class Persona:
    """A user: the Big Five traits (Costa and McCrae, NEO-PI-R, 1992), each in [0, 1] with 0.5 the average, and wants.

    Attributes:
        name: tells users apart; a rater that remembers does so by name. It is never shown to a language model.
        openness: curiosity, feeling for beauty.
        conscientiousness: order, diligence, self-control.
        extraversion: energy, outspokenness.
        agreeableness: kindness, trust.
        neuroticism: worry, irritability.
        preferences: what the user wants.

    Raises:
        InvalidValueError: an empty name, or a trait outside [0, 1].
    """

    name: str
    openness: float = 0.5
    conscientiousness: float = 0.5
    extraversion: float = 0.5
    agreeableness: float = 0.5
    neuroticism: float = 0.5
    preferences: Preferences = Preferences()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InvalidValueError(f"a persona needs a name, got {self.name!r}")
        for trait in TRAITS:
            checks.fraction(trait, getattr(self, trait))
        if not isinstance(self.preferences, Preferences):
            raise InvalidValueError(f"preferences must be Preferences, got {type(self.preferences).__name__}")

    def to_dict(self) -> dict[str, Any]:
        """The persona as plain numbers and text, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Persona":
        """A persona from plain numbers and text; what is left out is average, apart from the name.

        Raises:
            InvalidValueError: no mapping, or a number outside its range.
            UnknownNameError: a trait or preference that does not exist.
        """
        given = _known("trait", said, ("name", *TRAITS, "preferences"))
        if "name" not in given:
            raise InvalidValueError("a persona needs a 'name'")
        if "preferences" in given:
            given["preferences"] = Preferences(**_known("preference", given["preferences"], PREFERENCES))
        return cls(**given)


TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
PREFERENCES = tuple(field.name for field in dataclasses.fields(Preferences))
COLUMNS = (*TRAITS, *PREFERENCES)

AVERAGE = Persona("average")
PRESETS: dict[str, Persona] = {
    persona.name: persona
    for persona in (
        AVERAGE,
        Persona("aesthete", 0.95, 0.5, 0.4, 0.5, 0.55, Preferences(1.0, 0.4, 0.2, 0.65, 0.5, 40.0, 0.15)),
        Persona("perfectionist", 0.5, 0.95, 0.4, 0.25, 0.7, Preferences(1.0, 0.6, 0.3, 0.7)),
        Persona("impatient", 0.4, 0.15, 0.8, 0.3, 0.85, Preferences(0.8, 0.9, 0.2, 0.4, 0.3, 8.0)),
        Persona("easygoing", 0.5, 0.4, 0.6, 0.9, 0.1, Preferences(0.85, 0.4, 0.2, 0.35, 1.0, 40.0, 0.2)),
        Persona("frugal", 0.5, 0.8, 0.3, 0.6, 0.6, Preferences(0.85, 0.5, 0.8, 0.45, 0.5, 30.0, 0.03)),
    )
}


def preset(name: str) -> Persona:
    """A named persona.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in PRESETS:
        raise UnknownNameError("persona", name, PRESETS)
    return PRESETS[name]


def persona_of(name: str, numbers: Sequence[float]) -> Persona:
    """A persona from a row of `persona_table`.

    Raises:
        InvalidValueError: another number of numbers than `COLUMNS` has, or one outside its range.
    """
    if len(numbers) != len(COLUMNS):
        raise InvalidValueError(
            f"a persona has {len(COLUMNS)} numbers ({', '.join(COLUMNS)}), got {len(numbers)} of them"
        )
    traits, wants = numbers[: len(TRAITS)], numbers[len(TRAITS) :]
    return Persona(name, **dict(zip(TRAITS, traits, strict=True)), preferences=Preferences(*wants))


def draw_personas(n: int, random: np.random.Generator | int, base: Persona = AVERAGE) -> list[Persona]:
    """Draw users at random: traits around the middle, wants around those of a base.

    Traits are independent Beta(4, 4) (mean 0.5, standard deviation 1/6); importances and `least_quality` are the
    base's plus a normal deviation of 0.1, held to [0, 1]; times and `energy_tolerance` are the base's times a lognormal
    factor with a logarithmic deviation of 0.4, one for both times. These spreads are choices of ours, not published
    numbers; so is the independence, for in people traits correlate (Digman, Journal of Personality and Social
    Psychology 73, 1997).

    Args:
        n: how many, at least 1.
        random: a generator, which is advanced, or a seed.
        base: whose preferences are varied; its times should suit the problem.

    Returns:
        n personas, named "user 0" and so on.
    """
    checks.integer("n", n)
    if not isinstance(random, np.random.Generator):
        random = np.random.default_rng(checks.seed("random", random))
    traits = random.beta(4, 4, (n, len(TRAITS)))
    shifts = 0.1 * random.standard_normal((n, 4))
    factors = np.exp(0.4 * random.standard_normal((n, 2)))
    wants = base.preferences
    fractions = np.clip(np.array([getattr(wants, name) for name in PREFERENCES[:4]]) + shifts, 0, 1)
    drawn = []
    for i in range(n):
        given = dict(zip(PREFERENCES[:4], fractions[i].tolist(), strict=True))
        given["unnoticed_s"] = float(wants.unnoticed_s * factors[i, 0])
        given["patience_s"] = float(min(LONGEST_S, wants.patience_s * factors[i, 0]))
        given["energy_tolerance"] = float(min(1.0, wants.energy_tolerance * factors[i, 1]))
        personality = dict(zip(TRAITS, traits[i].tolist(), strict=True))
        drawn.append(Persona(f"user {i}", **personality, preferences=Preferences(**given)))
    return drawn


def persona_table(personas: Sequence[Persona]) -> Array:
    """The numbers of n personas, shape (n, 12), with the columns `COLUMNS`: what a policy may see of them.

    Raises:
        InvalidValueError: no personas.
    """
    if not personas:
        raise InvalidValueError("there must be a persona or more")
    return np.array(
        [[*(getattr(p, t) for t in TRAITS), *(getattr(p.preferences, w) for w in PREFERENCES)] for p in personas],
        dtype=np.float64,
    )


def _known(kind: str, said: Any, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise InvalidValueError(f"a persona must be an object with traits and preferences, got {said!r}")
    for name in said:
        if name not in names:
            raise UnknownNameError(kind, str(name), names)
    return dict(said)

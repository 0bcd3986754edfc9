"""Is a rater fit to be a reward? It should tell better from worse, mean what it says, and know its users apart."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.users.agreement import DECIMALS, rank_correlation, reliability, weighted_kappa
from netdiffuse.users.experience import Experience, Rater
from netdiffuse.users.persona import Persona

Array = NDArray[np.float64]
PROMPTS = (
    "a red apple on a wooden table",
    "a sailing boat at sunset",
    "a small dog in the snow",
    "a city street at night",
)
BASE = Experience(PROMPTS[0], quality=0.8, delay_s=2.0, energy_share=0.02)
"""What stays as it is while one thing is swept."""

LEVELS: dict[str, tuple[float, ...]] = {
    "quality": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "delay_s": (0.25, 1.0, 2.0, 4.0, 8.0, 16.0),
    "energy_share": (0.0, 0.02, 0.05, 0.1, 0.2, 0.4),
}
RISES = {"quality": 1, "delay_s": -1, "energy_share": -1}
"""Whether a higher level should raise the rating or lower it."""

LEAST: dict[str, float] = {
    "quality": 0.8,
    "delay_s": 0.8,
    "energy_share": 0.5,
    "retest": 0.7,
    "personas": 0.1,
    "spread": 0.1,
}
"""What each check needs at the least. 0.7 is the usual limit of reliability for research (Nunnally, Psychometric
Theory, 1978); the others are choices of ours."""


@dataclass(frozen=True)
class Check:
    """One thing that a reward needs.

    Attributes:
        name: "quality", "delay_s" and "energy_share": mean Spearman correlation of the rating with the level, over
            personas, positive where better is rated better, and 0 for a persona whose rating does not move; "retest":
            Spearman correlation of two sittings, 1 by nature where a rater leaves nothing to chance; "personas": share
            of the variance that lies between personas, 1 by nature where a rater leaves nothing to chance; "spread":
            standard deviation between personas, in rating points, which nature gives to nobody.
        value: found; None where nothing varies.
        least: what is needed.
        fallback: share in [0, 1] of the ratings it rests on that a language model's fallback gave.
    """

    name: str
    value: float | None
    least: float
    fallback: float = 0.0

    @property
    def passed(self) -> bool | None:
        """Whether the value is there and enough; None where any of it is the fallback's, which tells nothing."""
        return None if self.fallback else self.value is not None and self.value >= self.least


@dataclass(frozen=True)
class Audit:
    """What an audit found. Standard deviations are in rating points.

    Attributes:
        checks: what a reward needs.
        mean: of all ratings of random experiences.
        between_std: standard deviation between personas who rate the same, of their means over the sittings.
        within_std: standard deviation of one persona's sittings.
        persona_means: mean rating by persona.
        at_ends: share of ratings at 1 or 5, within a twentieth of a point.
        retest_kappa: quadratic weighted kappa of two sittings.
        agreement: `spearman` and `kappa` with another rater, if there is one, and no rating is a fallback's.
        wrong_steps: by what is swept, share of steps to the next level that move the rating the wrong way.
        sweeps: by what is swept and by persona, the mean rating at each of `LEVELS`.
        ratings: how many were asked for.
        fallback: share in [0, 1] of the audited rater's ratings that a language model's fallback gave.
    """

    checks: tuple[Check, ...]
    mean: float
    between_std: float
    within_std: float
    persona_means: dict[str, float]
    at_ends: float
    retest_kappa: float | None
    agreement: dict[str, float | None] | None
    wrong_steps: dict[str, float]
    sweeps: dict[str, dict[str, list[float]]]
    ratings: int
    fallback: float

    @property
    def fit(self) -> bool:
        """Whether every check is passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        found = asdict(self) | {"fit": self.fit}
        found["checks"] = [asdict(check) | {"passed": check.passed} for check in self.checks]
        found["levels"] = {name: list(levels) for name, levels in LEVELS.items()}
        return found


def draw_experiences(n: int, random: np.random.Generator, prompts: Sequence[str] = PROMPTS) -> list[Experience]:
    """Random experiences over what `LEVELS` covers: quality uniform, delay log-uniform, energy squared-uniform."""
    low, high = np.log(LEVELS["delay_s"][0]), np.log(LEVELS["delay_s"][-1])
    return [
        Experience(
            prompts[i % len(prompts)],
            quality=float(random.uniform()),
            delay_s=float(np.exp(random.uniform(low, high))),
            energy_share=float(LEVELS["energy_share"][-1] * random.uniform() ** 2),
        )
        for i in range(n)
    ]


def audit(
    sittings: Sequence[Rater],
    personas: Sequence[Persona],
    n_experiences: int = 60,
    seed: int = 0,
    other: Rater | None = None,
    done: Callable[[int, int], object] | None = None,
) -> Audit:
    """Put a rater to the test.

    Args:
        sittings: the same rater two times or more, with seeds of their own, so that they can disagree.
        personas: two users or more, of different names.
        n_experiences: random ones, rated by every persona in every sitting; at least 2.
        seed: of the experiences.
        other: a rater to compare with on the random experiences.
        done: called with the number of ratings that are done, and of all.

    Raises:
        InvalidValueError: one sitting, one persona, two personas of one name, or too few experiences.
    """
    checks.integer("n_experiences", n_experiences, minimum=2)
    if len(sittings) < 2:
        raise InvalidValueError(f"an audit needs two sittings or more, got {len(sittings)}")
    check_personas(personas)
    drawn = draw_experiences(n_experiences, np.random.default_rng(checks.seed("seed", seed)))
    swept = {name: [_at(name, level) for level in levels] for name, levels in LEVELS.items()}
    asked = len(personas) * len(sittings) * (len(drawn) + sum(map(len, swept.values())))
    total = asked + (len(personas) * len(drawn) if other else 0)
    count = 0

    # Each with whether it is the fallback's, 1 or 0; shape (personas, experiences, 2).
    def ratings(rater: Rater, experiences: Sequence[Experience]) -> Array:
        nonlocal count
        rows = []
        for persona in personas:
            opinions = rater.rate([persona] * len(experiences), experiences)
            rows.append([(opinion.rating, opinion.source == "fallback") for opinion in opinions])
            count += len(experiences)
            if done is not None:
                done(count, total)
        return np.array(rows, dtype=np.float64)

    of_random = np.stack([ratings(rater, drawn) for rater in sittings], axis=2)
    random, by_fallback = of_random[..., 0], of_random[..., 1]
    of_sweeps = {
        name: np.mean([ratings(rater, experiences) for rater in sittings], axis=0)
        for name, experiences in swept.items()
    }
    sweeps = {name: values[..., 0] for name, values in of_sweeps.items()}
    share = {name: float(values[..., 1].mean()) for name, values in of_sweeps.items()}
    share["retest"] = float(by_fallback[..., :2].mean())
    share["personas"] = share["spread"] = float(by_fallback.mean())
    fallbacks = sum(values[..., 1].sum() * len(sittings) for values in of_sweeps.values()) + by_fallback.sum()
    means = random.mean(2)
    between = float(np.sqrt(means.var(0, ddof=1).mean()))
    agreement = None
    if other is not None:
        theirs = ratings(other, drawn)[..., 0]
        if not by_fallback.any():  # which would agree with itself
            agreement = {"spearman": rank_correlation(means, theirs), "kappa": weighted_kappa(means, theirs)}
    first, second = random[..., 0], random[..., 1]
    found: dict[str, float | None] = {
        **{name: _trend(values, name) for name, values in sweeps.items()},
        "retest": rank_correlation(first, second),
        "personas": reliability(random),
        "spread": between,
    }
    return Audit(
        checks=tuple(Check(name, found[name], least, share[name]) for name, least in LEAST.items()),
        mean=float(random.mean()),
        between_std=between,
        within_std=float(np.sqrt(random.var(2, ddof=1).mean())),
        persona_means={p.name: float(mean) for p, mean in zip(personas, means.mean(1), strict=True)},
        at_ends=float(((random < 1.05) | (random > 4.95)).mean()),
        retest_kappa=weighted_kappa(first, second),
        agreement=agreement,
        wrong_steps={
            name: float((RISES[name] * np.diff(values) < -(10.0**-DECIMALS)).mean()) for name, values in sweeps.items()
        },
        sweeps={
            name: {p.name: row.tolist() for p, row in zip(personas, values, strict=True)}
            for name, values in sweeps.items()
        },
        ratings=total,
        fallback=float(fallbacks / asked),
    )


def check_personas(personas: Sequence[Persona]) -> None:
    """Refuse a crowd that cannot be told apart.

    Raises:
        InvalidValueError: one persona, or two of one name.
    """
    names = [persona.name for persona in personas]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidValueError(f"an audit needs two personas or more, of different names, got {', '.join(names)}")


def _at(name: str, level: float) -> Experience:
    """The base with one thing at a level."""
    given: dict[str, Any] = {name: level}
    return replace(BASE, **given)


def _trend(sweep: Array, name: str) -> float:
    """Mean over personas of the correlation of levels with ratings, positive where better is rated better."""
    found = [rank_correlation(np.multiply(RISES[name], LEVELS[name]), row) or 0.0 for row in sweep]
    return float(np.mean(found))

"""Edge service providers: how much they can run at once, and how good their pictures are."""

import json
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdiffuse.common import InvalidValueError, checks

Array = NDArray[np.float64]

MIN_STEPS, MAX_STEPS, STEP = 100, 250, 10  # denoising steps of a task
MAX_TOTAL = 900  # denoising steps that a provider can run at once

CHOICES: dict[str, NDArray[Any]] = {
    "total_t": np.arange(400, MAX_TOTAL + 1, 100).astype(float),
    "ax": np.arange(0, 91, 10).astype(float),
    "ay": np.arange(10) * 0.05,
    "bx": np.arange(150, 241, 10).astype(float),
    "by": 0.5 + np.arange(10) * 0.05,
}
"""What each number of a provider is drawn from, uniformly and independently."""


@dataclass(frozen=True)
class Providers:
    """P service providers, each with a capacity and a curve of quality over denoising steps.

    The quality of a picture of t steps is 0 for t < ax, rises linearly from 0 to by - ay over [ax, bx], and stays there
    (Du et al., IEEE TMC 2024, Section III, with the curve of the authors' code).

    Attributes:
        total_t: denoising steps that each can run at once, shape (P,).
        ax, ay, bx, by: corners of the curves, shape (P,); ax < bx, in steps; ay and by in [0, 1].

    Raises:
        InvalidValueError: numbers of different lengths, or outside their ranges; the message names the provider.
    """

    total_t: Array
    ax: Array
    ay: Array
    bx: Array
    by: Array

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.asarray(getattr(self, field.name), dtype=np.float64)
            object.__setattr__(self, field.name, values)
            if values.ndim != 1 or values.shape != np.shape(self.total_t) or not values.size:
                raise InvalidValueError(
                    f"{field.name} must hold one number a provider, got shape {values.shape} for {len(self)} providers"
                )
        finite = [np.isfinite(getattr(self, field.name)) for field in fields(self)]
        rules = {
            "all numbers finite": np.logical_and.reduce(finite),
            f"total_t >= {MAX_STEPS}, room for every task": self.total_t >= MAX_STEPS,
            "0 <= ax < bx": (self.ax >= 0) & (self.ax < self.bx),
            "0 <= ay <= by <= 1": (self.ay >= 0) & (self.ay <= self.by) & (self.by <= 1),
        }
        for rule, holds in rules.items():
            if not holds.all():
                bad = int(np.flatnonzero(~holds)[0])
                values_ = {field.name: float(getattr(self, field.name)[bad]) for field in fields(self)}
                raise InvalidValueError(f"provider {bad} must have {rule}, got {values_}")

    def __len__(self) -> int:
        """Number of providers P."""
        return int(np.size(self.total_t))

    def quality(self, steps: ArrayLike) -> Array:
        """Quality in [0, 1] of a picture of so many denoising steps at each provider: shape (...) to (..., P)."""
        t = np.asarray(steps, dtype=np.float64)[..., None]
        rising = (self.by - self.ay) * (t - self.ax) / (self.bx - self.ax)
        return np.where(t < self.ax, 0.0, np.where(t > self.bx, self.by - self.ay, rising))

    @classmethod
    def reference(cls) -> "Providers":
        """The 20 providers of the paper's evaluation."""
        place = resources.files("netdiffuse.problems.aigc_services") / "reference_instance.json"
        return _parse(json.loads(place.read_text(encoding="utf-8")), "the reference instance")

    @classmethod
    def draw(cls, n: int, seed: int = 0) -> "Providers":
        """Draw n providers, every number of each from `CHOICES`."""
        random = np.random.default_rng(checks.integer("instance_seed", seed, minimum=0))
        size = checks.integer("providers", n)
        return cls(**{name: random.choice(choices, size) for name, choices in CHOICES.items()})

    @classmethod
    def read(cls, path: str | Path) -> "Providers":
        """Providers from a JSON file: {"providers": [{"total_t": 400, "ax": 10, "ay": 0, "bx": 210, "by": 0.8}, ...]}.

        Raises:
            InvalidValueError: there is no such file, it is no JSON, or a number is missing or outside its range.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidValueError(f"instance '{path}' cannot be read: {error.strerror}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InvalidValueError(f"instance '{path}' is not JSON: {error}") from error
        return _parse(content, f"instance '{path}'")


def _parse(content: Any, place: str) -> Providers:
    try:
        rows = [{name: checks.finite(name, row[name]) for name in CHOICES} for row in content["providers"]]
    except (KeyError, TypeError) as error:
        raise InvalidValueError(
            f"{place} must be {{'providers': [{{'total_t', 'ax', 'ay', 'bx', 'by'}}, ...]}}, missing or wrong: {error}"
        ) from error
    return Providers(**{name: np.array([row[name] for row in rows]) for name in CHOICES})

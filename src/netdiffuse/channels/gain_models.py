"""Random models of channel power gains: what a problem draws its contexts from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from netdiffuse.channels.decibels import db_to_linear
from netdiffuse.channels.fading import nakagami_power_gain, rayleigh_power_gain
from netdiffuse.channels.path_loss import log_distance_path_loss_db
from netdiffuse.channels.shadowing import shadowing_db
from netdiffuse.common import InvalidValueError, checks


class GainModel(ABC):
    """A distribution of linear power gains |h|^2 >= 0, drawn independently for each context."""

    @abstractmethod
    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw the gains of n contexts, shape (n, entities), float32, with this generator alone."""


@dataclass(frozen=True)
class Uniform(GainModel):
    """Gains uniform between `low` and `high`.

    Sequences give ranges to consecutive groups of channels of equal size (some larger by one where
    that does not divide): `Uniform((1, 0), (2, 1))` is U(1, 2) for the first half of the channels and U(0, 1)
    for the second, and a range a channel is a sequence as long as there are channels.

    Raises:
        InvalidValueError: a negative bound, a low above its high, or sequences of different lengths.
    """

    low: float | Sequence[float] = 0.0
    high: float | Sequence[float] = 1.0
    _ranges: tuple[list[float], list[float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high = self._bounds("low", self.low), self._bounds("high", self.high)
        if len(low) != len(high) and 1 not in (len(low), len(high)):
            raise InvalidValueError(f"low and high must have equal lengths, got {self.low!r} and {self.high!r}")
        groups = max(len(low), len(high))
        low, high = low * (groups // len(low)), high * (groups // len(high))
        for a, b in zip(low, high, strict=True):
            if a > b:
                raise InvalidValueError(f"low must not exceed high, got {a!r} above {b!r}")
        object.__setattr__(self, "_ranges", (low, high))

    @staticmethod
    def _bounds(name: str, value: float | Sequence[float]) -> list[float]:
        if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str):
            return [checks.non_negative(name, value)]
        if not len(value):
            raise InvalidValueError(f"{name} must be a number or a non-empty sequence, got {value!r}")
        return [checks.non_negative(name, v) for v in value]

    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw gains; InvalidValueError where there are more groups than entities."""
        low, high = (torch.tensor(bounds) for bounds in self._ranges)
        if len(low) > entities:
            raise InvalidValueError(f"{len(low)} ranges of gains are more than the {entities} channels")
        group = torch.arange(entities) * len(low) // entities
        return low[group] + (high - low)[group] * torch.rand(n, entities, generator=generator)


@dataclass(frozen=True)
class Rayleigh(GainModel):
    """Rayleigh fading: exponential gains with this mean."""

    mean_gain: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("mean_gain", self.mean_gain)

    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw gains."""
        return rayleigh_power_gain(self.mean_gain, (n, entities), generator)


@dataclass(frozen=True)
class Nakagami(GainModel):
    """Nakagami-m fading: Gamma gains with shape m >= 1/2 and this mean; m = 1 is Rayleigh."""

    m: float
    mean_gain: float = 1.0

    def __post_init__(self) -> None:
        nakagami_power_gain(self.m, self.mean_gain, (0,), torch.Generator())  # it checks its arguments

    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw gains."""
        return nakagami_power_gain(self.m, self.mean_gain, (n, entities), generator)


@dataclass(frozen=True)
class LogDistance(GainModel):
    """Users dropped uniformly over an annulus: log-distance path loss, log-normal shadowing, Rayleigh fading.

    The defaults are the optional UMa model without line of sight of 3GPP TR 38.901, Table 7.4.1-1, at 3.5
    GHz, in two dimensions: 32.4 + 20 log10(3.5) + 30 log10(d) dB, shadowing 7.8 dB. Gains are then around
    1e-11, so powers and noise belong in watts (-174 dBm/Hz over 1 MHz is 4e-15 W:
    `netdiffuse.channels.thermal_noise_power_w`).

    Attributes:
        min_distance_m, max_distance_m: inner and outer radius of the annulus, in metres.
        exponent: path-loss exponent.
        reference_loss_db: path loss at 1 m, in dB.
        shadowing_db: standard deviation of the shadowing in dB; 0 for none.
        rayleigh_fading: whether the gain is multiplied by an exponential of mean 1.

    Raises:
        InvalidValueError: a radius that is not positive, radii out of order, a negative exponent or
            deviation.
    """

    min_distance_m: float = 10.0
    max_distance_m: float = 500.0
    exponent: float = 3.0
    reference_loss_db: float = 43.3
    shadowing_db: float = 7.8
    rayleigh_fading: bool = True

    def __post_init__(self) -> None:
        checks.positive("min_distance_m", self.min_distance_m)
        if checks.positive("max_distance_m", self.max_distance_m) < self.min_distance_m:
            raise InvalidValueError(
                "max_distance_m must be at least min_distance_m, "
                f"got {self.max_distance_m!r} below {self.min_distance_m!r}"
            )
        checks.non_negative("exponent", self.exponent)
        checks.finite("reference_loss_db", self.reference_loss_db)
        checks.non_negative("shadowing_db", self.shadowing_db)

    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw gains."""
        inner, outer = self.min_distance_m**2, self.max_distance_m**2
        # uniform over the area: the square of the radius is uniform
        distance_m = (inner + (outer - inner) * torch.rand(n, entities, generator=generator)).sqrt()
        loss_db = log_distance_path_loss_db(distance_m, self.exponent, self.reference_loss_db)
        gains = db_to_linear(-loss_db + shadowing_db(self.shadowing_db, (n, entities), generator))
        return gains * rayleigh_power_gain(1.0, (n, entities), generator) if self.rayleigh_fading else gains


@dataclass(frozen=True)
class Permuted(GainModel):
    """Another model's gains with the order of each context shuffled independently."""

    model: GainModel

    def __post_init__(self) -> None:
        if not isinstance(self.model, GainModel):
            raise InvalidValueError(f"model must be a gain model, got {self.model!r}")

    def sample(self, n: int, entities: int, generator: torch.Generator) -> Tensor:
        """Draw gains."""
        gains = self.model.sample(n, entities, generator)
        return gains.gather(1, torch.rand(n, entities, generator=generator).argsort(1))

"""Block fading: one random power gain a block, known to the receiver."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammainc, gammaincinv
from torch import Tensor

from netdiffuse.channels import db_to_linear, nakagami_power_gain, rayleigh_power_gain
from netdiffuse.common import InvalidValueError, UnknownNameError, checks
from netdiffuse.denoising.link.modulation import Array

_CELLS = 4000  # of the quadrature below
_TAIL = 1e-12  # probability beyond either end of it


@dataclass(frozen=True)
class Fading:
    """Power gains of mean 1 that stay the same for a block and are independent between blocks.

    They are Gamma with shape m (Nakagami-m amplitudes): m = 1 is Rayleigh, infinite m none at all.

    Raises:
        InvalidValueError: m below 1/2.
    """

    m: float = math.inf

    def __post_init__(self) -> None:
        if self.m != math.inf and checks.finite("m", self.m) < 0.5:
            raise InvalidValueError(f"m must be at least 0.5 for Nakagami fading, got {self.m!r}")

    def sample(self, blocks: int, generator: torch.Generator) -> Tensor:
        """Draw the gains of some blocks, shape (blocks,), float32."""
        if self.m == math.inf:
            return torch.ones(blocks)
        if self.m == 1:
            return rayleigh_power_gain(1.0, (blocks,), generator)
        return nakagami_power_gain(self.m, 1.0, (blocks,), generator)

    def below(self, gain: float) -> float:
        """Probability of a gain below this one."""
        return float(gain > 1) if self.m == math.inf else float(gammainc(self.m, self.m * gain))

    def mean(self, function: Callable[[Array], Array], snr_db: float) -> float:
        """Mean of a function of the instantaneous SNR.

        Computed by weighting it in 4000 cells, evenly spaced in the logarithm of the gain, with each cell's
        probability: to a few parts in 10^5, also where deep fades decide.

        Args:
            function: of linear SNRs, elementwise.
            snr_db: the mean SNR in dB.
        """
        snr = db_to_linear(snr_db)
        if self.m == math.inf:
            return float(function(np.array([snr]))[0])
        low, high = gammaincinv(self.m, [_TAIL, 1 - _TAIL]) / self.m
        edges = np.geomspace(low, high, _CELLS + 1)
        weights = np.diff(gammainc(self.m, self.m * edges))
        return float((weights * function(snr * np.sqrt(edges[1:] * edges[:-1]))).sum() / weights.sum())


def make_fading(spec: Fading | str) -> Fading:
    """Fading from its description: "none", "rayleigh" or "nakagami:M", such as "nakagami:2".

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: an m that is no number of at least 1/2.
    """
    if isinstance(spec, Fading):
        return spec
    name, _, m = str(spec).partition(":")
    if name == "nakagami":
        try:
            return Fading(checks.finite("m", float(m)))
        except ValueError as error:
            raise InvalidValueError(f"fading '{spec}' needs an m of at least 0.5, such as 'nakagami:2'") from error
    if spec not in ("none", "rayleigh"):
        raise UnknownNameError("fading", str(spec), ("none", "rayleigh", "nakagami:2"))
    return Fading(1.0 if name == "rayleigh" else math.inf)

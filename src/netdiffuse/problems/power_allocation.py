"""Share a total power over parallel Gaussian channels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from netdiffuse.channels import GainModel, Rayleigh, gain_model, spectral_efficiency
from netdiffuse.common import checks
from netdiffuse.common.seeding import generator as seeded
from netdiffuse.problems.base import Problem, entry_names
from netdiffuse.problems.feasible import Simplex
from netdiffuse.problems.water_filling import water_filling

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
SCALE_SEED = 20_230_805
SCALE_CONTEXTS = 8192

MOST_CHANNELS = 10_000


class PowerAllocation(Problem):
    """Share total power P over M parallel Gaussian channels with gains g.

    Context: linear power gains g, shape (M,). Decision: powers p >= 0 that sum to P, shape (M,). Utility: the
    sum rate sum_i log2(1 + g_i p_i / noise) in bit/s/Hz. Reference: water-filling, the exact optimum.

    Args:
        channels: number of channels M, at most 10,000.
        total_power: P, in watts (or any unit shared with `noise_power`).
        noise_power: noise power of each channel.
        gains: the gains' distribution: a `netdiffuse.channels.GainModel`, or its description as text or
            dictionary, such as "rayleigh", "nakagami:2", "uniform:0.5:1.5" or "log-distance" (see
            `netdiffuse.channels.gain_model`).
        scale: scale of the action coordinates, decision = P * project_simplex((1 + scale * action) / M); by
            default the smallest of `SCALES` at which the references of a fixed sample of contexts are all
            reachable.

    Raises:
        InvalidValueError: an argument outside its range.
        UnknownNameError: an unknown gain model.
    """

    structure = "entities"
    log_contexts = True
    utility_unit = "bit/s/Hz"
    decision_unit = "W"

    def __init__(
        self,
        channels: int = 10,
        total_power: float = 10.0,
        noise_power: float = 1.0,
        gains: GainModel | str | Mapping[str, Any] = Rayleigh(),  # noqa: B008 - immutable
        scale: float | None = None,
    ) -> None:
        self.channels = checks.integer("channels", channels, maximum=MOST_CHANNELS)
        self.total_power = checks.positive("total_power", total_power)
        self.noise_power = checks.positive("noise_power", noise_power)
        self.gains = gain_model(gains)
        self.context_shape = (self.channels,)
        self.scale = self._default_scale() if scale is None else checks.positive("scale", scale)
        self.feasible = Simplex(self.channels, self.total_power, self.scale)

    def _default_scale(self) -> float:
        """Choose the smallest standard scale that reaches the references of a fixed sample.

        With |action| <= 1 a decision is reachable if and only if M (max p - min p) / P <= 2 * scale, so M / 2
        always does. Beyond need, a larger scale only makes good actions a smaller share of the coordinates'
        range.
        """
        references = self.reference(self.sample_contexts(SCALE_CONTEXTS, seeded(SCALE_SEED)))
        spread = float((references.amax(1) - references.amin(1)).max()) * self.channels / self.total_power
        enough = max(1.0, self.channels / 2)
        return min(next((s for s in SCALES if 2 * s >= spread), enough), enough)

    @property
    def context_names(self) -> list[str]:
        """gain_0, gain_1, ..."""
        return entry_names("gain", self.context_shape)

    @property
    def decision_names(self) -> list[str]:
        """power_0, power_1, ..."""
        return entry_names("power", self.context_shape)

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw gains, shape (n, M)."""
        return self.gains.sample(n, self.channels, generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        """Sum rate in bit/s/Hz, shape (n,)."""
        return spectral_efficiency(contexts * decisions / self.noise_power).sum(-1)

    def reference(self, contexts: Tensor) -> Tensor:
        """The optimal powers, shape (n, M)."""
        return water_filling(contexts, self.total_power, self.noise_power)

    def check_contexts(self, contexts: Tensor) -> Tensor:
        """Return contexts that are finite gains >= 0; else InvalidValueError names row and entry."""
        super().check_contexts(contexts)
        self._refuse_entries(contexts, contexts < 0, "must be a non-negative gain")
        return contexts

"""Choose the powers of links that disturb each other."""

import torch
from torch import Tensor

from netdiffuse.channels import rayleigh_power_gain
from netdiffuse.common import checks
from netdiffuse.common.seeding import generator as seeded
from netdiffuse.problems.base import Problem, entry_names
from netdiffuse.problems.feasible import Box
from netdiffuse.problems.on_off import sum_rate
from netdiffuse.problems.wmmse import wmmse

START_SEED = 20_110_912

MOST_LINKS = 1_000


class InterferenceChannel(Problem):
    """Choose the transmit powers of K links that share a band, interference treated as noise.

    Context: linear power gains, shape (K, K); entry [i, j] from transmitter j to receiver i, exponential
    (Rayleigh fading). Decision: powers between 0 and `max_power`, shape (K,). Utility: the sum rate sum_i
    log2(1 + g_ii p_i / (sum over j != i of g_ij p_j + noise)) in bit/s/Hz, which has many local maxima.
    Reference: WMMSE, the standard local optimiser; better decisions exist.

    Args:
        links: number of links K, at most 1,000.
        noise_power: noise power at each receiver, in the unit of `max_power`.
        max_power: largest power of a link, in watts.
        mean_gain: mean of every gain.
        iterations: iterations of the reference, WMMSE.
        starts: the reference is the best of this many starts of WMMSE: full power, then random powers.

    Raises:
        InvalidValueError: an argument outside its range.
    """

    structure = "pairs"
    log_contexts = True
    utility_unit = "bit/s/Hz"
    decision_unit = "W"

    def __init__(
        self,
        links: int = 10,
        noise_power: float = 0.1,
        max_power: float = 1.0,
        mean_gain: float = 1.0,
        iterations: int = 100,
        starts: int = 1,
    ) -> None:
        self.links = checks.integer("links", links, maximum=MOST_LINKS)
        self.noise_power = checks.positive("noise_power", noise_power)
        self.max_power = checks.positive("max_power", max_power)
        self.mean_gain = checks.positive("mean_gain", mean_gain)
        self.iterations = checks.integer("iterations", iterations)
        self.starts = checks.integer("starts", starts)
        self.context_shape = (self.links, self.links)
        self.feasible = Box(0.0, self.max_power, (self.links,))

    @property
    def context_names(self) -> list[str]:
        """gain_0_0, gain_0_1, ...: receiver, transmitter."""
        return entry_names("gain", self.context_shape)

    @property
    def decision_names(self) -> list[str]:
        """power_0, power_1, ..."""
        return entry_names("power", (self.links,))

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw gains, shape (n, K, K)."""
        return rayleigh_power_gain(self.mean_gain, (n, *self.context_shape), generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        """Sum rate in bit/s/Hz, shape (n,)."""
        return sum_rate(contexts, decisions, self.noise_power)

    def reference(self, contexts: Tensor) -> Tensor:
        """Powers found by WMMSE, shape (n, K): from full power, or the best of `starts` starts (seeded)."""
        powers = wmmse(contexts, self.noise_power, self.max_power, self.iterations)
        utility = self.utility(contexts, powers)
        random = seeded(START_SEED)
        for _ in range(self.starts - 1):
            # one draw serves the whole batch, so that a context's reference does not depend on the rest of it
            start = (torch.rand(self.links, generator=random) * self.max_power).to(contexts)
            other = wmmse(contexts, self.noise_power, self.max_power, self.iterations, start.expand(len(contexts), -1))
            other_utility = self.utility(contexts, other)
            better = other_utility > utility
            powers = torch.where(better.unsqueeze(-1), other, powers)
            utility = torch.where(better, other_utility, utility)
        return powers

    def check_contexts(self, contexts: Tensor) -> Tensor:
        """Return contexts that are finite gains >= 0; else InvalidValueError names row and entry."""
        super().check_contexts(contexts)
        self._refuse_entries(contexts, contexts < 0, "must be a non-negative gain")
        return contexts

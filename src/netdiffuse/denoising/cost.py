"""What denoising and sending cost, in seconds and joules.

The model of hybrid inference ("Diffusion-Based Hybrid Inference in MEC-Enabled AI-Generated Content Networks", HIS,
github.com/iimxinyi/HIS): a step takes a fixed number of processor cycles, a cycle's energy grows with the square of the
frequency, and a radio sends at Shannon's rate. Steps and bits may be floats or tensors, for costs inside a utility.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from netdiffuse.channels import linear_to_db, rate_bps
from netdiffuse.channels.decibels import Real
from netdiffuse.common import InvalidValueError, checks

KAPPA = 1e-27  # effective switched capacitance, J s^2 / cycle^3
SERVER_CYCLES_PER_STEP, DEVICE_CYCLES_PER_STEP = 15e6, 14e6
SERVER_FREQUENCY_HZ = 2e9
DEVICE_FREQUENCIES_HZ = (1.4e9, 1.6e9)  # of the slowest and of the fastest device
NOISE_DENSITY_W_PER_HZ = 10 ** (-174 / 10 - 3)  # -174 dBm/Hz, thermal noise at 290 K


@dataclass(frozen=True)
class Processor:
    """A host that denoises.

    Attributes:
        cycles_per_step: processor cycles of one denoising step.
        frequency_hz: cycles a second.
        kappa: effective switched capacitance, J s^2 / cycle^3.

    Raises:
        InvalidValueError: one that is not positive (kappa may be 0).
    """

    cycles_per_step: float
    frequency_hz: float
    kappa: float = KAPPA

    def __post_init__(self) -> None:
        checks.positive("cycles_per_step", self.cycles_per_step)
        checks.positive("frequency_hz", self.frequency_hz)
        checks.non_negative("kappa", self.kappa)

    @classmethod
    def measured(
        cls,
        step: Callable[[], object],
        frequency_hz: float,
        kappa: float = KAPPA,
        repeats: int = 5,
        warmups: int = 1,
    ) -> "Processor":
        """A processor whose time a step is measured on this machine: the median of some calls of `step`.

        Args:
            step: does one denoising step and returns when it is done (on a GPU: synchronises).
            frequency_hz: what the processor runs at, which the energy depends on.
            kappa: as above.
            repeats: calls that are timed, at least 1.
            warmups: calls before them, for caches and lazy initialisation.

        Raises:
            InvalidValueError: an argument outside its range, or a step too short for the clock.
        """
        checks.positive("frequency_hz", frequency_hz)
        checks.integer("repeats", repeats)
        checks.integer("warmups", warmups, minimum=0)
        for _ in range(warmups):
            step()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        if median <= 0:
            raise InvalidValueError("the step to be measured is too short for the clock: let it do several steps")
        return cls(median * frequency_hz, frequency_hz, kappa)

    @property
    def step_s(self) -> float:
        """Seconds of one step."""
        return self.cycles_per_step / self.frequency_hz

    def delay_s(self, steps: Real) -> Real:
        """Computing delay, steps x cycles_per_step / frequency_hz, in seconds.

        Raises:
            InvalidValueError: steps that are negative or not finite.
        """
        return _non_negative("steps", steps) * (self.cycles_per_step / self.frequency_hz)

    def energy_j(self, steps: Real) -> Real:
        """Computing energy, kappa x steps x cycles_per_step x frequency_hz^2, in joules.

        Raises:
            InvalidValueError: steps that are negative or not finite.
        """
        return _non_negative("steps", steps) * (self.kappa * self.cycles_per_step * self.frequency_hz**2)


@dataclass(frozen=True)
class Radio:
    """A transmitter and its way to the receiver.

    The default gain is that of 100 m in the log-distance model of `netdiffuse.channels.LogDistance`, without shadowing
    and fading; the default SNR is then about 31 dB.

    Attributes:
        bandwidth_hz: bandwidth.
        power_w: transmit power in watts.
        gain: linear power gain of the channel, path loss and all.
        noise_density_w_per_hz: noise power density at the receiver; -174 dBm/Hz by default.

    Raises:
        InvalidValueError: one that is not positive.
    """

    bandwidth_hz: float = 1e6
    power_w: float = 0.1
    gain: float = 4.7e-11
    noise_density_w_per_hz: float = NOISE_DENSITY_W_PER_HZ

    def __post_init__(self) -> None:
        for name in ("bandwidth_hz", "power_w", "gain", "noise_density_w_per_hz"):
            checks.positive(name, getattr(self, name))

    @property
    def snr(self) -> float:
        """Linear signal-to-noise ratio, power_w x gain / (noise_density_w_per_hz x bandwidth_hz).

        It is also Es/N0 of symbols sent at a rate of bandwidth_hz.
        """
        return self.power_w * self.gain / (self.noise_density_w_per_hz * self.bandwidth_hz)

    @property
    def snr_db(self) -> float:
        """The same in dB."""
        return linear_to_db(self.snr)

    @property
    def rate_bps(self) -> float:
        """Shannon's rate, bandwidth_hz x log2(1 + snr), in bit/s."""
        return rate_bps(self.bandwidth_hz, self.snr)

    def delay_s(self, bits: Real) -> Real:
        """Transmit delay at Shannon's rate, bits / rate_bps, in seconds.

        Raises:
            InvalidValueError: bits that are negative or not finite.
        """
        return _non_negative("bits", bits) * (1 / self.rate_bps)

    def energy_j(self, bits: Real) -> Real:
        """Transmit energy at Shannon's rate, power_w x delay_s, in joules.

        Raises:
            InvalidValueError: bits that are negative or not finite.
        """
        return self.delay_s(bits) * self.power_w


SERVER = Processor(SERVER_CYCLES_PER_STEP, SERVER_FREQUENCY_HZ)


def device(frequency_hz: float = 1.5e9) -> Processor:
    """A user's device of the default model; `DEVICE_FREQUENCIES_HZ` says from where to where they go.

    Raises:
        InvalidValueError: a frequency that is not positive.
    """
    return Processor(DEVICE_CYCLES_PER_STEP, frequency_hz)


def _non_negative(name: str, value: Real) -> Real:
    if not isinstance(value, Tensor):
        checks.non_negative(name, value)
    elif not bool((value.isfinite() & (value >= 0)).all()):
        raise InvalidValueError(f"{name} must be finite and non-negative, got {value.flatten().tolist()[:10]}")
    return value

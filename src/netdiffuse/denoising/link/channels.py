"""What becomes of blocks of bits on their way: nothing, wrong bits, or a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from netdiffuse.channels import db_to_linear
from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.link.fading import Fading, make_fading
from netdiffuse.denoising.link.modulation import Array, make_modulation

MOST_DB = 200.0  # beyond, an SNR in dB is a slip of the finger
MOST_RATE = 64.0  # bits a symbol


class Received(NamedTuple):
    """What arrived.

    Attributes:
        bits: shape (blocks, n), uint8 of 0 and 1; zeros where a block is lost.
        lost: which blocks did not arrive at all, shape (blocks,).
    """

    bits: Tensor
    lost: Tensor


class Channel(ABC):
    """A way for blocks of bits.

    Attributes:
        delivers_errors: whether wrong bits arrive as such; otherwise a block arrives whole or fails as a whole.
        code_rate: bits of a block over coded bits; 1 where the channel names no code.
    """

    delivers_errors: bool
    code_rate: float = 1.0

    @property
    @abstractmethod
    def bits_per_symbol(self) -> float | None:
        """Bits of a block that one symbol carries, after coding; None where there are no symbols."""

    @abstractmethod
    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks of equal length.

        Args:
            bits: shape (blocks, n), uint8 of 0 and 1.
            generator: what fading, noise and losses are drawn with.

        Raises:
            InvalidValueError: a length n that the channel cannot send.
        """

    @abstractmethod
    def block_error_rate(self, block_bits: int) -> float:
        """Probability that a block of so many bits does not arrive whole.

        Raises:
            InvalidValueError: a length that the channel cannot send.
        """


@dataclass(frozen=True)
class Ideal(Channel):
    """Nothing goes wrong."""

    delivers_errors = True
    bits_per_symbol = None

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:  # noqa: ARG002 - draws nothing
        """Send blocks."""
        return Received(bits.clone(), torch.zeros(len(bits), dtype=torch.bool))

    def mean_bit_error_rate(self) -> float:
        """Zero."""
        return 0.0

    def block_error_rate(self, block_bits: int) -> float:  # noqa: ARG002
        """Zero."""
        return 0.0


@dataclass(frozen=True)
class BinarySymmetric(Channel):
    """Each bit is wrong with the same probability, independently.

    Raises:
        InvalidValueError: a bit error rate outside [0, 1].
    """

    bit_error_rate: float

    delivers_errors = True
    bits_per_symbol = None

    def __post_init__(self) -> None:
        checks.fraction("bit_error_rate", self.bit_error_rate)

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks."""
        # float64: float32 draws have 24 bits, too few for the rates of a good channel
        wrong = torch.rand(bits.shape, generator=generator, dtype=torch.float64) < self.bit_error_rate
        return Received(bits ^ wrong.to(torch.uint8), torch.zeros(len(bits), dtype=torch.bool))

    def mean_bit_error_rate(self) -> float:
        """The given one."""
        return float(self.bit_error_rate)

    def block_error_rate(self, block_bits: int) -> float:
        """1 - (1 - bit_error_rate)^block_bits."""
        return _any_of(np.array([self.bit_error_rate]), block_bits).item()


@dataclass(frozen=True)
class Uncoded(Channel):
    """Symbols in white Gaussian noise and block fading, decided one by one.

    The receiver gets sqrt(snr x gain) x symbol + noise, the noise complex normal of variance 1, and knows the gain. (It
    also knows the phase, and turns it back, which leaves the noise as it was.)

    Attributes:
        snr_db: mean SNR in dB, Es/N0: mean received energy of a symbol (not of a bit) over the noise's power density.
            It is p g / (N0 B) where bandwidth_hz symbols are sent a second (`netdiffuse.denoising.cost.Radio.snr_db`).
        modulation: "qpsk" or "16qam".
        fading: "none", "rayleigh" or "nakagami:M": one gain of mean 1 a block, drawn anew for each transmission.

    Raises:
        InvalidValueError: an SNR that is not finite or beyond 200 dB.
        UnknownNameError: a modulation or fading that does not exist.
    """

    snr_db: float
    modulation: str = "qpsk"
    fading: Fading | str = "none"

    delivers_errors = True

    def __post_init__(self) -> None:
        check_snr_db(self.snr_db)
        make_modulation(self.modulation)
        make_fading(self.fading)

    @property
    def bits_per_symbol(self) -> float:
        """2 or 4."""
        return float(make_modulation(self.modulation).bits_per_symbol)

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks, of a multiple of 2 or 4 bits."""
        modulation = make_modulation(self.modulation)
        self._check(bits.shape[1])
        gains = make_fading(self.fading).sample(len(bits), generator)
        amplitude = (db_to_linear(self.snr_db) * gains).sqrt()[:, None]  # (blocks, 1)
        symbols = modulation.modulate(bits)
        noise = torch.randn(symbols.shape, dtype=symbols.dtype, generator=generator)
        received = amplitude * symbols + noise
        return Received(modulation.demodulate(received, amplitude), torch.zeros(len(bits), dtype=torch.bool))

    def mean_bit_error_rate(self) -> float:
        """The modulation's exact bit error rate, integrated over the fading."""
        return make_fading(self.fading).mean(make_modulation(self.modulation).bit_error_rate, self.snr_db)

    def block_error_rate(self, block_bits: int) -> float:
        """Probability of any wrong symbol in a block, integrated over the fading."""
        modulation = make_modulation(self.modulation)
        symbols = self._check(block_bits)
        return make_fading(self.fading).mean(
            lambda snr: _any_of(modulation.symbol_error_rate(snr), symbols), self.snr_db
        )

    def _check(self, block_bits: int) -> int:
        symbols, rest = divmod(block_bits, make_modulation(self.modulation).bits_per_symbol)
        if rest or symbols < 1:
            raise InvalidValueError(f"a block of {block_bits} bits is no whole number of {self.modulation} symbols")
        return symbols


@dataclass(frozen=True)
class Outage(Channel):
    """Block fading with an ideal code: a block arrives if and only if the channel's instantaneous capacity allows.

    It is lost where log2(1 + snr x gain) < rate: the limit of long codes (Ozarow, Shamai and Wyner, "Information
    theoretic considerations for cellular mobile radio", 1994).

    Attributes:
        snr_db: mean SNR in dB, Es/N0.
        rate: bits a symbol that the transmitter sends at, whatever the gain, which it does not know.
        fading: "none", "rayleigh" or "nakagami:M".

    Raises:
        InvalidValueError: an SNR that is not finite or beyond 200 dB, or a rate that is not in (0, 64].
        UnknownNameError: a fading that does not exist.
    """

    snr_db: float
    rate: float
    fading: Fading | str = "rayleigh"

    delivers_errors = False

    def __post_init__(self) -> None:
        check_snr_db(self.snr_db)
        if checks.positive("rate", self.rate) > MOST_RATE:
            raise InvalidValueError(f"rate must be at most {MOST_RATE:g} bits a symbol, got {self.rate!r}")
        make_fading(self.fading)

    @property
    def bits_per_symbol(self) -> float:
        """The rate."""
        return self.rate

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks."""
        return lose(bits, make_fading(self.fading).sample(len(bits), generator) < self._least_gain())

    def block_error_rate(self, block_bits: int) -> float:  # noqa: ARG002
        """Outage probability, that of a gain below (2^rate - 1) / snr; the same for every length."""
        return make_fading(self.fading).below(self._least_gain())

    def _least_gain(self) -> float:
        return (2.0**self.rate - 1) / db_to_linear(self.snr_db)


def lose(bits: Tensor, lost: Tensor) -> Received:
    """The blocks without those that are lost."""
    return Received(bits * (~lost)[:, None], lost)


def check_snr_db(snr_db: float) -> float:
    """Return an SNR in dB, refusing what is not finite or beyond 200 dB either way."""
    if abs(checks.finite("snr_db", snr_db)) > MOST_DB:
        raise InvalidValueError(f"snr_db must be within ±{MOST_DB:g} dB, got {snr_db!r}")
    return float(snr_db)


def _any_of(probability: Array, n: int) -> Array:
    """1 - (1 - p)^n, exact also for tiny p."""
    with np.errstate(divide="ignore"):  # p = 1
        return -np.expm1(n * np.log1p(-probability))

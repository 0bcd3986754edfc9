"""Gray-mapped QPSK and 16-QAM (3GPP TS 38.211, clauses 5.1.3 and 5.1.4), and their exact error rates."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erfc
from torch import Tensor

from netdiffuse.common import UnknownNameError

Array = NDArray[np.float64]


class Modulation(ABC):
    """A constellation of mean energy 1, whose neighbouring points differ in one bit.

    Attributes:
        name: what `make_modulation` knows it by.
        bits_per_symbol: bits a symbol carries.
    """

    name: str
    bits_per_symbol: int

    @abstractmethod
    def modulate(self, bits: Tensor) -> Tensor:
        """Bits of 0 and 1, shape (..., n), to symbols, shape (..., n / bits_per_symbol), complex64."""

    @abstractmethod
    def demodulate(self, received: Tensor, amplitude: Tensor) -> Tensor:
        """The bits of the nearest points.

        Args:
            received: amplitude x symbol + noise, shape (..., n / bits_per_symbol), complex.
            amplitude: the channel's amplitude, known to the receiver; positive, broadcast to `received`.

        Returns:
            Bits of 0 and 1, shape (..., n), uint8.
        """

    @abstractmethod
    def bit_error_rate(self, snr: Array) -> Array:
        """Probability that a bit is decided wrongly in white Gaussian noise, mean over the bits of a symbol.

        Args:
            snr: Es/N0, energy of a symbol over noise density, linear.
        """

    @abstractmethod
    def symbol_error_rate(self, snr: Array) -> Array:
        """Probability that any bit of a symbol is decided wrongly; `snr` as above."""


class Qpsk(Modulation):
    """d = ((1 - 2 b0) + j (1 - 2 b1)) / sqrt(2); bit error rate Q(sqrt(snr))."""

    name = "qpsk"
    bits_per_symbol = 2

    def modulate(self, bits: Tensor) -> Tensor:
        """As the parent's."""
        signs = (1 - 2 * _grouped(bits, 2)) / 2**0.5  # (..., n / 2, 2)
        return torch.view_as_complex(signs)

    def demodulate(self, received: Tensor, amplitude: Tensor) -> Tensor:  # noqa: ARG002 - signs do not need it
        """As the parent's."""
        parts = torch.view_as_real(received)  # (..., n / 2, 2)
        return (parts < 0).to(torch.uint8).flatten(-2)

    def bit_error_rate(self, snr: Array) -> Array:
        """Q(sqrt(snr))."""
        return _q(np.sqrt(snr))

    def symbol_error_rate(self, snr: Array) -> Array:
        """1 - (1 - Q(sqrt(snr)))^2: the two dimensions are independent."""
        p = _q(np.sqrt(snr))
        return p * (2 - p)


class Qam16(Modulation):
    """d = ((1 - 2 b0)(2 - (1 - 2 b2)) + j (1 - 2 b1)(2 - (1 - 2 b3))) / sqrt(10).

    With x = sqrt(snr / 5), half the distance of neighbours over the noise's standard deviation, the bit error rate is
    (3 Q(x) + 2 Q(3 x) - Q(5 x)) / 4 (Cho and Yoon, "On the general BER expression of one- and two-dimensional amplitude
    modulations", 2002).
    """

    name = "16qam"
    bits_per_symbol = 4

    def modulate(self, bits: Tensor) -> Tensor:
        """As the parent's."""
        sign, outer = _grouped(bits, 4).split(2, -1)  # (..., n / 4, 2) each: what quadrant, and which ring
        return torch.view_as_complex((1 - 2 * sign) * (1 + 2 * outer) / 10**0.5)

    def demodulate(self, received: Tensor, amplitude: Tensor) -> Tensor:
        """As the parent's."""
        parts = torch.view_as_real(received)  # (..., n / 4, 2)
        outer = parts.abs() > 2 / 10**0.5 * amplitude[..., None]
        return torch.cat([parts < 0, outer], -1).to(torch.uint8).flatten(-2)

    def bit_error_rate(self, snr: Array) -> Array:
        """(3 Q(x) + 2 Q(3 x) - Q(5 x)) / 4, x = sqrt(snr / 5)."""
        x = np.sqrt(snr / 5)
        return (3 * _q(x) + 2 * _q(3 * x) - _q(5 * x)) / 4

    def symbol_error_rate(self, snr: Array) -> Array:
        """1 - (1 - 3/2 Q(x))^2, x = sqrt(snr / 5) (Proakis, "Digital Communications", section 4.3)."""
        p = 1.5 * _q(np.sqrt(snr / 5))
        return p * (2 - p)


MODULATIONS: dict[str, Modulation] = {modulation.name: modulation for modulation in (Qpsk(), Qam16())}


def make_modulation(name: str) -> Modulation:
    """The modulation called `name`: "qpsk" or "16qam".

    Raises:
        UnknownNameError: no such modulation.
    """
    if name not in MODULATIONS:
        raise UnknownNameError("modulation", str(name), MODULATIONS)
    return MODULATIONS[name]


def _grouped(bits: Tensor, size: int) -> Tensor:
    return bits.float().unflatten(-1, (-1, size))


def _q(x: Array) -> Array:
    """Probability that a standard normal variable exceeds x."""
    return np.asarray(erfc(x / np.sqrt(2)) / 2, dtype=np.float64)

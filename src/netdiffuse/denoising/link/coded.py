"""Blocks protected by the LDPC code of 5G NR (3GPP TS 38.212): decoded with Sionna, or failing as a table says.

Either way a block is one code word. A real 5G link would join several in a transport block, with CRCs of 24 bits; here
the 32-bit CRC of each block does that. Every transmission is decoded alone (no soft combining).
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from netdiffuse.channels import db_to_linear
from netdiffuse.common import InvalidValueError, MissingExtraError, checks, seeding
from netdiffuse.denoising.link.bler import BlerTable, shipped_table
from netdiffuse.denoising.link.channels import Channel, Received, check_snr_db, lose
from netdiffuse.denoising.link.fading import Fading, make_fading
from netdiffuse.denoising.link.modulation import make_modulation

_BATCH = 128  # code words decoded at once; more take more memory, not less time


@dataclass(frozen=True)
class LdpcTable(Channel):
    """Coded blocks that fail at random as often as a table of block error rates says.

    Valid for blocks of the table's length alone (128 bytes and their CRC in the one that ships), for QPSK and
    16-QAM and the code rates that it holds. With fading, the rate is that of the block's instantaneous SNR.

    Attributes:
        snr_db: mean SNR in dB, Es/N0 of a modulated symbol.
        modulation: "qpsk" or "16qam".
        code_rate: bits of a block over coded bits.
        fading: "none", "rayleigh" or "nakagami:M".
        table: the one that ships where None.

    Raises:
        InvalidValueError: an SNR that is not finite or beyond 200 dB, or a modulation and code rate that are not in the
            table.
        UnknownNameError: a modulation or fading that does not exist.
    """

    snr_db: float
    modulation: str = "qpsk"
    code_rate: float = 0.5
    fading: Fading | str = "none"
    table: BlerTable | None = None

    delivers_errors = False

    def __post_init__(self) -> None:
        check_snr_db(self.snr_db)
        make_modulation(self.modulation)
        make_fading(self.fading)
        self._table.curve(self.modulation, checks.positive("code_rate", self.code_rate))

    @property
    def bits_per_symbol(self) -> float:
        """Modulated bits times code rate."""
        return make_modulation(self.modulation).bits_per_symbol * self.code_rate

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks of the table's length."""
        self._check(bits.shape[1])
        gains = make_fading(self.fading).sample(len(bits), generator)
        curve = self._table.curve(self.modulation, self.code_rate)
        rate = torch.from_numpy(curve.block_error_rate(db_to_linear(self.snr_db) * gains.double().numpy()))
        return lose(bits, torch.rand(len(bits), generator=generator, dtype=torch.float64) < rate)

    def block_error_rate(self, block_bits: int) -> float:
        """The table's, integrated over the fading."""
        self._check(block_bits)
        curve = self._table.curve(self.modulation, self.code_rate)
        return make_fading(self.fading).mean(curve.block_error_rate, self.snr_db)

    @property
    def _table(self) -> BlerTable:
        return self.table or shipped_table()

    def _check(self, block_bits: int) -> None:
        if block_bits != self._table.block_bits:
            raise InvalidValueError(
                f"the table of block error rates is for blocks of {self._table.block_bits} bits, got {block_bits}: "
                "use its block size, make a table with python -m netdiffuse.denoising.link.make_bler, or use 'ldpc'"
            )


@dataclass(frozen=True)
class Ldpc(Channel):
    """Coded blocks, sent and decoded for real.

    LDPC encoding, rate matching and interleaving (TS 38.212, clauses 5.3.2 and 5.4.2; base graph by clause 7.2.2),
    mapping to symbols, fading and noise as of `Uncoded`, exact log-likelihood ratios, and belief propagation
    (sum-product). A block that is not decoded arrives with wrong bits, which its CRC shows. Takes some ten milliseconds
    a block on one core.

    Attributes:
        snr_db: mean SNR in dB, Es/N0 of a modulated symbol.
        modulation: "qpsk" or "16qam".
        code_rate: bits of a block over coded bits, from 1/5 to 11/12 (from 1/3 for blocks of more than 3824 bits).
        fading: "none", "rayleigh" or "nakagami:M".
        iterations: of belief propagation.

    Raises:
        InvalidValueError: an SNR that is not finite or beyond 200 dB, or another number outside its range.
        UnknownNameError: a modulation or fading that does not exist.
        MissingExtraError: Sionna is not installed.
    """

    snr_db: float
    modulation: str = "qpsk"
    code_rate: float = 0.5
    fading: Fading | str = "none"
    iterations: int = 20

    delivers_errors = False

    def __post_init__(self) -> None:
        check_snr_db(self.snr_db)
        make_modulation(self.modulation)
        make_fading(self.fading)
        checks.integer("iterations", self.iterations)
        if not 1 / 5 <= checks.finite("code_rate", self.code_rate) <= 11 / 12:
            raise InvalidValueError(f"code_rate must be from 1/5 to 11/12, got {self.code_rate!r}")
        _sionna()

    @property
    def bits_per_symbol(self) -> float:
        """Modulated bits times code rate."""
        return make_modulation(self.modulation).bits_per_symbol * self.code_rate

    def coded_bits(self, block_bits: int) -> int:
        """Length of a code word: block_bits / code_rate, rounded up to whole symbols.

        Raises:
            InvalidValueError: a length outside 12..8448 bits, or too long for the code rate.
        """
        if not 12 <= block_bits <= 8448 or (block_bits > 3824 and self.code_rate < 1 / 3):
            raise InvalidValueError(
                f"a block of {block_bits} bits does not fit one LDPC code word: take 12 to 8448 bits, "
                "at most 3824 for code rates below 1/3 (block_bytes sets it)"
            )
        per_symbol = make_modulation(self.modulation).bits_per_symbol
        return per_symbol * math.ceil(block_bits / self.code_rate / per_symbol - 1e-9)

    def transmit(self, bits: Tensor, generator: torch.Generator) -> Received:
        """Send blocks of 12 to 8448 bits."""
        per_symbol = make_modulation(self.modulation).bits_per_symbol
        chain = _chain(bits.shape[1], self.coded_bits(bits.shape[1]), per_symbol, self.iterations)
        gains = make_fading(self.fading).sample(len(bits), generator)
        snr = (db_to_linear(self.snr_db) * gains).clamp(min=1e-12)[:, None]  # (blocks, 1); divides the noise
        arrived = []
        for batch, batch_snr in zip(bits.split(_BATCH), snr.split(_BATCH), strict=True):
            symbols = chain.mapper(chain.encoder(batch.float()))
            noise = torch.randn(symbols.shape, dtype=symbols.dtype, generator=generator)
            likelihoods = chain.demapper(symbols + noise / batch_snr.sqrt(), 1 / batch_snr)
            arrived.append(chain.decoder(likelihoods).to(torch.uint8))
        return Received(torch.cat(arrived), torch.zeros(len(bits), dtype=torch.bool))

    def block_error_rate(self, block_bits: int) -> float:
        """As of `LdpcTable` with the table that ships, and with its limits; `transmit` measures any other.

        Raises:
            InvalidValueError: another block length, modulation, code rate or number of iterations than the table's.
        """
        known = shipped_table().iterations
        if self.iterations != known:
            raise InvalidValueError(
                f"the table of block error rates was made with {known} iterations, this channel decodes with "
                f"{self.iterations}: take iterations={known}, or make a table with "
                "python -m netdiffuse.denoising.link.make_bler --iterations and give it to LdpcTable"
            )
        return LdpcTable(self.snr_db, self.modulation, self.code_rate, self.fading).block_error_rate(block_bits)


class _Chain(NamedTuple):
    encoder: Any
    mapper: Any
    demapper: Any
    decoder: Any


@lru_cache(maxsize=32)
def _chain(block_bits: int, coded_bits: int, bits_per_symbol: int, iterations: int) -> _Chain:
    ldpc, mapping = _sionna()
    encoder = ldpc.LDPC5GEncoder(block_bits, coded_bits, num_bits_per_symbol=bits_per_symbol, device="cpu")
    return _Chain(
        encoder,
        mapping.Mapper("qam", bits_per_symbol, device="cpu"),
        mapping.Demapper("app", "qam", bits_per_symbol, device="cpu"),
        ldpc.LDPC5GDecoder(encoder, num_iter=iterations, device="cpu"),
    )


@cache
def _sionna() -> tuple[ModuleType, ModuleType]:
    state = seeding.random_state()
    try:
        return import_module("sionna.phy.fec.ldpc"), import_module("sionna.phy.mapping")
    except ImportError as error:
        raise MissingExtraError("decoding LDPC codes (channel 'ldpc')", "sionna") from error
    finally:
        seeding.set_random_state(state)  # importing Sionna seeds torch's global generator anew

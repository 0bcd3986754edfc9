"""A latent handed over a link: encoded, cut into blocks, sent, sent again, put together."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError, checks
from netdiffuse.denoising.codec import Codec, Encoded, make_codec, slices
from netdiffuse.denoising.cost import Radio
from netdiffuse.denoising.link.blocks import BLOCK_BYTES, CRC_BYTES, block_bits, from_blocks, intact, to_blocks
from netdiffuse.denoising.link.channels import Channel
from netdiffuse.denoising.link.concealment import FAILURE_MODES, FailureMode, conceal

MOST_TRANSMISSIONS = 1000


@dataclass(frozen=True)
class Delivery:
    """What came of sending a latent.

    Attributes:
        latent: as it arrived, with the shape, type and device of what was sent; None where the delivery failed.
        blocks: blocks the latent was cut into.
        transmissions: blocks that were sent, each time that they were.
        failed_blocks: blocks that did not arrive whole, however often they were sent.
        bits_sent: bits of all transmissions with their CRCs, before the channel's code, and of the protected header,
            after its own.
        bit_errors: wrong bits among those of the body that the latent was decoded from. What was lost or replaced does
            not count, so this is 0, unless corrupted blocks are kept.
        body_bits: bits of the body.
        delay_s: seconds on the air, and waiting for acknowledgements.
        energy_j: joules of the transmitter.
    """

    latent: Tensor | None
    blocks: int
    transmissions: int
    failed_blocks: int
    bits_sent: int
    bit_errors: int
    body_bits: int
    delay_s: float
    energy_j: float


@dataclass(frozen=True)
class Link:
    """A codec, a channel and a radio.

    The body is cut into blocks with a CRC. A block that does not arrive whole is sent again, through fresh noise and
    fading, `max_transmissions` times in all. What happens to blocks that never arrive is `on_failure`'s choice:

    - "keep": they are decoded with their wrong bits, as in studies of picture quality against bit error rate; only
      where the channel delivers errors;
    - "noise": their values are drawn from a normal distribution with mean and deviation of those values of the slice
      that arrived;
    - "mean": their values become the mean of those values of the slice that arrived;
    - "fail": the delivery has no latent.

    The header (a few bytes a slice) is taken to arrive always, as control information with a strong code does, and is
    counted with that code's rate, which takes the place of the channel's code where it has one.

    Time on the air is bits over the rate: `radio.bandwidth_hz` symbols a second where the channel has symbols,
    Shannon's rate of the radio where it has not. The channel's SNR is its own affair: give it `radio.snr_db` for a link
    that is consistent.

    Attributes:
        codec: a codec or its name.
        channel: what the blocks go through.
        radio: bandwidth and power (and gain and noise for Shannon's rate).
        block_bytes: bytes of the body a block, 1 to 11450.
        max_transmissions: 1 for no retransmission.
        on_failure: as above.
        header_code_rate: in (0, 1].
        round_trip_s: seconds until a transmitter knows which blocks to send again.

    Raises:
        InvalidValueError: a number outside its range.
        UnknownNameError: a codec or a failure mode that does not exist.
        UnsupportedError: "keep" for a channel that delivers no wrong bits.
    """

    codec: Codec | str
    channel: Channel
    radio: Radio = field(default_factory=Radio)
    block_bytes: int = BLOCK_BYTES
    max_transmissions: int = 1
    on_failure: FailureMode = "noise"
    header_code_rate: float = 0.25
    round_trip_s: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.codec, str):
            object.__setattr__(self, "codec", make_codec(self.codec))
        for name, kind in (("codec", Codec), ("channel", Channel), ("radio", Radio)):
            if not isinstance(getattr(self, name), kind):
                raise InvalidValueError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")
        block_bits(self.block_bytes)  # checks it
        checks.integer("max_transmissions", self.max_transmissions, maximum=MOST_TRANSMISSIONS)
        checks.non_negative("round_trip_s", self.round_trip_s)
        if not 0 < checks.finite("header_code_rate", self.header_code_rate) <= 1:
            raise InvalidValueError(f"header_code_rate must be in (0, 1], got {self.header_code_rate!r}")
        if self.on_failure not in FAILURE_MODES:
            raise UnknownNameError("failure mode", str(self.on_failure), FAILURE_MODES)
        if self.on_failure == "keep" and not self.channel.delivers_errors:
            raise UnsupportedError(
                f"{type(self.channel).__name__} loses whole blocks, so that there are no wrong bits to keep: "
                "choose on_failure 'noise', 'mean' or 'fail'"
            )

    @property
    def rate_bps(self) -> float:
        """Bits of blocks (after coding) a second."""
        per_symbol = self.channel.bits_per_symbol
        return self.radio.rate_bps if per_symbol is None else self.radio.bandwidth_hz * per_symbol

    def send(self, latent: Tensor, generator: torch.Generator) -> Delivery:
        """Hand a latent over.

        Args:
            latent: floating point, any shape.
            generator: on the CPU; what the channel, and "noise", draw with.

        Raises:
            InvalidValueError: a latent that the codec cannot write, no generator, or a block size that the channel
                cannot send.
        """
        if not isinstance(generator, torch.Generator):  # torch would draw with its global one
            raise InvalidValueError(f"generator must be a torch.Generator, got {generator!r}")
        assert isinstance(self.codec, Codec)
        encoded = self.codec.encode(latent)
        blocks = to_blocks(encoded.body, self.block_bytes)
        got = self._transmit(blocks, generator)
        failed = int(got.failed.sum())
        body_bits = 8 * len(encoded.body)
        kept = torch.ones_like(got.failed) if self.on_failure == "keep" else ~got.failed
        wrong = _body(got.bits != blocks, body_bits) & _body(kept[:, None].expand_as(blocks), body_bits)
        delivered = None
        if not (failed and self.on_failure == "fail"):
            delivered = self._assemble(encoded, got, generator).to(latent)
        block_bits_sent = got.transmissions * blocks.shape[1]
        header_bits_sent = round(8 * len(encoded.header) / self.header_code_rate)
        # The header has a code of its own, and so goes at the rate of coded bits: the blocks' code is not its code.
        air_s = block_bits_sent / self.rate_bps + header_bits_sent * self.channel.code_rate / self.rate_bps
        return Delivery(
            latent=delivered,
            blocks=len(blocks),
            transmissions=got.transmissions,
            failed_blocks=failed,
            bits_sent=block_bits_sent + header_bits_sent,
            bit_errors=int(wrong.sum()),
            body_bits=body_bits,
            delay_s=air_s + (got.rounds - 1) * self.round_trip_s,
            energy_j=self.radio.power_w * air_s,
        )

    def _transmit(self, blocks: Tensor, generator: torch.Generator) -> "_Got":
        received = torch.zeros_like(blocks)
        pending = torch.arange(len(blocks))
        transmissions = rounds = 0
        while len(pending) and rounds < self.max_transmissions:
            arrived = self.channel.transmit(blocks[pending], generator)
            received[pending] = arrived.bits
            transmissions += len(pending)
            rounds += 1
            pending = pending[arrived.lost | ~intact(arrived.bits)]
        failed = torch.zeros(len(blocks), dtype=torch.bool)
        failed[pending] = True
        return _Got(received, failed, transmissions, rounds)

    def _assemble(self, encoded: Encoded, got: "_Got", generator: torch.Generator) -> Tensor:
        assert isinstance(self.codec, Codec)
        arrived = Encoded(encoded.shape, encoded.header, from_blocks(got.bits, len(encoded.body)))
        latent = self.codec.decode(arrived)
        if self.on_failure == "keep" or not bool(got.failed.any()):
            return latent
        rows = latent.reshape(slices(latent.shape))
        lost_bits = _body(got.failed[:, None].expand_as(got.bits), 8 * len(encoded.body))
        per_value = self.codec.bits_per_value
        lost = lost_bits[: rows.numel() * per_value].reshape(-1, per_value).any(1).reshape(rows.shape)
        ranges = self.codec.ranges(encoded).to(rows.dtype)
        return conceal(rows, lost, ranges, self.on_failure == "noise", generator).reshape(latent.shape)


class _Got(NamedTuple):
    bits: Tensor
    failed: Tensor
    transmissions: int
    rounds: int


def _body(blocks: Tensor, body_bits: int) -> Tensor:
    """Entries of blocks (blocks, bits) that belong to the body, without CRCs and padding, flat."""
    return blocks[:, : -8 * CRC_BYTES].reshape(-1)[:body_bits]

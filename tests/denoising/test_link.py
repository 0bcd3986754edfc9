import math

import pytest
import torch

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.common.seeding import generator
from netdiffuse.denoising.codec import make_codec
from netdiffuse.denoising.cost import Radio
from netdiffuse.denoising.link import BinarySymmetric, Ideal, LdpcTable, Link, Outage, Uncoded

LATENT = torch.randn(1, 4, 16, 16, generator=generator(0))
RADIO = Radio(bandwidth_hz=1e6, power_w=0.5, gain=3e-9, noise_density_w_per_hz=5e-16)  # an SNR of 3: 2 Mbit/s


@pytest.mark.parametrize("codec", ["fp16", "uint8", "int4"])
def test_an_ideal_channel_delivers_what_the_codec_keeps(codec: str) -> None:
    sent = LATENT.half()
    got = Link(codec, Ideal(), RADIO).send(sent, generator(1))
    assert got.latent is not None
    assert got.latent.dtype == torch.float16
    assert torch.equal(got.latent, make_codec(codec).decode(make_codec(codec).encode(sent)).half())
    assert (got.failed_blocks, got.bit_errors) == (0, 0)
    assert got.transmissions == got.blocks == math.ceil(got.body_bits / 1024)
    assert got.body_bits == 1024 * {"fp16": 16, "uint8": 8, "int4": 4}[codec]


def test_time_and_energy() -> None:
    link = Link("uint8", Ideal(), RADIO, header_code_rate=0.5)
    got = link.send(LATENT, generator(1))
    assert got.bits_sent == 8 * (1024 + 32) + 16 * 8 * 2
    assert got.delay_s == pytest.approx(got.bits_sent / 2e6)
    assert got.energy_j == pytest.approx(0.5 * got.delay_s)
    # symbols, where there are any, set the rate: 1 MHz times 4 bits
    assert Link("uint8", Uncoded(40.0, "16qam"), RADIO).rate_bps == pytest.approx(4e6)
    assert Link("uint8", Outage(40.0, 1.5), RADIO).rate_bps == pytest.approx(1.5e6)


def test_the_header_is_coded_once() -> None:
    """128 bits at a rate of 1/4 are 256 QPSK symbols, whatever code the blocks have; theirs are of one bit a symbol."""
    link = Link("uint8", LdpcTable(40.0), RADIO, header_code_rate=0.25)
    got = link.send(LATENT, generator(1))
    assert got.transmissions == 8
    symbols = 8 * 1056 / 1 + 16 * 8 / 0.25 / 2
    assert got.delay_s == pytest.approx(symbols / 1e6)
    assert got.energy_j == pytest.approx(0.5 * symbols / 1e6)


def test_keeping_errors_delivers_the_bit_error_rate_of_the_channel() -> None:
    latent = torch.randn(1, 4, 64, 64, generator=generator(2))
    got = Link("uint8", BinarySymmetric(0.02), on_failure="keep").send(latent, generator(3))
    n = got.body_bits
    assert n == 8 * 4 * 64 * 64
    assert abs(got.bit_errors - 0.02 * n) < 5 * math.sqrt(0.02 * 0.98 * n)
    assert got.failed_blocks == got.blocks
    assert got.latent is not None
    codec = make_codec("uint8")
    clean = codec.decode(codec.encode(latent))
    share = float((got.latent != clean).double().mean())
    assert abs(share - (1 - 0.98**8)) < 0.01


@pytest.mark.parametrize("codec", ["fp16", "uint8", "int4"])
def test_an_erasure_replaces_the_values_of_lost_blocks_alone(codec: str) -> None:
    latent = LATENT * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None] + 5
    coded = make_codec(codec)
    clean = coded.decode(coded.encode(latent)).reshape(4, -1)
    for how in ("mean", "noise"):
        got = Link(codec, Outage(5.0, 1.0), on_failure=how, block_bytes=31).send(latent, generator(4))  # type: ignore[arg-type]
        assert 0 < got.failed_blocks < got.blocks
        assert got.bit_errors == 0
        assert got.latent is not None
        assert bool(got.latent.isfinite().all())
        rows = got.latent.reshape(4, -1)
        differ = rows != clean
        # a lost value may happen to be what it was, but one that arrived never differs: at most the lost blocks' share
        values_a_block = 31 * 8 / coded.bits_per_value
        assert int(differ.sum()) <= (values_a_block + 1) * got.failed_blocks
        assert int(differ.sum()) >= (values_a_block - 1) * (got.failed_blocks - 1) * 0.8
        for row, lost, original in zip(rows, differ, clean, strict=True):
            if how == "mean" and bool(lost.any()):
                assert len(row[lost].unique()) == 1
                assert float(row[lost][0]) == pytest.approx(float(original[~lost].mean()), rel=1e-4, abs=1e-3)


def test_noise_has_the_mean_and_deviation_of_what_arrived() -> None:
    latent = 3 * torch.randn(1, 1, 256, 256, generator=generator(5)) + 7
    got = Link("uint8", Outage(3.0, 1.0), on_failure="noise").send(latent, generator(6))
    clean = make_codec("uint8").decode(make_codec("uint8").encode(latent))
    assert got.latent is not None
    drawn = got.latent[got.latent != clean]
    assert len(drawn) > 10_000
    assert float(drawn.mean()) == pytest.approx(7, abs=5 * 3 / math.sqrt(len(drawn)) + 0.05)
    assert float(drawn.std()) == pytest.approx(3, rel=0.05)


def test_all_lost_is_still_a_latent_of_the_right_scale() -> None:
    never = Outage(-100.0, 1.0, "none")
    for how in ("mean", "noise"):
        got = Link("int4", never, on_failure=how).send(LATENT, generator(7))  # type: ignore[arg-type]
        assert got.failed_blocks == got.blocks
        assert got.latent is not None
        assert float(got.latent.abs().max()) < 6
    failed = Link("int4", never, on_failure="fail", max_transmissions=3).send(LATENT, generator(7))
    assert failed.latent is None
    assert failed.transmissions == 3 * failed.blocks


def test_retransmission_sends_failed_blocks_alone_as_often_as_theory_says() -> None:
    channel = Outage(snr_db=3.0, rate=1.0)
    latent = torch.randn(4, 4, 64, 64, generator=generator(8))
    link = Link("uint8", channel, RADIO, max_transmissions=3, on_failure="fail", round_trip_s=0.01)
    got = link.send(latent, generator(9))
    n, p = got.blocks, channel.block_error_rate(1056)
    # mean transmissions of a block 1 + p + p^2; their variance is below 3; failed blocks are binomial with p^3
    assert abs(got.transmissions - n * (1 + p + p * p)) < 5 * math.sqrt(3 * n)
    assert abs(got.failed_blocks - n * p**3) < 5 * math.sqrt(n * p**3)
    assert got.bits_sent == got.transmissions * 1056 + 16 * 32 * 4
    assert got.delay_s == pytest.approx(got.bits_sent / 1e6 + 2 * 0.01)
    assert got.energy_j == pytest.approx(0.5 * got.bits_sent / 1e6)
    patient = Link("uint8", channel, RADIO, max_transmissions=50, on_failure="fail").send(latent, generator(9))
    assert patient.failed_blocks == 0
    assert patient.latent is not None


def test_retransmission_over_a_channel_that_delivers_errors() -> None:
    got = Link("uint8", BinarySymmetric(5e-4), max_transmissions=20, on_failure="fail").send(LATENT, generator(10))
    codec = make_codec("uint8")
    assert got.latent is not None
    assert torch.equal(got.latent, codec.decode(codec.encode(LATENT)))
    assert got.transmissions > got.blocks


def test_the_same_generator_gives_the_same_delivery() -> None:
    link = Link("int4", Uncoded(6.0, "16qam", "rayleigh"), on_failure="noise")
    first, again, other = (link.send(LATENT, generator(seed)) for seed in (1, 1, 2))
    assert first.latent is not None
    assert again.latent is not None
    assert other.latent is not None
    assert torch.equal(first.latent, again.latent)
    assert not torch.equal(first.latent, other.latent)


def test_refuses_impossible_links() -> None:
    with pytest.raises(UnknownNameError, match="unknown codec 'fp8'"):
        Link("fp8", Ideal())
    with pytest.raises(UnknownNameError, match="unknown failure mode 'zero'"):
        Link("fp16", Ideal(), on_failure="zero")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="Outage loses whole blocks"):
        Link("fp16", Outage(1.0, 1.0), on_failure="keep")
    with pytest.raises(InvalidValueError, match="channel must be a Channel, got 'ideal'"):
        Link("fp16", "ideal")  # type: ignore[arg-type]
    for arguments in (
        {"block_bytes": 0},
        {"max_transmissions": 0},
        {"header_code_rate": 0.0},
        {"header_code_rate": math.nan},
        {"round_trip_s": -1.0},
    ):
        with pytest.raises(InvalidValueError, match=next(iter(arguments))):
            Link("fp16", Ideal(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="finite"):
        Link("fp16", Ideal()).send(torch.tensor([math.nan]), generator(0))
    with pytest.raises(InvalidValueError, match=r"generator must be a torch\.Generator, got None"):
        Link("fp16", Ideal()).send(LATENT, None)  # type: ignore[arg-type]

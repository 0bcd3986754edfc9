import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.denoising.link import (
    BinarySymmetric,
    Channel,
    Fading,
    Ideal,
    Outage,
    Uncoded,
    make_channel,
    make_fading,
    make_modulation,
)


def _bits(blocks: int, n: int, seed: int = 0) -> Tensor:
    return torch.randint(2, (blocks, n), dtype=torch.uint8, generator=generator(seed))


def _agrees(channel: Channel, expected: float, blocks: int, n: int) -> None:
    """The share of wrong bits is within five standard errors, which the spread of the independent blocks gives."""
    sent = _bits(blocks, n)
    wrong = (channel.transmit(sent, generator(1)).bits != sent).double().mean(1)
    standard_error = float(wrong.std()) / math.sqrt(blocks)
    assert standard_error > 0
    assert abs(float(wrong.mean()) - expected) < 5 * standard_error


def _qpsk(snr: float) -> float:
    return float(stats.norm.sf(math.sqrt(snr)))


def _qam16(snr: float) -> float:
    """By brute force: the probabilities of deciding for each level of each dimension, times the bits that differ."""
    levels, gray = np.array([-3, -1, 1, 3]) / math.sqrt(10), [(1, 1), (1, 0), (0, 0), (0, 1)]
    edges = np.array([-math.inf, -2, 0, 2, math.inf]) / math.sqrt(10)
    sigma = math.sqrt(1 / (2 * snr))
    total = 0.0
    for sent, sent_bits in zip(levels, gray, strict=True):
        decided = np.diff(stats.norm.cdf((edges - sent) / sigma))
        for p, bits in zip(decided, gray, strict=True):
            total += p * sum(a != b for a, b in zip(sent_bits, bits, strict=True))
    return total / (4 * 2)


FORMULAS: dict[str, Callable[[float], float]] = {"qpsk": _qpsk, "16qam": _qam16}


def test_constellations_are_those_of_38_211() -> None:
    qpsk = make_modulation("qpsk").modulate(torch.tensor([0, 0, 0, 1, 1, 0, 1, 1], dtype=torch.uint8))
    np.testing.assert_allclose(qpsk * 2**0.5, [1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j], rtol=1e-6)
    qam = make_modulation("16qam").modulate(torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0]))
    np.testing.assert_allclose(qam * 10**0.5, [1 + 1j, 3 + 3j, -1 + 3j, 3 - 1j], rtol=1e-6)


@pytest.mark.parametrize("name", ["qpsk", "16qam"])
def test_constellations_have_energy_one_and_gray_neighbours(name: str) -> None:
    modulation = make_modulation(name)
    words = torch.cartesian_prod(*[torch.tensor([0, 1], dtype=torch.uint8)] * modulation.bits_per_symbol)
    points = modulation.modulate(words).flatten()
    assert float(points.abs().square().mean()) == pytest.approx(1)
    distance = (points[:, None] - points).abs()
    near = (distance > 0) & (distance < 1.01 * distance[distance > 0].min())
    differ = (words[:, None] != words).sum(-1)
    assert bool((differ[near] == 1).all())
    assert torch.equal(modulation.demodulate(0.3 * points, torch.tensor(0.3)), words.flatten())


@pytest.mark.parametrize("name", ["qpsk", "16qam"])
@pytest.mark.parametrize("snr_db", [-5.0, 4.0, 12.0])
def test_bit_error_rates_in_noise(name: str, snr_db: float) -> None:
    channel = Uncoded(snr_db, name)
    expected = FORMULAS[name](10 ** (snr_db / 10))
    assert channel.mean_bit_error_rate() == pytest.approx(expected, rel=1e-9)
    _agrees(channel, expected, blocks=400, n=1000)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
def test_rayleigh_bit_error_rates_have_closed_forms(snr_db: float) -> None:
    snr = 10 ** (snr_db / 10)

    def mean_q(c: float) -> float:  # E[Q(sqrt(c g))], g exponential with mean snr (Proakis, equation 14-3-7)
        return 0.5 * (1 - math.sqrt(c * snr / (2 + c * snr)))

    qpsk = mean_q(1)
    qam16 = (3 * mean_q(1 / 5) + 2 * mean_q(9 / 5) - mean_q(5)) / 4
    for name, expected in (("qpsk", qpsk), ("16qam", qam16)):
        channel = Uncoded(snr_db, name, "rayleigh")
        assert channel.mean_bit_error_rate() == pytest.approx(expected, rel=1e-4)
        _agrees(channel, expected, blocks=20_000, n=40)


@pytest.mark.parametrize("m", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("name", ["qpsk", "16qam"])
def test_nakagami_bit_error_rates_by_numerical_integration(name: str, m: float) -> None:
    snr, law = 10 ** (12 / 10), stats.gamma(m, scale=1 / m)
    # over quantiles of the gain, where the density of m = 1/2 has no pole
    expected, _ = integrate.quad(lambda u: FORMULAS[name](max(snr * law.ppf(u), 1e-30)), 0, 1, limit=200)
    channel = Uncoded(12.0, name, f"nakagami:{m}")
    assert channel.mean_bit_error_rate() == pytest.approx(expected, rel=1e-3)
    _agrees(channel, expected, blocks=20_000, n=40)


def test_binary_symmetric_errors_are_binomial_and_independent() -> None:
    sent = _bits(2000, 100)
    wrong = BinarySymmetric(0.02).transmit(sent, generator(2)).bits != sent
    counts = wrong.sum(1).numpy()
    observed = np.bincount(np.minimum(counts, 6), minlength=7)
    law = stats.binom(100, 0.02)
    expected = 2000 * np.append(law.pmf(range(6)), law.sf(5))
    assert stats.chisquare(observed, expected).pvalue > 0.001
    for rate in (0.0, 1.0):
        assert torch.equal(BinarySymmetric(rate).transmit(sent, generator(0)).bits, sent ^ int(rate))


@pytest.mark.parametrize(
    "channel",
    [BinarySymmetric(0.01), Uncoded(8.0), Uncoded(14.0, "16qam"), Uncoded(15.0, "16qam", "rayleigh"), Ideal()],
    ids=str,
)
def test_block_error_rates_agree_with_simulation(channel: Channel) -> None:
    sent = _bits(4000, 80)
    failed = (channel.transmit(sent, generator(3)).bits != sent).any(1)
    expected = channel.block_error_rate(80)
    assert abs(float(failed.double().mean()) - expected) <= 5 * math.sqrt(expected * (1 - expected) / 4000)


def test_tiny_error_rates_keep_their_digits() -> None:
    assert BinarySymmetric(1e-14).block_error_rate(1000) == pytest.approx(1e-11, rel=1e-9)
    assert BinarySymmetric(1.0).block_error_rate(3) == 1


def test_fading_is_constant_in_a_block_and_fresh_in_the_next() -> None:
    sent = _bits(500, 2000)
    wrong = (Uncoded(5.0, "qpsk", "rayleigh").transmit(sent, generator(4)).bits != sent).double()
    halves = wrong[:, :1000].mean(1), wrong[:, 1000:].mean(1)
    assert float(torch.corrcoef(torch.stack(halves))[0, 1]) > 0.9
    assert abs(float(torch.corrcoef(torch.stack([halves[0][:-1], halves[0][1:]]))[0, 1])) < 0.2


def test_outage_has_a_closed_form() -> None:
    channel = Outage(snr_db=10.0, rate=2.0)
    assert channel.block_error_rate(64) == pytest.approx(1 - math.exp(-3 / 10))
    nakagami = Outage(snr_db=10.0, rate=2.0, fading="nakagami:2")
    assert nakagami.block_error_rate(64) == pytest.approx(stats.gamma(2, scale=0.5).cdf(0.3))
    for each in (channel, nakagami):
        sent = _bits(20_000, 8)
        got = each.transmit(sent, generator(5))
        p = each.block_error_rate(8)
        assert abs(float(got.lost.double().mean()) - p) < 5 * math.sqrt(p * (1 - p) / 20_000)
        assert torch.equal(got.bits[~got.lost], sent[~got.lost])
        assert not got.bits[got.lost].any()
    assert Outage(10.0, 3.4, "none").block_error_rate(8) == 0  # capacity log2(11) = 3.459
    assert Outage(10.0, 3.5, "none").block_error_rate(8) == 1


def test_draws_depend_on_their_generator_alone() -> None:
    sent = _bits(20, 80)
    for channel in (BinarySymmetric(0.1), Uncoded(3.0, "16qam", "nakagami:2"), Outage(3.0, 2.0)):
        torch.manual_seed(0)
        first = channel.transmit(sent, generator(6))
        torch.manual_seed(1)
        again = channel.transmit(sent, generator(6))
        assert torch.equal(first.bits, again.bits)
        assert not torch.equal(first.bits, channel.transmit(sent, generator(7)).bits)


def test_descriptions_of_fading() -> None:
    assert make_fading("none").m == math.inf
    assert make_fading("rayleigh") == Fading(1.0) == make_fading("nakagami:1")
    for wrong in ("nakagami", "nakagami:x", "nakagami:0.3", "nakagami:nan"):
        with pytest.raises(InvalidValueError, match=r"0.5"):
            make_fading(wrong)
    with pytest.raises(UnknownNameError, match="unknown fading 'ricean'"):
        make_fading("ricean")


def test_channels_by_name() -> None:
    assert make_channel("ideal") == Ideal()
    assert make_channel("bsc", bit_error_rate=0.01) == BinarySymmetric(0.01)
    assert make_channel("uncoded", snr_db=10.0, modulation="16qam") == Uncoded(10.0, "16qam")
    with pytest.raises(UnknownNameError, match=r"unknown channel 'outtage'. Did you mean 'outage'"):
        make_channel("outtage")
    with pytest.raises(InvalidValueError, match="channel 'bsc' has no argument 'ber'; it takes bit_error_rate"):
        make_channel("bsc", ber=0.1)
    with pytest.raises(InvalidValueError, match="channel 'uncoded' needs snr_db"):
        make_channel("uncoded")


def test_refuses_impossible_channels() -> None:
    for wrong in (math.nan, math.inf, 1e6, "10"):
        with pytest.raises(InvalidValueError, match="snr_db must be"):
            Uncoded(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"bit_error_rate must be in \[0, 1\], got 1.5"):
        BinarySymmetric(1.5)
    with pytest.raises(UnknownNameError, match="unknown modulation '64qam'"):
        Uncoded(1.0, "64qam")
    with pytest.raises(InvalidValueError, match="rate must be at most 64"):
        Outage(1.0, 1e4)
    with pytest.raises(InvalidValueError, match="82 bits is no whole number of 16qam symbols"):
        Uncoded(1.0, "16qam").transmit(_bits(1, 82), generator(0))

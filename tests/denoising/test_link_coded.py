import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import sionna.phy
import torch
from scipy import stats

import netdiffuse.denoising.link.coded as coded
from netdiffuse.common import InvalidValueError, MissingExtraError
from netdiffuse.common.seeding import generator
from netdiffuse.denoising.link import Fading, Ldpc, LdpcTable, Link, Uncoded, make_modulation
from netdiffuse.denoising.link.bler import BlerTable, Curve, shipped_table
from netdiffuse.denoising.link.make_bler import main


def _bits(blocks: int, n: int) -> torch.Tensor:
    return torch.randint(2, (blocks, n), dtype=torch.uint8, generator=generator(0))


def _failed(channel: Ldpc, blocks: int, n: int, seed: int = 1) -> float:
    sent = _bits(blocks, n)
    return float((channel.transmit(sent, generator(seed)).bits != sent).any(1).double().mean())


@pytest.mark.parametrize(("modulation", "code_rate"), [("qpsk", 0.5), ("16qam", 5 / 6), ("qpsk", 1 / 3)])
def test_decoding_fails_below_shannons_limit_and_works_three_db_above(modulation: str, code_rate: float) -> None:
    bits_per_symbol = make_modulation(modulation).bits_per_symbol * code_rate
    limit_db = 10 * math.log10(2**bits_per_symbol - 1)
    assert _failed(Ldpc(limit_db - 0.5, modulation, code_rate), 16, 264) > 0.8
    # 264 bits are short, and 16-QAM without shaping loses half a dB
    assert _failed(Ldpc(limit_db + 4, modulation, code_rate), 16, 264) == 0


def test_the_mapping_is_ours() -> None:
    mapping = coded._sionna()[1]
    bits = _bits(2, 64)
    for name, per_symbol in (("qpsk", 2), ("16qam", 4)):
        ours = make_modulation(name).modulate(bits)
        theirs = mapping.Mapper("qam", per_symbol, device="cpu")(bits.float())
        torch.testing.assert_close(ours, theirs)


def test_code_words_are_whole_symbols_of_the_rate() -> None:
    for code_rate in (1 / 3, 1 / 2, 2 / 3, 5 / 6):
        for modulation, per_symbol in (("qpsk", 2), ("16qam", 4)):
            n = Ldpc(0.0, modulation, code_rate).coded_bits(1056)
            assert n % per_symbol == 0
            assert 0 <= n - 1056 / code_rate < per_symbol


def test_the_table_agrees_with_decoding() -> None:
    for snr_db, modulation, code_rate in ((1.2, "qpsk", 0.5), (9.0, "16qam", 2 / 3)):
        p = LdpcTable(snr_db, modulation, code_rate).block_error_rate(1056)
        assert 0.05 < p < 0.95
        failures = round(64 * _failed(Ldpc(snr_db, modulation, code_rate), 64, 1056))
        # points of the table rest on a hundred failures, and lie a quarter of a dB apart
        assert stats.binom(64, max(p - 0.08, 0.005)).ppf(1e-4) <= failures <= stats.binom(64, p + 0.08).ppf(1 - 1e-4)


def test_the_table_loses_blocks_as_often_as_it_says() -> None:
    channel = LdpcTable(6.0, "16qam", 0.5, "nakagami:2")
    sent = _bits(20_000, 1056)
    got = channel.transmit(sent, generator(2))
    p = channel.block_error_rate(1056)
    assert abs(float(got.lost.double().mean()) - p) < 5 * math.sqrt(p * (1 - p) / len(sent))
    assert torch.equal(got.bits[~got.lost], sent[~got.lost])


def test_interpolation_is_linear_in_the_logarithm() -> None:
    curve = shipped_table().curve("qpsk", 0.5)
    at = lambda db: float(curve.block_error_rate(np.array([10 ** (db / 10)]))[0])  # noqa: E731
    rates = [(e + 0.5) / (n + 1) for e, n in zip(curve.errors, curve.blocks, strict=True)]
    for snr_db, rate in zip(curve.snr_db, rates, strict=True):
        assert at(snr_db + 1e-9) == pytest.approx(rate, rel=1e-6)
    assert at(curve.snr_db[0] - 1e-9) == 1
    assert at((curve.snr_db[-1] + curve.snr_db[-2]) / 2) == pytest.approx(math.sqrt(rates[-1] * rates[-2]))
    slope = math.log(rates[-1] / rates[-2]) / (curve.snr_db[-1] - curve.snr_db[-2])
    assert at(curve.snr_db[-1] + 0.1) == pytest.approx(rates[-1] * math.exp(0.1 * slope))
    assert at(-30) == 1
    assert at(30) == pytest.approx(1e-6)
    assert float(curve.block_error_rate(np.array([0.0]))[0]) == 1


def test_neighbours_that_rise_by_chance_are_pooled() -> None:
    curve = Curve("qpsk", 0.5, 192, (0.0, 1.0, 2.0, 3.0), (99, 99, 299, 99), (98, 79, 269, 9))
    low, high = (float(curve.block_error_rate(np.array([10 ** (db / 10)]))[0]) for db in (1.0, 2.0))
    pooled = (99 * 79.5 / 100 + 299 * 269.5 / 300) / 398
    assert low == pytest.approx(pooled)
    assert high == pytest.approx(pooled)


def test_better_channels_lose_less() -> None:
    for curve in shipped_table().curves:
        rates = curve.block_error_rate(10 ** (np.linspace(-10, 25, 200) / 10))
        assert (np.diff(rates) <= 1e-12).all()
    order = [shipped_table().curve("qpsk", r).snr_db[-1] for r in (1 / 3, 1 / 2, 2 / 3, 5 / 6)]
    assert order == sorted(order)


def test_coding_beats_no_coding_over_the_same_link() -> None:
    latent = torch.randn(1, 4, 16, 16, generator=generator(3))
    plain = Link("uint8", Uncoded(4.0), on_failure="noise").send(latent, generator(4))
    decoded = Link("uint8", Ldpc(4.0), on_failure="fail").send(latent, generator(4))
    assert plain.failed_blocks == plain.blocks
    assert decoded.failed_blocks == 0
    assert decoded.latent is not None
    header_bits = 8 * 4 * 4 / 0.25  # four slices; they have a code of their own
    assert decoded.delay_s * 1e6 - header_bits / 2 == pytest.approx(2 * (plain.delay_s * 1e6 - header_bits / 2))


def test_a_block_that_is_not_decoded_is_found_by_its_crc() -> None:
    latent = torch.randn(1, 4, 16, 16, generator=generator(5))
    got = Link("uint8", Ldpc(-3.0), on_failure="mean").send(latent, generator(6))
    assert got.failed_blocks == got.blocks == 8
    assert got.bit_errors == 0


def test_importing_sionna_leaves_the_global_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = coded._sionna()

    def importing(name: str) -> object:
        sionna.phy.config.seed = None  # what the first import does: it seeds torch's global generator anew
        return modules[0]

    coded._sionna.cache_clear()
    monkeypatch.setattr(coded, "import_module", importing)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    importing("")
    assert not torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    coded._sionna()
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.undo()
    coded._sionna.cache_clear()


def test_without_sionna_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    coded._sionna.cache_clear()
    monkeypatch.setitem(sys.modules, "sionna.phy.fec.ldpc", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'netdiffuse\[sionna\]'"):
        Ldpc(1.0)
    LdpcTable(1.0)  # needs none
    monkeypatch.undo()
    coded._sionna.cache_clear()


def test_draws_depend_on_their_generator_alone() -> None:
    channel, sent = Ldpc(0.6, fading=Fading(2.0)), _bits(8, 264)
    torch.manual_seed(0)
    first = channel.transmit(sent, generator(7)).bits
    torch.manual_seed(1)
    assert torch.equal(channel.transmit(sent, generator(7)).bits, first)


def test_make_bler_writes_a_table_that_reads_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdiffuse.denoising.link.make_bler.CODE_RATES", (1 / 2,))
    for name in ("a.json", "b.json"):
        main(["--out", str(tmp_path / name), "--block-bytes", "8", "--step-db", "2", "--blocks", "16", "--seed", "3"])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    table = BlerTable.read(tmp_path / "a.json")
    assert table.block_bits == 96
    assert (table.iterations, table.most_blocks, table.enough_errors, table.step_db, table.seed) == (20, 16, 100, 2, 3)
    assert [curve.coded_bits for curve in table.curves] == [192, 192]
    assert "qpsk 0.500 (96 of 192 bits)" in str(table)
    assert "20 iterations, up to 16 blocks or 100 failures every 2 dB, seed 3" in str(table)
    assert 0 <= LdpcTable(3.0, "qpsk", 0.5, table=table).block_error_rate(96) <= 1
    with pytest.raises(InvalidValueError, match=r"no qpsk of code rate 0\.75"):
        table.curve("qpsk", 0.75)


def test_more_iterations_decode_more_blocks_and_the_table_knows_its_own() -> None:
    hasty, patient = (_failed(Ldpc(0.9, iterations=n), 64, 1056) for n in (4, 40))
    assert hasty > patient + 0.3
    assert Ldpc(0.9).block_error_rate(1056) == LdpcTable(0.9).block_error_rate(1056)
    with pytest.raises(
        InvalidValueError, match="made with 20 iterations, this channel decodes with 4: take iterations=20"
    ):
        Ldpc(0.9, iterations=4).block_error_rate(1056)


def test_the_table_that_ships_is_fine() -> None:
    table = shipped_table()
    assert (table.iterations, table.step_db) == (20, 0.25)
    for curve in table.curves:
        assert np.allclose(np.diff(curve.snr_db), 0.25)
        for sent, wrong in zip(curve.blocks, curve.errors, strict=True):
            assert wrong >= table.enough_errors or sent == table.most_blocks == 2000


def test_refuses_broken_tables(tmp_path: Path) -> None:
    curve = {
        "modulation": "qpsk", "code_rate": 0.5, "coded_bits": 192, "snr_db": [1, 2], "blocks": [9, 9], "errors": [9, 0]
    }  # fmt: skip
    options = {"iterations": 20, "most_blocks": 9, "enough_errors": 9, "step_db": 1, "seed": 0}
    good = {"version": 2, "block_bits": 96, "curves": [curve], **options}
    path = tmp_path / "table.json"
    path.write_text(json.dumps(good))
    BlerTable.read(path)
    for broken, message in (
        ("{", "are no table"),
        (json.dumps({**good, "version": 1}), "version 1.*make it anew with python -m"),
        (json.dumps({name: value for name, value in good.items() if name != "iterations"}), "no 'iterations'"),
        (json.dumps({**good, "most_blocks": 0}), "most_blocks must be positive"),
        (json.dumps({**good, "curves": [{**curve, "coded_bits": "many"}]}), "'coded_bits' has the wrong type"),
        (json.dumps({**good, "curves": []}), "at least one curve"),
        (json.dumps({**good, "curves": [{**curve, "errors": [10, 0]}]}), "errors between 0 and blocks"),
        (json.dumps({**good, "curves": [{**curve, "snr_db": [2, 1]}]}), "rising snr_db"),
        (json.dumps({**good, "curves": [{**curve, "blocks": [9]}]}), "at least two points"),
        (json.dumps({**good, "curves": [{**curve, "snr_db": [1, None]}]}), "None is no finite number"),
    ):
        path.write_text(broken)
        with pytest.raises(InvalidValueError, match=message):
            BlerTable.read(path)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        BlerTable.read(tmp_path / "none.json")


def test_refuses_impossible_codes() -> None:
    with pytest.raises(InvalidValueError, match=r"code_rate must be from 1/5 to 11/12, got 0.99"):
        Ldpc(1.0, code_rate=0.99)
    with pytest.raises(InvalidValueError, match="8480 bits does not fit one LDPC code word"):
        Ldpc(1.0).transmit(_bits(1, 8480), generator(0))
    with pytest.raises(InvalidValueError, match=r"no 16qam of code rate 0.4, only qpsk 0.333"):
        LdpcTable(1.0, "16qam", 0.4)
    with pytest.raises(InvalidValueError, match="blocks of 1056 bits, got 544"):
        Link("uint8", LdpcTable(1.0), block_bytes=64).send(torch.ones(64), generator(0))
    with pytest.raises(InvalidValueError, match="iterations"):
        Ldpc(1.0, iterations=0)

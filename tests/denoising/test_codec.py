import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import integrate, optimize
from scipy.stats import norm

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.denoising.codec import CODECS, Encoded, make_codec

SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)
LATENTS = arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32))


def _step(name: str, encoded: Encoded) -> torch.Tensor:
    """Quantisation step of each slice, read from the header by hand: bfloat16 is the upper half of a float32."""
    words = np.frombuffer(encoded.header, "<u2").astype(np.uint32) << 16
    return torch.from_numpy(words.view(np.float32).reshape(-1, 2)[:, 1] * 2.0) / (2 ** CODECS[name].bits_per_value - 1)


def _snr_db(latent: torch.Tensor, decoded: torch.Tensor) -> float:
    return 10 * math.log10(float(latent.square().sum() / (latent - decoded).square().sum()))


@settings(deadline=None, max_examples=60)
@given(LATENTS)
def test_quantised_roundtrips_within_half_a_step_inside_the_range_and_clip_outside(values: np.ndarray) -> None:
    latent = torch.from_numpy(values)
    rows = latent.reshape(-1, math.prod(latent.shape[-2:])) if latent.ndim > 2 else latent.reshape(1, -1)
    for name in ("uint8", "int4"):
        codec = CODECS[name]
        encoded = codec.encode(latent)
        decoded = codec.decode(encoded)
        assert decoded.shape == latent.shape
        assert decoded.dtype == torch.float32
        centre, half_width = codec.ranges(encoded).unbind(1)
        inside = rows.double().clamp((centre - half_width)[:, None], (centre + half_width)[:, None])
        error = (decoded.reshape(rows.shape).double() - inside).abs()
        assert bool((error <= _step(name, encoded)[:, None] * 0.5001 + 1e-5).all())


@settings(deadline=None, max_examples=40)
@given(LATENTS)
def test_fp16_roundtrips_as_half_precision_does(values: np.ndarray) -> None:
    codec = CODECS["fp16"]
    decoded = codec.decode(codec.encode(torch.from_numpy(values)))
    np.testing.assert_array_equal(decoded.numpy(), values.astype(np.float16).astype(np.float32))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(CODECS)), LATENTS)
def test_any_body_of_the_right_length_decodes_to_finite_values_in_range(
    data: st.DataObject, name: str, values: np.ndarray
) -> None:
    codec = CODECS[name]
    encoded = codec.encode(torch.from_numpy(values))
    body = data.draw(st.binary(min_size=len(encoded.body), max_size=len(encoded.body)))
    decoded = codec.decode(replace(encoded, body=body))
    assert bool(decoded.isfinite().all())
    bound = codec.ranges(encoded).abs().sum(1).max()
    assert float(decoded.abs().max()) <= float(bound) * (1 + 1e-6)


def test_every_fp16_pattern_is_bounded_by_what_was_sent() -> None:
    codec = CODECS["fp16"]
    latent = torch.randn(65536, generator=generator(0))
    encoded = codec.encode(latent)
    every = np.arange(65536, dtype="<u2")
    decoded = codec.decode(replace(encoded, body=every.tobytes())).numpy()
    read = every.view(np.float16).astype(np.float32)
    assert np.abs(decoded).max() <= 1.01 * float(latent.abs().max()) + 0.05
    assert np.ptp(decoded[np.isnan(read)]) == 0  # NaN becomes the centre
    ordinary = np.abs(read) < 3
    np.testing.assert_array_equal(decoded[ordinary], read[ordinary])


@pytest.mark.parametrize("name", ["uint8", "int4"])
def test_a_wrong_least_significant_bit_moves_a_value_by_one_level(name: str) -> None:
    codec = CODECS[name]
    encoded = codec.encode(torch.randn(1, 4, 16, 16, generator=generator(1)))
    per_value = codec.bits_per_value
    bits = np.unpackbits(np.frombuffer(encoded.body, np.uint8)).reshape(-1, per_value)
    bits[:, -1] ^= 1
    moved = codec.decode(replace(encoded, body=np.packbits(bits).tobytes())) - codec.decode(encoded)
    steps = moved.reshape(4, -1) / _step(name, encoded)[:, None]
    torch.testing.assert_close(steps.abs(), torch.ones_like(steps).abs(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["uint8", "int4"])
def test_neighbouring_levels_differ_in_one_bit_and_all_levels_occur(name: str) -> None:
    codec = CODECS[name]
    levels = 2**codec.bits_per_value
    encoded = codec.encode(torch.linspace(-1, 1, levels))
    assert float((codec.decode(encoded) - torch.linspace(-1, 1, levels)).abs().max()) < 1 / levels
    # decode every code word, put them in order of value: one bit between neighbours
    words = np.arange(levels, dtype=np.uint8)
    bits = np.unpackbits(words[:, None], axis=1)[:, 8 - codec.bits_per_value :]
    values = codec.decode(replace(encoded, body=np.packbits(bits).tobytes())).numpy()
    assert len(np.unique(values)) == levels
    ordered = bits[np.argsort(values)]
    assert (np.abs(np.diff(ordered.astype(int), axis=0)).sum(1) == 1).all()


@pytest.mark.parametrize(("name", "levels"), [("uint8", 256), ("int4", 16)])
def test_gaussian_latents_are_quantised_nearly_optimally(name: str, levels: int) -> None:
    def distortion(half_width: float) -> float:  # of a uniform quantiser of a standard normal variable
        points = np.linspace(-half_width, half_width, levels)
        edges = np.concatenate([[-9.0], (points[1:] + points[:-1]) / 2, [9.0]])
        x = np.linspace(edges[:-1], edges[1:], 201)
        return float(integrate.simpson((x - points) ** 2 * norm.pdf(x), x=x, axis=0).sum())

    best = optimize.minimize_scalar(distortion, bounds=(1.5, 6), method="bounded").fun
    optimum_db = -10 * math.log10(best)
    for sigma in (1.0, 14.6):  # init_noise_sigma of DDIM and of Euler
        large = sigma * torch.randn(256, 256, generator=generator(2))
        assert abs(_snr_db(large, make_codec(name).decode(make_codec(name).encode(large))) - optimum_db) < 0.3
        # ranges fitted to small slices do better than one fitted to the distribution
        small = sigma * torch.randn(16, 4, 8, 8, generator=generator(3))
        assert _snr_db(small, make_codec(name).decode(make_codec(name).encode(small))) > optimum_db


def test_a_slice_with_a_far_second_mode_keeps_it() -> None:
    latent = torch.full((1, 1, 16, 16), -1.0)
    latent[..., :2, :6] = 5.0
    for name in ("uint8", "int4"):
        decoded = CODECS[name].decode(CODECS[name].encode(latent))
        assert float((decoded - latent).abs().max()) < 0.05


def test_channels_of_a_latent_have_ranges_of_their_own() -> None:
    latent = torch.randn(2, 3, 8, 8, generator=generator(3)) * torch.tensor([0.01, 1.0, 100.0])[:, None, None]
    decoded = CODECS["int4"].decode(CODECS["int4"].encode(latent))
    for channel in range(3):
        assert _snr_db(latent[:, channel], decoded[:, channel]) > 17


def test_extreme_latents() -> None:
    for value in (0.0, 1e-40, -1e29, 3.3):
        latent = torch.full((2, 2, 3), value)
        for name in ("uint8", "int4"):
            # a constant slice is kept to the resolution of its header, bfloat16, and better
            torch.testing.assert_close(CODECS[name].decode(CODECS[name].encode(latent)), latent, rtol=1e-4, atol=1e-30)
    half = torch.randn(2, 3, 4, 4, generator=generator(4)).bfloat16()
    torch.testing.assert_close(CODECS["fp16"].decode(CODECS["fp16"].encode(half)), half.float())


def test_lengths_are_what_is_written() -> None:
    for shape in ((), (3,), (3, 5, 7), (1, 4, 8, 8), (2, 4, 8, 8), (1, 9, 64)):
        for codec in CODECS.values():
            encoded = codec.encode(torch.ones(shape))
            assert codec.body_bytes(shape) == len(encoded.body)
            assert codec.header_bytes(shape) == len(encoded.header)
    assert {name: codec.body_bytes((1, 4, 64, 64)) for name, codec in CODECS.items()} == {
        "fp16": 32768,
        "uint8": 16384,
        "int4": 8192,
    }
    assert CODECS["uint8"].header_bytes((1, 4, 64, 64)) == 16


def test_refuses_what_it_cannot_write() -> None:
    codec = make_codec("uint8")
    for wrong, message in (
        (torch.tensor([1.0, math.nan]), "got nan at flat index 1"),
        (torch.tensor([[1.0], [-math.inf]]), "got -inf at flat index 1"),
        (torch.tensor([1e31]), "1e\\+30"),
        (torch.ones(3, 0), "empty shape"),
        (torch.ones(3, dtype=torch.int64), "floating point, got torch.int64"),
        ([1.0], "got list"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            codec.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"70000 does not fit fp16.*use uint8"):
        make_codec("fp16").encode(torch.tensor([7e4]))


def test_refuses_what_it_cannot_read() -> None:
    codec = make_codec("int4")
    encoded = codec.encode(torch.ones(1, 4, 8, 8))
    with pytest.raises(InvalidValueError, match="must have 128 bytes, got 127"):
        codec.decode(replace(encoded, body=encoded.body[:-1]))
    with pytest.raises(InvalidValueError, match="must have 128 bytes, got 256"):
        codec.decode(make_codec("uint8").encode(torch.ones(1, 4, 8, 8)))
    with pytest.raises(InvalidValueError, match="must have 16 bytes, got 12"):
        codec.decode(replace(encoded, header=encoded.header[:-4]))
    with pytest.raises(InvalidValueError, match="impossible range"):
        codec.decode(replace(encoded, header=b"\xff" * 16))
    with pytest.raises(InvalidValueError, match="impossible range"):  # finite, and beyond what float32 can add
        codec.decode(replace(encoded, header=b"\x7f\x7f" * 8))
    with pytest.raises(InvalidValueError, match="each dimension"):
        codec.decode(replace(encoded, shape=(4, -8)))


def test_codecs_by_name() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown codec 'uint'. Did you mean 'uint8'\? Known: fp16, int4, uint8"
    ):
        make_codec("uint")

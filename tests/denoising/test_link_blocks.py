import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.codec import make_codec
from netdiffuse.denoising.link import size
from netdiffuse.denoising.link.blocks import from_blocks, intact, to_blocks


def _divides(remainder_of: int) -> int:
    """Remainder of a polynomial over GF(2) by CRC-32's generator, by long division."""
    generator = 0x104C11DB7
    while remainder_of.bit_length() > 32:
        remainder_of ^= generator << (remainder_of.bit_length() - 33)
    return remainder_of


def test_the_checksum_is_the_remainder_of_a_long_division() -> None:
    body = b"half a picture"
    framed = np.packbits(to_blocks(body, len(body))[0].numpy()).tobytes()
    # CRC-32 of IEEE 802.3: bits of a byte reversed, first 32 bits and the remainder inverted
    reversed_bits = "".join(f"{byte:08b}"[::-1] for byte in body)
    dividend = int(reversed_bits + "0" * 32, 2) ^ (0xFFFFFFFF << (8 * len(body)))
    remainder = int(f"{_divides(dividend) ^ 0xFFFFFFFF:032b}"[::-1], 2)
    assert framed == body + remainder.to_bytes(4, "big")


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=300), st.integers(1, 70))
def test_a_body_comes_back(body: bytes, block_bytes: int) -> None:
    blocks = to_blocks(body, block_bytes)
    assert blocks.shape == (math.ceil(len(body) / block_bytes), 8 * (block_bytes + 4))
    assert bool(intact(blocks).all())
    assert from_blocks(blocks, len(body)) == body


@settings(deadline=None, max_examples=150)
@given(st.data(), st.binary(min_size=1, max_size=128))
def test_one_or_two_wrong_bits_are_always_found(data: st.DataObject, body: bytes) -> None:
    blocks = to_blocks(body, len(body))
    wrong = data.draw(st.sets(st.integers(0, blocks.shape[1] - 1), min_size=1, max_size=2))
    blocks[0, list(wrong)] ^= 1
    assert not bool(intact(blocks).any())


def test_every_single_wrong_bit_is_found_and_in_its_block_alone() -> None:
    blocks = to_blocks(bytes(range(32)), 16)
    n = blocks.shape[1]
    corrupted = blocks[0].repeat(n, 1)
    corrupted ^= torch.eye(n, dtype=torch.uint8)
    assert not bool(intact(corrupted).any())
    blocks[1, 5] ^= 1
    assert intact(blocks).tolist() == [True, False]


def test_a_block_of_zeros_is_not_intact() -> None:
    assert not bool(intact(torch.zeros(1, 1056, dtype=torch.uint8)))


def test_sizes_are_honest() -> None:
    shape = (1, 4, 8, 8)  # the default model: 256 values
    got = {name: size(make_codec(name), shape) for name in ("fp16", "uint8", "int4")}
    assert {name: (s.body_bits, s.crc_bits, s.header_bits, s.padding_bits) for name, s in got.items()} == {
        "fp16": (4096, 128, 128, 0),
        "uint8": (2048, 64, 128, 0),
        "int4": (1024, 32, 128, 0),
    }
    assert got["uint8"].total_bits == 2240
    odd = size(make_codec("int4"), (3,), block_bytes=8)  # 12 bits in 2 bytes, 6 bytes of padding
    assert (odd.body_bits, odd.padding_bits, odd.crc_bits) == (16, 48, 32)


def test_refuses_wrong_blocks() -> None:
    with pytest.raises(InvalidValueError, match="block_bytes must be an integer of at least 1, got 0"):
        to_blocks(b"a", 0)
    with pytest.raises(InvalidValueError, match="at most 11450"):
        size(make_codec("fp16"), (3,), block_bytes=20_000)
    with pytest.raises(InvalidValueError, match="must not be empty"):
        to_blocks(b"")
    blocks = to_blocks(b"abcdef", 4)
    for length in (4, 9):
        with pytest.raises(InvalidValueError, match="2 blocks of 8 bytes in all cannot hold"):
            from_blocks(blocks, length)
    with pytest.raises(InvalidValueError, match=r"bits of shape .* got \(2, 63\)"):
        intact(blocks[:, :-1])

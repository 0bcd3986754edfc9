"""A body cut into blocks of equal length, each with a checksum that tells whether it arrived whole."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.codec import Codec

BLOCK_BYTES = 128
CRC_BYTES = 4
# Up to here CRC-32 finds any three wrong bits of a block (Koopman, "32-bit cyclic redundancy codes for Internet
# applications", DSN 2002); a fourth, or any larger number, escapes it with a probability of about 2^-32.
MOST_BLOCK_BYTES = 11_450


@dataclass(frozen=True)
class Size:
    """What a latent weighs.

    Attributes:
        body_bits: the values.
        header_bits: their ranges, before the code that protects them.
        crc_bits: the checksums of the blocks.
        padding_bits: what fills the last block.
    """

    body_bits: int
    header_bits: int
    crc_bits: int
    padding_bits: int

    @property
    def total_bits(self) -> int:
        """All of them."""
        return self.body_bits + self.header_bits + self.crc_bits + self.padding_bits


def size(codec: Codec, shape: Sequence[int], block_bytes: int = BLOCK_BYTES) -> Size:
    """What a latent of this shape weighs, sent once in blocks of `block_bytes`.

    Raises:
        InvalidValueError: a shape with a dimension that is no positive integer, or a wrong block size.
    """
    body = codec.body_bytes(shape)
    blocks = math.ceil(body / _checked(block_bytes))
    return Size(8 * body, 8 * codec.header_bytes(shape), 8 * CRC_BYTES * blocks, 8 * (blocks * block_bytes - body))


def block_bits(block_bytes: int) -> int:
    """Length in bits of a block with its checksum.

    Raises:
        InvalidValueError: a block size outside 1..11450 bytes.
    """
    return 8 * (_checked(block_bytes) + CRC_BYTES)


def to_blocks(body: bytes, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """Cut a body into blocks, the last filled up with zeros, and append CRC-32 (as in `zlib`) to each.

    Returns:
        Bits, most significant first, shape (blocks, 8 * (block_bytes + 4)), uint8 of 0 and 1.

    Raises:
        InvalidValueError: an empty body, or a block size outside 1..11450 bytes.
    """
    if not body:
        raise InvalidValueError("a body to be cut into blocks must not be empty")
    padded = body + bytes(-len(body) % _checked(block_bytes))
    blocks = [padded[start : start + block_bytes] for start in range(0, len(padded), block_bytes)]
    framed = b"".join(block + zlib.crc32(block).to_bytes(CRC_BYTES, "big") for block in blocks)
    bits = np.unpackbits(np.frombuffer(framed, np.uint8))
    return torch.from_numpy(bits).reshape(len(blocks), -1)


def intact(blocks: Tensor) -> Tensor:
    """Which blocks agree with their checksums: bits as of `to_blocks` to bool, shape (blocks,)."""
    framed = _bytes(blocks)
    return torch.tensor(
        [zlib.crc32(row[:-CRC_BYTES]) == int.from_bytes(row[-CRC_BYTES:], "big") for row in framed], dtype=torch.bool
    )


def from_blocks(blocks: Tensor, length: int) -> bytes:
    """Put the body together again: bits as of `to_blocks`, whether intact or not, to `length` bytes.

    Raises:
        InvalidValueError: blocks that hold less than that, or more than filled the last one up.
    """
    body = b"".join(row[:-CRC_BYTES] for row in _bytes(blocks))
    if not 0 <= len(body) - length < len(body) // len(blocks):
        raise InvalidValueError(
            f"{len(blocks)} blocks of {len(body)} bytes in all cannot hold a body of {length} bytes"
        )
    return body[:length]


def _bytes(blocks: Tensor) -> list[bytes]:
    if blocks.ndim != 2 or not len(blocks) or blocks.shape[1] % 8 or blocks.shape[1] <= 8 * CRC_BYTES:
        raise InvalidValueError(
            f"blocks must be bits of shape (blocks, 8 * (block_bytes + {CRC_BYTES})), got {tuple(blocks.shape)}"
        )
    return [row.tobytes() for row in np.packbits(blocks.numpy(), axis=1)]


def _checked(block_bytes: int) -> int:
    return checks.integer("block_bytes", block_bytes, maximum=MOST_BLOCK_BYTES)

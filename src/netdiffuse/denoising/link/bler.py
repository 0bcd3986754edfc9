"""Tables of block error rates: what decoding costs seconds for, looked up in microseconds."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.common.files import check_entries
from netdiffuse.denoising.link.modulation import Array

VERSION = 2
TABLE = "bler_table.json"
FLOOR = 1e-6  # extrapolation ends here: nothing was measured that far down
_TABLE: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "iterations": int,
    "most_blocks": int,
    "enough_errors": int,
    "step_db": (int, float),
    "seed": int,
    "block_bits": int,
    "curves": list,
}
_CURVE: dict[str, type | tuple[type, ...]] = {
    "modulation": str,
    "code_rate": (int, float),
    "coded_bits": int,
    "snr_db": list,
    "blocks": list,
    "errors": list,
}


@dataclass(frozen=True)
class Curve:
    """Failed blocks of one modulation and code rate in white Gaussian noise.

    Attributes:
        modulation: "qpsk" or "16qam".
        code_rate: bits of a block over coded bits.
        coded_bits: length of a code word.
        snr_db: Es/N0 in dB, rising.
        blocks: blocks that were sent at each SNR.
        errors: blocks that were not decoded.
    """

    modulation: str
    code_rate: float
    coded_bits: int
    snr_db: tuple[float, ...]
    blocks: tuple[int, ...]
    errors: tuple[int, ...]

    def block_error_rate(self, snr: Array) -> Array:
        """Block error rate at linear Es/N0.

        The rate at a measured point is (errors + 1/2) / (blocks + 1), neighbours that rise by chance being pooled
        (isotonic regression, Barlow et al., "Statistical Inference under Order Restrictions", 1972); between points its
        logarithm is linear in dB; below the first point it is 1; above the last it goes on along the last segment, down
        to 1e-6. As waterfall curves bend downwards in these coordinates, that is pessimistic.
        """
        measured = (np.array(self.errors) + 0.5) / (np.array(self.blocks) + 1)
        log_rate = np.log(isotonic_regression(measured, weights=self.blocks, increasing=False).x)
        with np.errstate(divide="ignore"):  # an SNR of 0
            at_db = 10 * np.log10(snr)
        slope = min((log_rate[-1] - log_rate[-2]) / (self.snr_db[-1] - self.snr_db[-2]), 0.0)
        beyond = slope * np.maximum(at_db - self.snr_db[-1], 0.0)
        return np.exp(np.maximum(np.interp(at_db, self.snr_db, log_rate, left=0.0) + beyond, math.log(FLOOR)))


@dataclass(frozen=True)
class BlerTable:
    """Curves for blocks of one length, and how they were measured.

    Attributes:
        block_bits: bits of a block before coding, its CRC included.
        curves: one for each modulation and code rate.
        iterations: of belief propagation.
        most_blocks: that were sent at an SNR, at most.
        enough_errors: failed blocks after which no more were sent at an SNR.
        step_db: between SNRs.
        seed: of bits and noise.
    """

    block_bits: int
    curves: tuple[Curve, ...]
    iterations: int
    most_blocks: int
    enough_errors: int
    step_db: float
    seed: int

    def __str__(self) -> str:
        codes = ", ".join(
            f"{one.modulation} {one.code_rate:.3f} ({self.block_bits} of {one.coded_bits} bits)" for one in self.curves
        )
        return (
            f"block error rates of {codes}; {self.iterations} iterations, up to {self.most_blocks} blocks or "
            f"{self.enough_errors} failures every {self.step_db:g} dB, seed {self.seed}"
        )

    def curve(self, modulation: str, code_rate: float) -> Curve:
        """The curve of a modulation and a code rate (within 0.001).

        Raises:
            InvalidValueError: there is none.
        """
        for curve in self.curves:
            if curve.modulation == modulation and abs(curve.code_rate - code_rate) < 1e-3:
                return curve
        known = ", ".join(f"{curve.modulation} {curve.code_rate:.3f}" for curve in self.curves)
        raise InvalidValueError(
            f"the table of block error rates has no {modulation} of code rate {code_rate!r}, only {known}; "
            "python -m netdiffuse.denoising.link.make_bler makes other tables"
        )

    @classmethod
    def read(cls, path: str | Path) -> "BlerTable":
        """A table from a file that `make_bler` wrote.

        Raises:
            InvalidValueError: there is no such file, or it is no table of this version.
        """
        try:
            return _parse(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InvalidValueError(f"block error rates '{path}' cannot be read: {error.strerror}") from error
        except ValueError as error:  # JSONDecodeError, UnicodeDecodeError and InvalidValueError
            raise InvalidValueError(f"block error rates '{path}' are no table: {error}") from error


@cache
def shipped_table() -> BlerTable:
    """The table that comes with netdiffuse: QPSK and 16-QAM, code rates 1/3, 1/2, 2/3 and 5/6, blocks of 128 bytes."""
    return _parse(json.loads((resources.files(__package__) / TABLE).read_text(encoding="utf-8")))


def _parse(content: Any) -> BlerTable:
    version = check_entries(content, {"version": int})["version"]
    if version != VERSION:
        raise InvalidValueError(
            f"it has version {version}, this netdiffuse reads version {VERSION}: "
            "make it anew with python -m netdiffuse.denoising.link.make_bler"
        )
    table = check_entries(content, _TABLE)
    for name in ("iterations", "most_blocks", "enough_errors", "step_db"):
        checks.positive(name, table[name])
    if table["block_bits"] < 1 or not table["curves"]:
        raise InvalidValueError("it must hold at least one curve, of blocks of at least one bit")
    return BlerTable(
        table["block_bits"],
        tuple(_curve(check_entries(curve, _CURVE)) for curve in table["curves"]),
        *(table[name] for name in ("iterations", "most_blocks", "enough_errors", "step_db", "seed")),
    )


def _curve(entry: dict[str, Any]) -> Curve:
    snr_db, blocks, errors = (_numbers(entry[name]) for name in ("snr_db", "blocks", "errors"))
    place = f"its curve of {entry['modulation']} {entry['code_rate']}"
    if not 2 <= len(snr_db) == len(blocks) == len(errors):
        raise InvalidValueError(f"{place} must hold at least two points, each with snr_db, blocks and errors")
    if any(high <= low for low, high in pairwise(snr_db)):
        raise InvalidValueError(f"{place} must have rising snr_db")
    if any(not 0 <= wrong <= sent or sent < 1 for wrong, sent in zip(errors, blocks, strict=True)):
        raise InvalidValueError(f"{place} must have errors between 0 and blocks")
    checks.positive("coded_bits", entry["coded_bits"])
    return Curve(
        entry["modulation"],
        float(entry["code_rate"]),
        entry["coded_bits"],
        snr_db,
        tuple(map(int, blocks)),
        tuple(map(int, errors)),
    )


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidValueError(f"{value!r} is no finite number")
    return tuple(float(value) for value in values)

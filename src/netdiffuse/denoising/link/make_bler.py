"""Make a table of block error rates: `python -m netdiffuse.denoising.link.make_bler --help`.

Sends blocks over white Gaussian noise with `Ldpc` at rising SNRs, from where all fail to where hardly any does.
"""

import argparse
import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from netdiffuse.channels import linear_to_db
from netdiffuse.common import checks, files, seeding
from netdiffuse.denoising.link.bler import TABLE, VERSION
from netdiffuse.denoising.link.blocks import BLOCK_BYTES, block_bits, intact, to_blocks
from netdiffuse.denoising.link.coded import Ldpc
from netdiffuse.denoising.link.modulation import MODULATIONS

CODE_RATES = (1 / 3, 1 / 2, 2 / 3, 5 / 6)
_BATCH = 64


def failures(channel: Ldpc, block_bytes: int, most: int, enough: int, generator: torch.Generator) -> tuple[int, int]:
    """Send blocks of random bytes until `enough` have failed or `most` were sent; returns blocks and failures."""
    blocks = failed = 0
    while blocks < most and failed < enough:
        n = min(_BATCH, most - blocks)
        body = torch.randint(256, (n * block_bytes,), dtype=torch.uint8, generator=generator).numpy().tobytes()
        arrived = channel.transmit(to_blocks(body, block_bytes), generator)
        failed += int((~intact(arrived.bits)).sum())
        blocks += n
    return blocks, failed


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, show progress, and write the table.

    Raises:
        InvalidValueError: an argument outside its range.
        MissingExtraError: Sionna is not installed.
    """
    parser = argparse.ArgumentParser(prog="python -m netdiffuse.denoising.link.make_bler", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(TABLE), help="file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--block-bytes", type=int, default=BLOCK_BYTES, help="of a block without its CRC")
    parser.add_argument("--step-db", type=float, default=0.25, help="between SNRs")
    parser.add_argument("--blocks", type=int, default=2000, help="at most, at an SNR")
    parser.add_argument("--errors", type=int, default=100, help="failed blocks that are enough at an SNR")
    parser.add_argument("--iterations", type=int, default=Ldpc.iterations, help="of belief propagation")
    options = parser.parse_args(arguments)
    checks.seed("seed", options.seed)
    checks.positive("step-db", options.step_db)
    for name in ("blocks", "errors", "iterations"):
        checks.integer(name, getattr(options, name))
    bits = block_bits(options.block_bytes)
    generator = seeding.generator(options.seed)
    curves = []
    with _progress() as progress:
        task = progress.add_task("", total=len(MODULATIONS) * len(CODE_RATES))
        for modulation in MODULATIONS:
            for code_rate in CODE_RATES:
                curve = _Sweep(modulation, code_rate, options.iterations)
                while not curve.done:
                    progress.update(task, description=curve.describe(options.step_db))
                    curve.measure(options.step_db, options.block_bytes, options.blocks, options.errors, generator)
                curves.append(curve.entry(bits))
                progress.advance(task)
    files.write_json(
        options.out,
        {
            "version": VERSION,
            "code": "5G NR LDPC (3GPP TS 38.212), belief propagation",
            "iterations": options.iterations,
            "most_blocks": options.blocks,
            "enough_errors": options.errors,
            "step_db": options.step_db,
            "simulator": f"sionna-no-rt {version('sionna-no-rt')}",
            "channel": "white Gaussian noise; snr_db is Es/N0",
            "seed": options.seed,
            "block_bits": bits,
            "curves": curves,
        },
    )
    Console(stderr=True).print(f"wrote {options.out}", highlight=False, soft_wrap=True)


class _Sweep:
    """The curve of a modulation and a code rate, from low SNRs to high ones."""

    def __init__(self, modulation: str, code_rate: float, iterations: int) -> None:
        self.modulation, self.code_rate, self.iterations = modulation, code_rate, iterations
        self._points: list[tuple[float, int, int]] = []  # SNR in dB, blocks, failures

    @property
    def done(self) -> bool:
        """Whether the last point had no failure."""
        return bool(self._points) and self._points[-1][2] == 0

    def next_db(self, step_db: float) -> float:
        """The next SNR, at first the least multiple of the step where the code rate is below Shannon's limit."""
        if self._points:
            return round(self._points[-1][0] + step_db, 6)
        rate = MODULATIONS[self.modulation].bits_per_symbol * self.code_rate
        return round(math.ceil(linear_to_db(2.0**rate - 1) / step_db) * step_db, 6)

    def describe(self, step_db: float) -> str:
        """What is measured next."""
        return f"{self.modulation} {self.code_rate:.3f} at {self.next_db(step_db):.2f} dB"

    def measure(self, step_db: float, block_bytes: int, most: int, enough: int, generator: torch.Generator) -> None:
        """Measure the next SNR; of those where all blocks fail, the last alone is kept."""
        snr_db = self.next_db(step_db)
        channel = self._channel(snr_db)
        blocks, failed = failures(channel, block_bytes, most, enough, generator)
        if failed == blocks:
            self._points.clear()
        self._points.append((snr_db, blocks, failed))

    def _channel(self, snr_db: float) -> Ldpc:
        return Ldpc(snr_db, self.modulation, self.code_rate, iterations=self.iterations)

    def entry(self, block_bits: int) -> dict[str, Any]:
        """What the file holds."""
        snr_db, blocks, failed = zip(*self._points, strict=True)
        return {
            "modulation": self.modulation,
            "code_rate": self.code_rate,
            "coded_bits": self._channel(snr_db[0]).coded_bits(block_bits),
            "snr_db": list(snr_db),
            "blocks": list(blocks),
            "errors": list(failed),
        }


def _progress() -> Progress:
    columns = (BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"), TextColumn("{task.description}"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))


if __name__ == "__main__":
    main()

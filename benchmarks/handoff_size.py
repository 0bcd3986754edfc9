"""What a half-denoised picture weighs on its way, and what lighter codecs cost.

    python benchmarks/handoff_size.py

A whole `ChainState`, header and checksum included, of the small model, and of the shapes of Stable Diffusion 1.5
(1x4x64x64) and SDXL (1x4x128x128), whose weights are not at hand: their latents are Gaussian noise here, so of them
only the error that the codec itself makes can be told. Of the small model, the pictures: finished after a hand-off in
the middle of the chain, judged by the classifier, and compared with what they are without one.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from common import finish, machine, show

from netdiffuse.denoising.default_model import load_classifier
from netdiffuse.denoising.default_model.captions import held_out_captions
from netdiffuse.denoising.opening import opened
from netdiffuse.denoising.quality import distance
from netdiffuse.denoising.state import ChainState, stack

CODECS = (None, "fp16", "uint8", "int4")
SHAPES = {"Stable Diffusion 1.5": (4, 64, 64), "SDXL": (4, 128, 128)}
BATCH = 50


def main(
    pictures: int = 200,
    steps: int = 20,
    scheduler: str = "ddim",
    threads: int = 2,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure hand-offs.

    Args:
        pictures: of the small model, at each codec.
        steps: of a whole chain; the hand-off is in its middle.
        scheduler: ddim carries the latent alone; dpm++ and unipc also what they remember.
        threads: of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "steps": steps, "scheduler": scheduler}
    model, judge = opened("default", "float32"), load_classifier()
    captions = held_out_captions(pictures)
    halves, wholes = [], []
    for start in range(0, pictures, BATCH):
        said = captions[start : start + BATCH]
        state = model.begin(range(start, start + len(said)), steps, scheduler=scheduler)
        half = model.advance(state, model.encode(said), steps // 2)
        halves.append(half)
        wholes += model.decode(model.advance(half, model.encode(said)))
    one = halves[0].select([0])
    rows = []
    for codec in CODECS:
        made = []
        for number, half in enumerate(halves):
            arrived = stack([ChainState.from_bytes(half.select([row]).to_bytes(codec)) for row in range(half.batch)])
            said = captions[number * BATCH : number * BATCH + half.batch]
            made += model.decode(model.advance(arrived, model.encode(said)))
        far = distance(made, wholes)
        mse = float(np.mean(far["mse"]))
        rows.append(
            {
                "model": "the small model",
                "codec": codec or "exact",
                "bytes": len(one.to_bytes(codec)),
                "latent_error_db": _error_db(one, codec),
                "psnr_db": -10 * np.log10(mse) if mse else None,
                "ssim": float(np.mean(far["ssim"])),
                "object_and_colour_percent": judge.fidelity(made, captions)["object_and_colour"],
            }
        )
    for name, shape in SHAPES.items():
        latents = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
        other = replace(one, latents=latents, height=8 * shape[1], width=8 * shape[2])
        for codec in CODECS:
            rows.append(
                {
                    "model": name,
                    "codec": codec or "exact",
                    "bytes": len(other.to_bytes(codec)),
                    "latent_error_db": _error_db(other, codec),
                }
            )
    result["rows"] = rows
    if not json:
        names = ["model", "codec", "bytes", "latent_error_db", "psnr_db", "ssim", "object_and_colour_percent"]
        show(names, [[_said(row.get(name)) for name in names] for row in rows])
    finish(result, json, out)


def _error_db(state: ChainState, codec: str | None) -> float | None:
    """Mean squared error of the latent against its variance, in decibels."""
    error = (ChainState.from_bytes(state.to_bytes(codec)).latents - state.latents).square().mean()
    return float(10 * (error / state.latents.var()).log10()) if error > 0 else None


def _said(value: Any) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    tyro.cli(main)

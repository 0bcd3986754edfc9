"""Train the small model that comes with netdiffuse.

    python -m netdiffuse.denoising.default_model.training --out DIR          about an hour and a half on two cores
    python -m netdiffuse.denoising.default_model.training --out DIR --quick  to see it work, a minute

Called again, it goes on where it was stopped.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import Progress, TaskID

from netdiffuse.common import NetdiffuseError
from netdiffuse.denoising.default_model.training.figures import contact_sheet_figure, save, training_figure
from netdiffuse.denoising.default_model.training.loop import Stopped, Watch
from netdiffuse.denoising.default_model.training.train import Settings, train

SHOWN = 40  # pictures of the contact sheet
_LINES_SECONDS = 30.0  # between two lines where nobody looks at a terminal


def _quick(settings: Settings) -> Settings:
    """The same with a few steps of each stage: pictures will be noise."""
    few = {name: replace(getattr(settings, name), steps=20) for name in ("autoencoder", "classifier", "denoiser")}
    return replace(settings, pictures=850, held_out=150, judged=40, guidance_captions=20, **few)


def run(out: Path, settings: Settings, watch: Watch) -> dict[str, Any]:
    """Train, and draw `loss_curve.png` and `contact_sheet.png` beside what `train` leaves; returns training.json."""
    trained = train(out, settings, watch)
    save(training_figure(trained.curves), out / "loss_curve.png")
    save(contact_sheet_figure(trained.pictures[:SHOWN], trained.captions[:SHOWN]), out / "contact_sheet.png")
    return trained.found


def main(out: Path, seed: int = 0, quick: bool = False, threads: int = 0) -> int:
    """Train the small model.

    Args:
        out: folder of everything that is made; `model/` in it is what --model takes.
        seed: of the drawing, the networks and the batches.
        quick: a few steps of each stage, to see it work.
        threads: of the processor; as many as torch takes unless told.
    """
    if threads:
        torch.set_num_threads(threads)
    settings = Settings(seed=seed)
    errors = Console(stderr=True, markup=False, emoji=False, highlight=False)
    with Progress(console=errors, disable=not errors.is_terminal) as bar:
        watch = Watch(_shown(bar) if errors.is_terminal else _lines())
        try:
            with watch.signals():
                found = run(out, _quick(settings) if quick else settings, watch)
        except Stopped:
            errors.print(f"stopped; the same command goes on from {out}", soft_wrap=True)
            return 130
        except NetdiffuseError as error:
            errors.print(f"error: {error}", style="red", soft_wrap=True)
            return 1
    for name, value in found["scores"].items():
        print(f"{name}: {value}")
    print(out / "model")
    return 0


def _shown(bar: Progress) -> Callable[[str, float, str], None]:
    tasks: dict[str, TaskID] = {}

    def say(stage: str, share: float, words: str) -> None:
        if stage not in tasks:
            for earlier in tasks.values():
                bar.update(earlier, completed=1.0)
            tasks[stage] = bar.add_task(stage, total=1.0)
        bar.update(tasks[stage], completed=share, description=f"{stage}: {words}")

    return say


def _lines() -> Callable[[str, float, str], None]:
    last = [-_LINES_SECONDS]

    def say(stage: str, share: float, words: str) -> None:
        now = time.monotonic()
        if now - last[0] >= _LINES_SECONDS:
            last[0] = now
            print(f"{stage}: {words} ({share:.0%})", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    raise SystemExit(tyro.cli(main))

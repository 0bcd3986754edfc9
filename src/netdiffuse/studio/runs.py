"""Every run under a folder, wherever it was started: what was asked for, how far it is, whether it goes on."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from netdiffuse.common import RunError
from netdiffuse.common.files import Holder, holder
from netdiffuse.experiments.config import Config, short_name
from netdiffuse.experiments.evaluation import MEASURES
from netdiffuse.experiments.run import CONFIG, LOCK, PROGRESS, SUMMARY, Run

State = Literal["running", "finished", "stopped", "damaged"]
DEPTH = 3  # of folders below the runs folder: a comparison's runs lie in a folder of their own
TRACES = ("checkpoint", PROGRESS, SUMMARY)  # of which a folder without a config.json has some where a run was damaged


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, as it is now.

    Attributes:
        path: the folder.
        name: its path below the runs folder, with slashes.
        state: "running" while a process trains it; "finished" once its budget is used and it was judged; "stopped"
            before that; "damaged" where its files cannot be used.
        changed: when its files changed last, in seconds since the epoch.
        config: what was asked for; None where damaged.
        summary: summary.json, or None before the first stop.
        holder: who trains it; None unless running.
        error: what is damaged, or None.
    """

    path: Path
    name: str
    state: State
    changed: float
    config: Config | None = None
    summary: dict[str, Any] | None = None
    holder: Holder | None = None
    error: str | None = None

    @property
    def problem(self) -> str:
        """The problem's short name; empty where damaged."""
        return short_name(self.config.problem) if self.config else ""


@dataclass(frozen=True)
class Progress:
    """How far a run is, from the rows of its progress.csv.

    Attributes:
        fraction: share of the budget used, in [0, 1].
        seconds: seconds of training at the last evaluation.
        timesteps: likewise environment steps.
        steps_per_second: timesteps a second of training between the last two evaluations; None before there are two.
        seconds_left: an estimate for a run that goes on, or None.
        evaluating: whether it goes on, its budget is used, and what was learned is judged now.
    """

    fraction: float
    seconds: float
    timesteps: int
    steps_per_second: float | None
    seconds_left: float | None
    evaluating: bool = False


class RunStore:
    """The runs below a folder; each is read again only when its files have changed.

    Args:
        root: the folder; need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, tuple[object, RunRecord]] = {}

    def scan(self) -> list[RunRecord]:
        """All runs, the latest changed first."""
        found = {path: self._look(path) for path in _run_folders(self.root, DEPTH)}
        self._known = {path: entry for path, entry in self._known.items() if path in found}
        return sorted(found.values(), key=lambda record: -record.changed)

    def get(self, name: str) -> RunRecord:
        """The run of this name.

        Raises:
            RunError: there is none below the folder.
        """
        path = self.root / name
        if path not in set(_run_folders(self.root, DEPTH)):  # a name from outside reaches no other folder
            raise RunError(f"there is no run '{name}' in {self.root}")
        return self._look(path)

    def _look(self, path: Path) -> RunRecord:
        stamps = {name: _stamp(path / name) for name in (CONFIG, SUMMARY, PROGRESS)}
        changed = max((stamp[0] / 1e9 for stamp in stamps.values() if stamp), default=0.0)
        seen = (stamps[CONFIG], stamps[SUMMARY])
        known = self._known.get(path)
        if known is None or known[0] != seen:
            known = seen, self._read(path)
            self._known[path] = known
        record = known[1]
        state, held = record.state, None
        if state == "stopped" and (held := holder(path / LOCK)) is not None:
            state = "running"
        return RunRecord(path, record.name, state, changed, record.config, record.summary, held, record.error)

    def _read(self, path: Path) -> RunRecord:
        name = path.relative_to(self.root).as_posix()
        try:
            run = Run(path)
            summary, done = run.summary, run.finished
        except (RunError, OSError) as error:
            return RunRecord(path, name, "damaged", 0.0, error=str(error))
        return RunRecord(path, name, "finished" if done else "stopped", 0.0, run.config, summary)


def curve_of(record: RunRecord) -> pd.DataFrame | None:
    """The rows of a run's progress.csv, a row an evaluation (see `Run.progress`); None before the first one.

    Raises:
        RunError: the file is damaged.
    """
    stamp = _stamp(record.path / PROGRESS)
    if stamp is None:
        return None
    curve = _curve(record.path, stamp)
    try:
        measure_of_curve(curve)
        if not np.isfinite(curve[["seconds", "timesteps"]].to_numpy()).all():
            raise RunError(f"{PROGRESS} is damaged: a row lacks its seconds or timesteps")
    except RunError as error:
        raise RunError(f"{record.path}: {error}") from error
    return curve


@lru_cache(maxsize=256)
def _curve(path: Path, stamp: tuple[int, int]) -> pd.DataFrame:  # noqa: ARG001 - of which the answer depends
    return Run(path).progress


def levels_of(record: RunRecord) -> dict[str, float]:
    """The rules' values that a run's curve is to be held against (see `Run.curve_levels`).

    Raises:
        RunError: a file is missing or damaged.
    """
    return _levels(record.path, tuple(_stamp(record.path / name) for name in (PROGRESS, SUMMARY)))


@lru_cache(maxsize=256)
def _levels(path: Path, stamps: tuple[object, ...]) -> dict[str, float]:  # noqa: ARG001 - of which the answer depends
    return Run(path).curve_levels


def measure_of_curve(curve: pd.DataFrame) -> str:
    """The measure that says how good a policy is: the first of `MEASURES` that the curve has.

    Raises:
        RunError: it has none, as where its file is damaged.
    """
    found = (name for name in MEASURES if name in curve and is_numeric_dtype(curve[name]) and curve[name].notna().any())
    measure = next(found, None)
    if measure is None:
        raise RunError(f"{PROGRESS} is damaged: no row has a number of {', '.join(MEASURES)}")
    return measure


def progress_of(record: RunRecord, curve: pd.DataFrame | None, now: float | None = None) -> Progress:
    """How far a run is.

    Args:
        record: the run.
        curve: as `curve_of` gave it.
        now: seconds since the epoch, the present unless told.
    """
    assert record.config is not None  # a damaged run has no progress
    budget = record.config.budget
    if curve is None:
        return Progress(0.0, 0.0, 0, None, None)
    seconds, timesteps = float(curve["seconds"].iloc[-1]), int(curve["timesteps"].iloc[-1])
    if record.state != "running" and record.summary is not None:  # stopped after the last evaluation
        seconds, timesteps = float(record.summary["train_seconds"]), int(record.summary["timesteps"])
    speed = None
    if len(curve) > 1:
        span = float(curve["seconds"].iloc[-1] - curve["seconds"].iloc[-2])
        speed = float(curve["timesteps"].iloc[-1] - curve["timesteps"].iloc[-2]) / span if span > 0 else None
    unit = "seconds" if budget["seconds"] is not None else "timesteps"
    evaluating = record.state == "running" and (seconds if unit == "seconds" else timesteps) >= budget[unit]
    waited = max(0.0, (time.time() if now is None else now) - record.changed) if record.state == "running" else 0.0
    left: float | None
    if budget["seconds"] is not None:
        used = min(seconds + waited, budget["seconds"]) if speed is not None else seconds
        fraction, left = used / budget["seconds"], budget["seconds"] - used
    else:
        used = min(timesteps + waited * (speed or 0.0), budget["timesteps"])
        fraction, left = used / budget["timesteps"], (budget["timesteps"] - used) / speed if speed else None
    left = left if record.state == "running" and not evaluating else None
    return Progress(min(fraction, 1.0), seconds, timesteps, speed, left, evaluating)


def _run_folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders that are runs, or were; what lies in a run is its own."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:  # it is not there (yet), or may not be read
        return
    for entry in entries:
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        path = Path(entry.path)
        if any((path / name).exists() for name in (CONFIG, *TRACES)):
            yield path
        elif depth > 1:
            yield from _run_folders(path, depth - 1)


def _stamp(path: Path) -> tuple[int, int] | None:
    """When a file changed, in nanoseconds since the epoch, and its bytes; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size

"""What the benchmarks share: the machine, timing that stands interruptions, tables and JSON."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netdiffuse import load
from netdiffuse.common.files import write_json
from netdiffuse.experiments import Run, resume, train

Clock = Callable[[], float]
"""Seconds: `time.perf_counter`, or on a busy machine `time.process_time`, which leaves out what others take."""


def machine(threads: int) -> dict[str, Any]:
    """Set torch's threads, and say what is measured on."""
    torch.set_num_threads(threads)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def milliseconds(call: Callable[[], object], calls: int, clock: Clock = time.perf_counter) -> float:
    """Mean time of a call, in milliseconds, over this many in a row."""
    began = clock()
    for _ in range(calls):
        call()
    return 1e3 * (clock() - began) / calls


def rounds(measures: dict[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Take every measure once a round, in turn: what disturbs the machine disturbs them all alike."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(count):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def trained(
    problem: str,
    algorithm: str,
    seeds: Sequence[int],
    seconds: float,
    folder: Path,
    problem_args: Mapping[str, Any] | None = None,
) -> list[Run]:
    """Finished runs of these seeds: those that are in the folder, and the others trained now."""
    runs = []
    for seed in seeds:
        path = folder / f"{algorithm}-s{seed}"
        if not path.exists():
            run = train(problem, algorithm, seconds=seconds, seed=seed, out=path, problem_args=problem_args)
        else:
            run = load(path)
        runs.append(run if run.finished else resume(path))
    return runs


def show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *numbers]))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def finish(result: dict[str, Any], as_json: bool, out: Path | None = None) -> None:
    """Print the result as JSON if asked to, and write it if a file is named."""
    if as_json:
        print(json.dumps(result, indent=2))
    if out is not None:
        write_json(out, result)

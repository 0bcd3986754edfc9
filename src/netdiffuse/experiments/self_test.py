"""What is installed here, and does it work."""

import importlib.util
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from netdiffuse.experiments.config import versions
from netdiffuse.experiments.training import train

EXTRAS = {"parquet": "pyarrow", "studio": "nicegui"}
ALGORITHM = "diffusion-apg"  # learns fastest, so that a slow machine passes too


def examine(seconds: float = 5.0) -> dict[str, Any]:
    """Versions, device, threads, extras, and a short training that must beat the equal split.

    Args:
        seconds: of training in the self-test.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped the training, which alone would end as if all were well.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train("power-allocation", ALGORITHM, seconds=seconds, out=Path(folder) / "run", contexts=2000)
        if not run.finished:
            raise KeyboardInterrupt
        evaluation = (run.summary or {})["evaluation"]
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "extras": {name: importlib.util.find_spec(module) is not None for name, module in EXTRAS.items()},
        "self_test": {
            "algorithm": ALGORITHM,
            "optimality_percent": evaluation["optimality_percent"],
            "equal_percent": evaluation["baselines"]["equal"],
            "passed": evaluation["optimality_percent"] > evaluation["baselines"]["equal"],
            "wall_seconds": round(time.perf_counter() - began, 1),
        },
    }

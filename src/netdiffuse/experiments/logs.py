"""Where a run's numbers go: progress.csv and TensorBoard, one row an evaluation."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat, filter_excluded_keys
from torch.utils.tensorboard import SummaryWriter

from netdiffuse.common.files import write_text


class ProgressFile(KVWriter):
    """A CSV file that is always whole, and that a resumed run cuts back to its checkpoint.

    Args:
        path: the file.
        rows: the rows that the checkpoint remembers.
    """

    def __init__(self, path: Path, rows: list[dict[str, Any]]) -> None:
        self.path = path
        self.rows = rows

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add a row of the numbers and texts that were recorded."""
        row = {"time/total_timesteps": step} | filter_excluded_keys(key_values, key_excluded, "csv")
        self.rows.append({k: _plain(v) for k, v in row.items() if isinstance(v, (str, int, float, np.number))})
        columns = list(dict.fromkeys(key for r in self.rows for key in r))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def close(self) -> None:
        """Nothing stays open."""


class _TensorBoard(TensorBoardOutputFormat):
    """As Stable-Baselines3's, hiding what a killed run wrote after its last checkpoint."""

    def __init__(self, folder: Path, step: int) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=step or None)
        self._is_closed = False


def make_logger(run_dir: Path, rows: list[dict[str, Any]], step: int) -> Logger:
    """A logger that writes progress.csv and TensorBoard events into a run's folder, going on from `step`."""
    return Logger(str(run_dir), [ProgressFile(run_dir / "progress.csv", rows), _TensorBoard(run_dir, step)])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

import json

import pytest

from netdiffuse.common import RunError
from netdiffuse.experiments.results import plot_comparison, read_rows

ROW = {"problem": "p", "method": "m", "seed": 0, "optimality_percent": 90.0, "curve": [[0.0, 80.0], [1.0, 90.0]]}


def test_rows_are_read_and_drawn(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps([ROW]))
    assert read_rows(tmp_path) == [ROW]
    assert {path.name for path in plot_comparison(tmp_path)} == {"learning_curves.png", "comparison.png"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x89PNG\xff\x00",
        b"[",
        b"{}",
        b"[]",
        b"[1]",
        *(json.dumps([ROW, {k: v for k, v in ROW.items() if k != key}]).encode() for key in ROW),
        json.dumps([ROW | {"curve": [[0]]}]).encode(),
        json.dumps([ROW | {"curve": [0.0, 1.0]}]).encode(),
        json.dumps([ROW | {"curve": [[0.0, None]]}]).encode(),
        json.dumps([ROW | {"optimality_percent": "90"}]).encode(),
        json.dumps([ROW | {"measure": ["speed"]}]).encode(),
    ],
)
def test_damaged_results_are_named(tmp_path, damaged):
    (tmp_path / "results.json").write_bytes(damaged)
    with pytest.raises(RunError, match=r"results\.json is missing or damaged"):
        plot_comparison(tmp_path)

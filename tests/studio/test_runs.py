import json
import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from netdiffuse import experiments
from netdiffuse.common import RunError
from netdiffuse.common.files import locked
from netdiffuse.studio.runs import RunStore, curve_of, measure_of_curve, progress_of


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("store")
    experiments.train(
        "power-allocation",
        "ppo",
        timesteps=256,
        n_envs=8,
        contexts=100,
        settings={"n_steps": 8, "batch_size": 32},
        out=root / "good",
    )
    return root


@pytest.fixture
def root(real, tmp_path) -> Path:
    shutil.copytree(real / "good", tmp_path / "runs" / "good")
    return tmp_path / "runs"


def change(path: Path, **entries) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_no_folder_has_no_runs(tmp_path):
    assert RunStore(tmp_path / "none").scan() == []
    assert not (tmp_path / "none").exists()


def test_a_finished_run(root):
    (record,) = RunStore(root).scan()
    assert (record.name, record.state, record.problem) == ("good", "finished", "power-allocation")
    assert record.config.algorithm == "ppo"
    curve = curve_of(record)
    assert measure_of_curve(curve) == "optimality_percent"
    assert list(curve["timesteps"]) == list(pd.read_csv(root / "good" / "progress.csv")["time/total_timesteps"])
    progress = progress_of(record, curve)
    assert (progress.fraction, progress.timesteps, progress.seconds_left) == (1.0, 256, None)


def test_a_run_with_more_to_do_is_stopped_and_while_it_is_locked_running(root):
    change(root / "good" / "config.json", budget={"seconds": None, "timesteps": 1024})
    store = RunStore(root)
    assert store.scan()[0].state == "stopped"
    assert progress_of(store.scan()[0], curve_of(store.scan()[0])).fraction == pytest.approx(0.25)
    with locked(root / "good" / ".lock"):
        record = store.get("good")
        assert (record.state, record.holder.pid) == ("running", os.getpid())
    assert store.get("good").state == "stopped"


def test_time_left_of_a_running_run(root):
    change(root / "good" / "config.json", budget={"seconds": None, "timesteps": 1024})
    (root / "good" / "progress.csv").write_text(
        "time/total_timesteps,eval/optimality_percent,time/train_seconds\n0,50,0\n256,60,2\n"
    )
    with locked(root / "good" / ".lock"):
        record = RunStore(root).get("good")
    progress = progress_of(record, curve_of(record), now=record.changed)
    assert (progress.steps_per_second, progress.seconds_left) == (128, 6)
    later = progress_of(record, curve_of(record), now=record.changed + 2)
    assert (later.seconds_left, later.fraction) == (4, 0.5)


def test_damaged_runs_stand_among_good_ones(root):
    for name in ("no-config", "no-json", "wrong-type", "wrong-summary"):
        shutil.copytree(root / "good", root / "compare" / name)
    (root / "compare" / "no-config" / "config.json").unlink()
    (root / "compare" / "no-json" / "config.json").write_text("{")
    change(root / "compare" / "wrong-type" / "config.json", seed="seven")
    change(root / "compare" / "wrong-summary" / "summary.json", evaluation={})
    (root / "compare" / "results.json").write_text("[]")
    (root / "empty").mkdir()
    (root / "file").write_text("no folder")
    found = {record.name: record for record in RunStore(root).scan()}
    assert sorted(found) == [
        "compare/no-config",
        "compare/no-json",
        "compare/wrong-summary",
        "compare/wrong-type",
        "good",
    ]
    assert found.pop("good").state == "finished"
    for record in found.values():
        assert record.state == "damaged"
        assert str(record.path) in record.error


def test_a_damaged_curve_is_named(root):
    (root / "good" / "progress.csv").write_text("time/total_timesteps\nmany\n")
    with pytest.raises(RunError, match=r"progress\.csv is damaged"):
        curve_of(RunStore(root).get("good"))


def test_a_name_from_outside_reaches_no_other_folder(root):
    shutil.copytree(root / "good", root.parent / "secret")
    for name in ("../secret", str(root.parent / "secret"), "nothing", ""):
        with pytest.raises(RunError, match="there is no run"):
            RunStore(root).get(name)


def test_only_what_has_changed_is_read_again(root, monkeypatch):
    shutil.copytree(root / "good", root / "other")
    store = RunStore(root)
    store.scan()
    read = []
    monkeypatch.setattr(RunStore, "_read", lambda _, path: read.append(path.name) or pytest.fail("read again"))
    store.scan()
    monkeypatch.undo()
    change(root / "other" / "config.json", seed=7)
    os.utime(root / "other" / "config.json", ns=(time.time_ns(), time.time_ns() + 10**9))
    found = {record.name: record for record in store.scan()}
    assert (found["good"].config.seed, found["other"].config.seed) == (0, 7)
    shutil.rmtree(root / "other")
    assert [record.name for record in store.scan()] == ["good"]


def test_five_hundred_runs_are_found(root):
    for number in range(499):
        shutil.copytree(root / "good", root / f"many-{number % 7}" / f"run-{number}", ignore=lambda *_: ["checkpoint"])
    assert len(RunStore(root).scan()) == 500

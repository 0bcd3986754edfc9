import csv
import io
import json
import os
import shutil

import pytest
from PIL import Image

from netdiffuse import experiments
from netdiffuse.common import InvalidValueError
from netdiffuse.studio.comparison import Chosen, remarks
from netdiffuse.studio.levels import known_levels, measured_levels
from netdiffuse.studio.runs import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("chosen")
    settings = {"n_steps": 8, "batch_size": 32}
    experiments.train(
        "power-allocation", "ppo", timesteps=256, n_envs=8, contexts=100, settings=settings, out=root / "ppo-0"
    )
    for seed, value in ((1, 80.0), (2, 86.0)):  # results that can be checked by hand
        shutil.copytree(root / "ppo-0", root / f"ppo-{seed}")
        for name in ("config.json", "summary.json"):
            entries = json.loads((root / f"ppo-{seed}" / name).read_text())
            entries["seed"] = seed
            if name == "summary.json":
                entries["evaluation"]["optimality_percent"] = value
            (root / f"ppo-{seed}" / name).write_text(json.dumps(entries))
        rows = f"0,50,0\n100,{value - 10},1\n200,{value},{seed + 1}\n"
        header = "time/total_timesteps,eval/optimality_percent,time/train_seconds\n"
        (root / f"ppo-{seed}" / "progress.csv").write_text(header + rows)
    shutil.copytree(root / "ppo-1", root / "other")
    entries = json.loads((root / "other" / "config.json").read_text())
    (root / "other" / "config.json").write_text(json.dumps(entries | {"problem_args": {"channels": 4}}))
    shutil.copytree(root / "ppo-1", root / "begun")
    (root / "begun" / "summary.json").unlink()
    return RunStore(root)


def chosen(store, *names) -> Chosen:
    return Chosen([store.get(name) for name in names])


def test_seeds_of_a_method_are_one_line(store):
    (line,) = chosen(store, "ppo-1", "ppo-2").table(threshold=78.0)
    assert line.method.startswith("ppo:n_steps=8")
    assert (line.seeds, line.mean, line.worst) == ([80.0, 86.0], 83.0, 80.0)
    assert line.half_width == pytest.approx(12.706 * 3, rel=1e-3)  # t(0.975, 1) s / sqrt(2), s = sqrt(18)
    assert line.seconds_to == 2.5  # 80 after 2 s, 86 after 3 s
    assert chosen(store, "ppo-1", "ppo-2").table(threshold=81.0)[0].seconds_to is None


def test_the_usual_threshold(store):
    found = chosen(store, "ppo-1")
    assert found.usual_threshold == 99.0
    found.rows[0]["measure"] = "return_mean"
    found.rows[0] |= {
        "evaluation": {"return_mean": 5.0, "baselines": {"alone": 3.0, "greedy": 7.0}},
        "curve_levels": {},
    }
    assert found.usual_threshold == 7.0  # the best rule's


def test_bands_lie_around_the_mean(store):
    ((mean, low, high),) = chosen(store, "ppo-1", "ppo-2").bands().values()
    assert all(below[1] <= middle[1] <= above[1] for below, middle, above in zip(low, mean, high, strict=True))
    assert mean[-1][0] == 2.0  # where the shorter curve ends


def test_files(store):
    found = chosen(store, "ppo-1", "ppo-2")
    rows = list(csv.DictReader(io.StringIO(found.csv(80.0))))
    assert [(row["seed"], row["optimality_percent"], row["seconds_to_80"]) for row in rows] == [
        ("1", "80.0", "2.0"),
        ("2", "86.0", "3.0"),
    ]
    assert Image.open(io.BytesIO(found.picture("png"))).width > 500
    assert b"<svg" in found.picture("svg")


def test_what_cannot_be_compared_is_said(store):
    found = chosen(store, "ppo-1", "other", "ppo-2")
    assert found.names == ["ppo-1", "ppo-2"]
    assert found.left_out == ["other arguments (channels=4): other"]
    assert chosen(store, "other", "ppo-1", "ppo-2").left_out == ["other arguments (channels as usual): ppo-1, ppo-2"]
    with pytest.raises(InvalidValueError, match="choose a run or more"):
        Chosen([])
    with pytest.raises(InvalidValueError, match="has no result yet"):
        chosen(store, "begun")
    assert "begun" in chosen(store, "begun", "ppo-1").left_out[0]


def test_what_was_not_judged_is_not_compared(store):
    hasty = store.root / "hasty"
    shutil.copytree(store.root / "ppo-1", hasty)
    summary = json.loads((hasty / "summary.json").read_text()) | {"evaluation_interrupted": True}
    (hasty / "summary.json").write_text(json.dumps(summary))
    found = chosen(store, "hasty", "ppo-2")
    assert RunStore(store.root).get("hasty").state == "stopped"
    shutil.rmtree(hasty)
    assert found.names == ["ppo-2"]
    assert found.left_out == ["the final evaluation was interrupted, resume it: hasty"]


def test_a_seed_counts_once_and_the_newest_of_it(store):
    again = store.root / "again"
    shutil.copytree(store.root / "ppo-1", again)
    for path in again.iterdir():
        if path.is_file():
            os.utime(path, (2e9, 2e9))
    found = chosen(store, "ppo-1", "again", "ppo-2")
    shutil.rmtree(again)
    assert found.names == ["again", "ppo-2"]
    assert [line.seeds for line in found.table(80.0)] == [[80.0, 86.0]]
    assert found.left_out == ["a newer run has the same seed: ppo-1 (again)"]


def test_what_sets_a_run_apart_is_told(store):
    config = store.root / "ppo-2" / "config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"budget": {"seconds": None, "timesteps": 1024}}))
    names = ("ppo-1", "ppo-2", "other")
    found, alone = remarks([store.get(name) for name in names]), chosen(store, "ppo-2")
    config.write_text(before)
    assert found == {"ppo-1": "", "ppo-2": "stopped", "other": "channels=4"}
    assert remarks([store.get("other")]) == {"other": ""}
    assert (alone.stopped, chosen(store, "ppo-1", "ppo-2").stopped) == (["ppo-2"], [])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"budget": {"seconds": None, "timesteps": 128}}, ("256 timesteps", "128 timesteps")),
        ({"n_envs": 4}, ("8 environments", "4 environments")),
        ({"budget": {"seconds": None, "timesteps": 1024}}, ("finished", "stopped early")),
    ],
)
def test_runs_of_other_budgets_and_settings_are_not_averaged(store, entries, words):
    config = store.root / "ppo-2" / "config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | entries))
    lines = {line.seeds[0]: line for line in chosen(store, "ppo-1", "ppo-2").table(80.0)}
    config.write_text(before)
    assert lines.keys() == {80.0, 86.0}
    assert [word in lines[value].method for word, value in zip(words, (80.0, 86.0), strict=True)] == [True, True]


def test_levels_come_from_a_run_on_the_same_problem_or_are_measured(store):
    begun, known = store.get("begun"), store.get("ppo-0")
    assert known_levels(begun, [store.get("other")]) is None
    assert known_levels(begun, [known]) == known.summary["evaluation"]["baselines"]
    measured = measured_levels(begun.config)
    assert measured.keys() == known.summary["evaluation"]["baselines"].keys()
    assert 83 < measured["equal"] < 86  # 84.0% of the optimum in Rayleigh fading

"""Files that cannot be read are told of where they belong, and break nothing else."""

import json
import shutil
import urllib.request

import pytest

from netdiffuse import experiments
from netdiffuse.common import RunError
from netdiffuse.studio.levels import known_levels
from netdiffuse.studio.runs import RunStore, curve_of
from netdiffuse.studio.state import Studio
from tests.studio.browser import Server, chromium

FAST = {"n_envs": 8, "contexts": 100, "settings": {"n_steps": 8, "batch_size": 32}}
HEADER = "time/total_timesteps,eval/optimality_percent,time/train_seconds\n"


@pytest.fixture
def root(tmp_path):
    """A run, one on the same problem that has not come to its end, and the first again with a damaged curve."""
    path = tmp_path / "runs"
    experiments.train("power-allocation", "ppo", timesteps=128, out=path / "good", **FAST)
    for name in ("begun", "damaged"):
        shutil.copytree(path / "good", path / name)
    (path / "begun" / "summary.json").unlink()
    (path / "damaged" / "progress.csv").write_text("many\n")
    return path


def test_a_damaged_queue_is_said_on_the_page(root):
    with Server(root) as server:
        (root / ".studio" / "queue.json").write_text("[]")
        with urllib.request.urlopen(server.url(), timeout=60) as answer:
            assert answer.status == 200
        with chromium() as browser:
            browser.open(server.url())
            browser.waits_for("queue.json is damaged, remove it")
            browser.click("button.nd-pick", "begun")
            browser.find('.nicegui-echart[aria-label="Learning curve of begun"]')
            assert browser.errors() == []


def test_a_return_is_not_called_optimality(tmp_path):
    settings = {"n_steps": 64, "batch_size": 32}
    root = tmp_path / "runs"
    experiments.train("CartPole-v1", "ppo", timesteps=64, n_envs=1, contexts=1, settings=settings, out=root / "r")
    with Server(root) as server, chromium() as browser:
        browser.open(server.url("/?run=r"))
        browser.with_text(".nd-tile .name", "return")
        assert "optimality" not in [e.text for e in browser.driver.find_elements("css selector", ".nd-tile .name")]


def test_how_many_at_once_is_known_without_the_file(root):
    studio = Studio(root)
    studio.jobs.at_once = 3
    studio._look()
    (root / ".studio" / "queue.json").write_text("[]")
    studio._look()
    assert "queue.json is damaged" in studio.trouble
    assert studio.at_once == 3
    studio.jobs.close()


def test_a_damaged_curve_does_not_break_another_runs_panel(root):
    store = RunStore(root)
    good = known_levels(store.get("begun"), [store.get("damaged"), store.get("good")])
    assert good == json.loads((root / "good" / "summary.json").read_text())["evaluation"]["baselines"]
    assert known_levels(store.get("begun"), [store.get("damaged")]) is None
    assert known_levels(store.get("damaged"), [store.get("good")]) == good


@pytest.mark.parametrize("row", ["0,,0", "nan,50,0", "0,50,nan", "0,50,inf"])
def test_a_curve_without_numbers_is_named(root, row):
    (root / "good" / "progress.csv").write_text(f"{HEADER}{row}\n")
    with pytest.raises(RunError, match=r"progress\.csv is damaged"):
        curve_of(RunStore(root).get("good"))

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from netdiffuse.common import NetdiffuseError, RunError, UnsupportedError
from netdiffuse.experiments import load
from netdiffuse.experiments.compare import compare
from netdiffuse.experiments.results import plot_comparison, summarise, time_to
from netdiffuse.experiments.specs import parse_spec, split_specs

KEYS = ["problem", "method", "seed", "seconds", "timesteps", "optimality_percent", "curve"]
KEYS += ["policy", "settings", "measure", "problem_args", "evaluation", "curve_timesteps", "curve_levels"]
BELOW_ZERO = """
import torch
from netdiffuse.problems import Problem
from netdiffuse.problems.feasible import Box

class Cost(Problem):
    def __init__(self, weights=(1.0,), known=True):
        self.context_shape, self.feasible, self.known = (1,), Box(0.0, 1.0, (1,)), known
    def sample_contexts(self, n, generator):
        return torch.rand(n, 1, generator=generator)
    def utility(self, contexts, decisions):
        return -1 - (contexts - decisions).square().sum(-1)
    def reference(self, contexts):
        return contexts if self.known else None
"""


def row(method, seed, value, curve=()):
    return {"method": method, "seed": seed, "optimality_percent": value, "curve": list(curve)}


def test_time_to_a_target_is_the_first_that_reaches_it():
    curve = [[0, 80], [1, 95], [2, 94], [3, 99]]
    assert time_to(curve, 95) == 1
    assert time_to(curve, 99) == 3
    assert time_to(curve, 99.9) is None


def test_methods_are_summarised_over_seeds_the_best_first():
    rows = [row("a", 0, 90), row("a", 1, 94, [[2, 95]]), row("b", 0, 96, [[1, 96]]), row("c", 0, 1)]
    b, a, c = summarise(rows)
    assert (b.method, a.method, c.method) == ("b", "a", "c")
    assert (a.mean, a.worst, a.times[0]) == (92, 90, None)
    assert a.half_width == pytest.approx(12.706 * 2, rel=1e-3)  # t(0.975, 1) * s / sqrt(2), s = sqrt(8)
    assert b.half_width is None
    assert b.times == [1, None, None]


def test_a_comparison_keeps_what_is_done_and_goes_on(tmp_path):
    arguments = {"seconds": 0.5, "out": tmp_path / "c"}
    first = compare("power-allocation", ["ppo", "equal"], [0], **arguments)
    assert [list(r) for r in first.rows] == [KEYS, KEYS]
    assert json.loads((tmp_path / "c" / "results.json").read_text()) == first.rows
    assert {p.name for p in first.figures} == {"learning_curves.png", "comparison.png"}
    learned, rule = first.rows
    assert learned["seconds"] >= 0.5
    assert learned["timesteps"] > 0
    assert learned["curve"][0][0] == pytest.approx(0, abs=0.01)
    assert rule["optimality_percent"] == pytest.approx(84.7, abs=0.5)
    assert [value for _, value in rule["curve"]] == [rule["optimality_percent"]] * 2
    stamp = (tmp_path / "c" / "ppo-s0" / "summary.json").stat().st_mtime_ns
    again = compare("power-allocation", ["ppo", "equal"], [0], **arguments)
    assert again.rows == first.rows
    assert (tmp_path / "c" / "ppo-s0" / "summary.json").stat().st_mtime_ns == stamp
    for method in ("ppo", "sac"):  # neither the same nor another method may have another budget
        with pytest.raises(RunError, match="choose another --out"):
            compare("power-allocation", [method], [0], seconds=9, out=tmp_path / "c")


def test_further_methods_are_added_and_another_problem_is_refused(tmp_path):
    out = tmp_path / "c"
    compare("power-allocation", ["equal", "blind"], [0], out=out)
    more = compare("power-allocation", ["random", "equal"], [0, 1], out=out)
    asked = [("random", 0), ("random", 1), ("equal", 0), ("equal", 1)]
    assert [(row["method"], row["seed"]) for row in more.rows] == [*asked, ("blind", 0)]
    written = (out / "results.json").read_text()
    assert json.loads(written) == more.rows
    with pytest.raises(RunError, match=r"c holds .* power-allocation, not interference-channel: choose another --out"):
        compare("interference-channel", ["random"], [0], out=out)
    with pytest.raises(RunError, match="channels"):
        compare("power-allocation", ["random"], [0], out=out, problem_args={"channels": 4})
    assert (out / "results.json").read_text() == written


@pytest.mark.parametrize(
    ("problem", "methods", "message"),
    [
        ("CartPole-v1", ["ppo", "sac"], "continuous actions"),
        ("power-allocation", ["ppo", "sac:use_sde=True"], "use_sde"),
    ],
)
def test_what_cannot_learn_is_refused_before_anything_is_trained(tmp_path, problem, methods, message):
    with pytest.raises(UnsupportedError, match=message):
        compare(problem, methods, [0], seconds=0.3, out=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_trainings_import_what_this_process_does_and_nothing_from_the_working_directory(tmp_path, monkeypatch):
    for name in ("work", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "statistics.py").write_text("raise RuntimeError('this is no module of Python')")
    (tmp_path / "mine" / "own_cost.py").write_text(BELOW_ZERO)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    assert compare("own_cost:Cost", ["ppo:n_epochs=2"], [0], seconds=0.2, out="c").rows[0]["timesteps"] > 0


@pytest.mark.parametrize(("known", "measure"), [(True, "gap_closed_percent"), (False, "utility_mean")])
def test_without_a_positive_reference_another_measure_counts(tmp_path, monkeypatch, known, measure):
    (tmp_path / "cost.py").write_text(BELOW_ZERO)
    monkeypatch.chdir(tmp_path)
    arguments = {"seconds": 0.3, "out": "c", "problem_args": {"weights": (1.0, 2.0), "known": known}}
    first = compare("cost.py:Cost", ["ppo:n_epochs=2:policy=MlpPolicy", "random"], [0], **arguments)
    learned, rule = first.rows
    assert learned["method"] == "ppo:n_epochs=2:policy=MlpPolicy"
    assert (learned["policy"], learned["settings"]) == ("MlpPolicy", {"n_epochs": 2})
    assert learned["measure"] == rule["measure"] == measure
    assert learned["curve"][-1][1] == pytest.approx(learned["optimality_percent"], rel=0.2)
    if not known:
        assert summarise(first.rows)[0].times == [None] * 3
    assert compare("cost.py:Cost", [learned["method"], "random"], [0], **arguments).rows == first.rows
    assert len(plot_comparison(tmp_path / "c")) == 2


def test_methods_with_settings_are_one_word():
    words = split_specs("gddpg, gddpg:policy=MlpPolicy:batch-size=256,sac:policy_kwargs={'net_arch':[64,64]},equal")
    assert words[2:] == ["sac:policy_kwargs={'net_arch':[64,64]}", "equal"]
    plain, own, nested, _ = (parse_spec(word) for word in words)
    assert (plain.policy, plain.settings) == (None, {})
    assert (own.method, own.policy, own.settings) == ("gddpg", "MlpPolicy", {"batch_size": 256})
    assert nested.settings == {"policy_kwargs": {"net_arch": [64, 64]}}
    assert parse_spec("diffusion-bc:dataset=C:/data.csv").settings == {"dataset": "C:/data.csv"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gdpg:batch_size=2", "unknown method 'gdpg'"),
        ("gddpg:batchsize=2", "Did you mean 'batch_size'"),
        ("gddpg:batch_size=many", "batch_size of gddpg must be int"),
        ("gddpg:batch_size", "key=value"),
        ("gddpg:policy=Mlp", "unknown policy 'Mlp'"),
        ("sac:policy=EquivariantPolicy", "MlpPolicy alone"),
        ("equal:a=1", "is a rule"),
    ],
)
def test_bad_words_are_refused(word, message):
    with pytest.raises(NetdiffuseError, match=message):
        parse_spec(word)


def start(out, seconds):
    """A comparison in a process of its own, once its only run is being trained."""
    words = ["compare", "power-allocation", "--methods", "ppo", "--seeds", "0", "--seconds", str(seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "netdiffuse", *words, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((out / "ppo-s0" / "progress.csv").is_file)
    return process


def wait_until(happened):
    deadline = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["all", "parent alone"])
def test_a_stopped_comparison_resumes_its_unfinished_run(tmp_path, send):
    process = start(tmp_path / "c", 2)
    send(process.pid, signal.SIGINT)  # to all of them: what a terminal's Ctrl-C does
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "call it again to go on" in said
    assert "Traceback" not in said
    run = load(tmp_path / "c" / "ppo-s0")
    assert run.summary is not None
    before = run.summary["timesteps"]
    assert not run.finished
    done = compare("power-allocation", ["ppo"], [0], seconds=2, out=tmp_path / "c")
    assert run.finished
    assert done.rows[0]["timesteps"] > before
    assert done.rows[0]["seconds"] >= 2


def test_the_trainings_of_a_killed_comparison_stop_with_everything_saved(tmp_path):
    process = start(tmp_path / "c", 600)
    process.kill()
    process.communicate(timeout=90)
    run = load(tmp_path / "c" / "ppo-s0")
    wait_until(lambda: run.summary is not None)
    assert not run.finished

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from netdiffuse.common import InvalidValueError, RunError, UnknownNameError, UnsupportedError
from netdiffuse.experiments import TimeBudget, load, resume, train
from netdiffuse.experiments.checkpoints import CURRENT, PREVIOUS
from netdiffuse.experiments.clock import TrainingClock
from netdiffuse.experiments.config import plain
from netdiffuse.experiments.figures import plot_run
from netdiffuse.experiments.tasks import OneShotTask
from netdiffuse.problems.vecenv import ProblemVecEnv

from .toys import Target, parameters

FEW = {"contexts": 200}
SAC_SETTINGS = {"learning_starts": 32, "batch_size": 16, "buffer_size": 500}
PPO_SETTINGS = {"n_steps": 8, "batch_size": 32, "n_epochs": 2}


def stop_beyond(fraction):
    """A `stop` event and a `report` that sets it once this share of the budget is used."""
    stop = threading.Event()
    return {"stop": stop, "report": lambda r: stop.set() if r.fraction > fraction else None}


def assert_equal_models(a, b):
    left, right = parameters(a), parameters(b)
    assert len(left) == len(right) > 10
    assert all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "finished"
    return train("power-allocation", "sac", timesteps=400, n_envs=8, out=path, settings=SAC_SETTINGS, **FEW)


def test_a_run_holds_all_that_the_contract_promises(finished):
    assert finished.finished
    summary = json.loads((finished.path / "summary.json").read_text())
    assert list(summary) == ["problem", "algorithm", "seed", "timesteps", "train_seconds", "evaluation"]
    assert (summary["problem"], summary["algorithm"], summary["seed"]) == ("power-allocation", "sac", 0)
    assert summary["timesteps"] == 400
    assert summary["train_seconds"] > 0
    assert summary["evaluation"]["contexts"] == 200
    config = json.loads((finished.path / "config.json").read_text())
    assert config["threads"] == 1
    assert config["settings"] == SAC_SETTINGS
    assert config["budget"] == {"seconds": None, "timesteps": 400}
    assert set(config["versions"]) >= {"netdiffuse", "python", "torch", "stable_baselines3", "numpy"}
    assert list(finished.path.glob("events.out.tfevents*"))
    curve = finished.curve
    assert curve["timesteps"].iloc[0] == 0
    assert curve["timesteps"].iloc[-1] == 400
    assert (np.diff(curve["seconds"]) > 0).all()
    assert {"optimality_percent", "gap_closed_percent"} <= set(curve)


def test_a_loaded_run_decides_and_evaluates(finished):
    run = load(finished.path)
    contexts = torch.rand(5, 10)
    decisions = run.decide(contexts)
    torch.testing.assert_close(decisions.sum(1), torch.full((5,), 10.0))
    assert torch.equal(run.decide(contexts), decisions)
    assert run.evaluate(contexts=200) == finished.summary["evaluation"]
    assert run.evaluate(contexts=200, seed=1) != finished.summary["evaluation"]


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("sac", SAC_SETTINGS),
        ("sac", SAC_SETTINGS | {"learning_starts": 480}),  # stopped while it still acts at random
        ("td3", SAC_SETTINGS),
        ("ppo", PPO_SETTINGS),
        ("gddpg", {"learning_starts": 64, "critic_warmup": 4, "batch_size": 32}),
        ("gddpg", {"learning_starts": 64, "batch_size": 32, "priority_exponent": 0.6, "n_candidates": 2}),
        ("diffusion-bc", {"batch_size": 32}),
        ("diffusion-apg", {"batch_size": 32}),
    ],
)
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, algorithm, settings):
    arguments = {"timesteps": 640, "n_envs": 8, "settings": settings, "seed": 3, **FEW}
    whole = train("power-allocation", algorithm, out=tmp_path / "whole", **arguments)
    part = train("power-allocation", algorithm, out=tmp_path / "part", **arguments, **stop_beyond(0.3))
    assert not part.finished
    assert 0 < part.summary["timesteps"] < 640
    torch.rand(7)  # a fresh process would have other random states
    np.random.rand(7)
    resumed = resume(part.path, **FEW)
    assert resumed.finished
    assert resumed.summary["timesteps"] == 640
    assert_equal_models(whole.model, resumed.model)
    assert resumed.summary["evaluation"] == whole.summary["evaluation"]
    same = ["timesteps", "optimality_percent", "gap_closed_percent"]
    assert whole.curve[same].equals(resumed.curve[same])


def test_evaluations_and_checkpoints_change_nothing(tmp_path, monkeypatch):
    arguments = {"timesteps": 320, "n_envs": 8, "settings": SAC_SETTINGS, **FEW}
    often = train("power-allocation", "sac", out=tmp_path / "a", checkpoint_seconds=0, **arguments)
    monkeypatch.setattr("netdiffuse.experiments.tasks.OneShotTask.evaluations", 1)
    monkeypatch.setattr("netdiffuse.experiments.tasks.OneShotTask.quick_samples", 7)
    seldom = train("power-allocation", "sac", out=tmp_path / "b", **arguments)
    assert len(often.curve) > len(seldom.curve)
    assert_equal_models(often.model, seldom.model)


def test_seconds_of_training_leave_out_evaluations(tmp_path):
    class Slow(Target):
        """Deciding takes no time, judging decisions takes some."""

        def utility(self, contexts, decisions):
            if len(contexts) == OneShotTask.quick_samples:
                time.sleep(0.05)
            return super().utility(contexts, decisions)

    seen = []
    run = train(
        Slow(), "ppo", timesteps=640, n_envs=8, settings=PPO_SETTINGS, out=tmp_path / "run",
        report=lambda r: seen.append((time.perf_counter(), r.seconds)), **FEW,
    )  # fmt: skip
    between = len(run.curve) - 1  # the first evaluation is over at the first report, the last one at the last
    assert between >= 5
    (began, first), (ended, last) = seen[0], seen[-1]
    assert (ended - began) - (last - first) >= 0.05 * between


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_an_interrupt_in_the_final_evaluation_leaves_it_to_the_next_resume(tmp_path, share):
    class Impatient(Target):
        """Whoever trained it presses Ctrl-C when it is judged."""

        trained = False

        def utility(self, contexts, decisions):
            if self.trained and len(contexts) == FEW["contexts"]:
                signal.raise_signal(signal.SIGINT)
            return super().utility(contexts, decisions)

    problem, stop = Impatient(), threading.Event()

    def report(now):
        if now.fraction >= share:
            problem.trained = True
            stop.set()

    arguments = {"timesteps": 640, "n_envs": 8, "settings": SAC_SETTINGS, **FEW}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    try:
        run = train(problem, "sac", out=tmp_path / "run", stop=stop, report=report, **arguments)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not run.finished
    assert run.summary["evaluation_interrupted"]
    assert run.summary["evaluation"]["contexts"] == OneShotTask.quick_samples  # the last one of the training
    assert run.summary["evaluation"]["optimality_percent"] == run.curve["optimality_percent"].iloc[-1]
    judged = resume(run.path, problem=Target())
    assert judged.finished
    assert "evaluation_interrupted" not in judged.summary
    whole = train(Target(), "sac", out=tmp_path / "whole", **arguments)
    assert judged.summary["evaluation"] == whole.summary["evaluation"]
    assert_equal_models(whole.model, judged.model)


def test_an_interrupt_in_the_last_evaluation_of_the_training_loses_nothing_that_was_learned(tmp_path):
    class Impatient(Target):
        times = 0

        def utility(self, contexts, decisions):
            if len(contexts) == OneShotTask.quick_samples:
                self.times += 1
                if self.times == last:
                    signal.raise_signal(signal.SIGINT)
            return super().utility(contexts, decisions)

    arguments = {"timesteps": 640, "n_envs": 8, "settings": SAC_SETTINGS, **FEW}
    last, counted = -1, Impatient()
    whole = train(counted, "sac", out=tmp_path / "whole", **arguments)
    last, problem = counted.times, Impatient()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = train(problem, "sac", out=tmp_path / "run", **arguments)
    finally:
        signal.signal(signal.SIGINT, before)
    assert problem.times == last
    assert run.summary["evaluation_interrupted"]
    assert run.summary["timesteps"] == 640
    assert_equal_models(whole.model, run.model)
    assert resume(run.path, problem=Target()).summary["evaluation"] == whole.summary["evaluation"]


def test_rules_that_the_last_row_has_not_are_no_levels(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    rows = (run / "progress.csv").read_text().splitlines()
    named = [rows[0] + ",eval/baseline/gone,eval/baseline/kept", *(row + ",1.0,2.0" for row in rows[1:-1])]
    (run / "progress.csv").write_text("\n".join([*named, rows[-1] + ",,3.0"]) + "\n")
    assert load(run).curve_levels == {"kept": 3.0}


def test_a_budget_of_seconds_is_used_and_schedules_follow_it(tmp_path):
    seen = []
    run = train(
        Target(),
        "ppo",
        seconds=1.0,
        n_envs=8,
        settings=PPO_SETTINGS | {"learning_rate": 1e-3},
        out=tmp_path / "run",
        report=seen.append,
        **FEW,
    )
    assert run.finished
    assert run.summary["train_seconds"] >= 1.0  # ends with the rollout in progress
    assert [r.fraction for r in seen] == sorted(r.fraction for r in seen)
    assert run.model._current_progress_remaining < 0.2
    assert run.model._current_progress_remaining >= 0


@pytest.mark.parametrize("elapsed", [0.0, 2.5, 5.0, 9.0])
def test_time_budget_shows_any_algorithm_its_share_of_the_time(elapsed):
    class Look(BaseCallback):
        def _on_step(self):
            seen.append(1 - self.model.num_timesteps / max(self.model._total_timesteps, 1))
            return len(seen) < 3

    seen = []
    clock = TrainingClock(elapsed)  # stands still: the share of the time is exact
    model = SAC("MlpPolicy", ProblemVecEnv(Target(), 4, 0), learning_starts=1000, device="cpu")
    model.learn(10**9, [TimeBudget(5.0, clock), Look()], log_interval=None)
    assert seen == pytest.approx([1 - min(elapsed / 5, 1)] * 3, abs=0.2 if elapsed else 1e-6)


def test_a_longer_budget_is_evaluated_to_its_end(tmp_path):
    arguments = {"n_envs": 8, "settings": PPO_SETTINGS, **FEW}
    run = train(Target(), "ppo", timesteps=640, out=tmp_path / "r", **arguments)
    rows = [len(run.curve)]
    longer = resume(run.path, timesteps=1280)
    rows.append(len(longer.curve))
    resume(run.path, seconds=longer.summary["train_seconds"] + 0.5)
    rows.append(len(run.curve))
    assert rows[1] >= rows[0] + 5
    assert rows[2] >= rows[1] + 2


def test_stopped_before_it_began_a_run_has_a_curve_and_goes_on(tmp_path):
    arguments = {"timesteps": 320, "n_envs": 8, "settings": PPO_SETTINGS, **FEW}
    stop = threading.Event()
    stop.set()
    run = train("power-allocation", "ppo", out=tmp_path / "r", stop=stop, **arguments)
    assert run.curve["timesteps"].tolist() == [0]
    assert len(plot_run(run)) == 3
    whole = train("power-allocation", "ppo", out=tmp_path / "whole", **arguments)
    resumed = resume(run.path)
    same = ["timesteps", "optimality_percent"]
    assert resumed.curve[same].equals(whole.curve[same])
    assert_equal_models(resumed.model, whole.model)


def test_a_run_keeps_how_many_contexts_it_is_judged_on(tmp_path):
    run = train(
        Target(), "ppo", timesteps=640, n_envs=8, settings=PPO_SETTINGS, out=tmp_path / "r",
        contexts=70, **stop_beyond(0.1),
    )  # fmt: skip
    assert not run.finished
    before = (run.path / "config.json").read_text()
    with pytest.raises(InvalidValueError, match="contexts"):
        resume(run.path, timesteps=1280, contexts=0)
    assert (run.path / "config.json").read_text() == before
    assert resume(run.path).summary["evaluation"]["contexts"] == 70
    assert resume(run.path, timesteps=1280, contexts=80).config.contexts == 80
    assert resume(run.path, timesteps=1920).summary["evaluation"]["contexts"] == 80


def test_an_evaluation_that_cannot_be_made_is_known_before_the_training(tmp_path):
    class Small(Target):
        def sample_contexts(self, n, generator):
            if n == 1234:
                raise MemoryError
            return super().sample_contexts(n, generator)

    with pytest.raises(MemoryError):
        train(Small(), "ppo", timesteps=640, n_envs=8, settings=PPO_SETTINGS, out=tmp_path / "r", contexts=1234)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no locks")
def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    refused = []

    def intrude(report):
        if not refused:
            with pytest.raises(RunError, match="is being trained by another process") as error:
                resume(tmp_path / "r", timesteps=1280)
            refused.append(error)

    arguments = {"timesteps": 640, "n_envs": 8, "settings": PPO_SETTINGS, "report": intrude, **FEW}
    run = train(Target(), "ppo", out=tmp_path / "r", **arguments)
    assert refused
    assert run.finished
    assert load(run.path).config.budget["timesteps"] == 640
    refused.clear()
    assert resume(run.path, timesteps=960, report=intrude).finished
    assert refused


def test_threads_are_as_they_were_after_a_training(tmp_path):
    seen = []
    arguments = {"timesteps": 64, "n_envs": 8, "settings": PPO_SETTINGS, **FEW}
    run = train(
        Target(), "ppo", threads=2, out=tmp_path / "r", report=lambda _: seen.append(torch.get_num_threads()),
        **arguments,
    )  # fmt: skip
    assert set(seen) == {2}
    assert run.config.threads == 2
    assert torch.get_num_threads() == 1
    resume(run.path, timesteps=128)
    assert torch.get_num_threads() == 1


def test_the_path_of_a_data_set_is_kept_as_an_absolute_one(tmp_path, monkeypatch):
    names = [f"{kind}_{i}" for kind in ("gain", "power") for i in range(10)]
    (tmp_path / "log.csv").write_text("\n".join([",".join(names), ",".join("1" * 20)]))
    monkeypatch.chdir(tmp_path)
    run = train(
        "power-allocation", "diffusion-bc", timesteps=64, out="r", settings={"dataset": "log.csv", "batch_size": 8},
        **FEW,
    )  # fmt: skip
    assert run.config.settings["dataset"] == str(tmp_path / "log.csv")
    monkeypatch.chdir("/")
    assert resume(tmp_path / "r", timesteps=128).finished


def test_a_word_is_no_path_even_where_a_file_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cosine").touch()
    assert plain({"schedule": "cosine"}) == {"schedule": "cosine"}


def test_a_problem_of_ones_own_is_pickled_with_the_run(tmp_path):
    run = train(Target(2), "ppo", timesteps=512, n_envs=8, settings=PPO_SETTINGS, out=tmp_path / "r", **FEW)
    loaded = load(run.path)
    assert loaded.problem.context_shape == (2,)
    assert loaded.decide(torch.zeros(3, 2)).shape == (3, 2)


def test_a_problem_without_a_reference_trains(tmp_path):
    run = train(Target(known=False), "ppo", timesteps=256, n_envs=8, settings=PPO_SETTINGS, out=tmp_path / "r", **FEW)
    assert run.summary["evaluation"]["optimality_percent"] is None
    assert "utility_mean" in run.curve


@pytest.mark.parametrize(("env", "algorithm"), [("Pendulum-v1", "sac"), ("CartPole-v1", "ppo")])
def test_any_gymnasium_environment_trains_and_resumes(tmp_path, env, algorithm):
    settings = SAC_SETTINGS if algorithm == "sac" else {"n_steps": 32, "batch_size": 32}
    run = train(env, algorithm, timesteps=256, n_envs=2, settings=settings, out=tmp_path / "r", contexts=3)
    assert list(run.summary["evaluation"]) == ["episodes", "return_mean", "return_std", "baselines"]
    assert set(run.summary["evaluation"]["baselines"]) == {"random"}
    assert run.summary["evaluation"]["episodes"] == 3
    assert run.evaluate(contexts=3) == run.summary["evaluation"]
    longer = resume(run.path, timesteps=512, contexts=3)
    assert longer.summary["timesteps"] == 512
    with pytest.raises(UnsupportedError, match="sequential"):
        _ = run.problem


CHILD = """
import torch
torch.set_num_threads(1)
from netdiffuse.experiments import train
train("power-allocation", "sac", timesteps={timesteps}, n_envs=8, out={out!r}, checkpoint_seconds=0,
      settings={settings!r}, contexts=200, report=lambda r: print(r.timesteps, flush=True))
"""


def child(out: Path, timesteps: int) -> subprocess.Popen[str]:
    code = CHILD.format(out=str(out), timesteps=timesteps, settings=SAC_SETTINGS)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], timesteps: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= timesteps:
            return
    raise AssertionError("the training ended too early")


def test_killed_at_any_moment_the_last_checkpoint_loads_and_resumes_exactly(tmp_path):
    process = child(tmp_path / "killed", 1200)
    wait_for(process, 300)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = load(tmp_path / "killed")
    assert run.summary is None
    assert not run.finished
    assert run.decide(torch.rand(2, 10)).shape == (2, 10)
    resumed = resume(tmp_path / "killed", **FEW)
    whole = train(
        "power-allocation", "sac", timesteps=1200, n_envs=8, out=tmp_path / "whole",
        settings=SAC_SETTINGS, **FEW,
    )  # fmt: skip
    assert_equal_models(whole.model, resumed.model)


def test_killed_between_the_two_renames_the_previous_checkpoint_serves(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    shutil.rmtree(copy / PREVIOUS)
    (copy / CURRENT).rename(copy / PREVIOUS)
    assert torch.equal(load(copy).decide(torch.ones(1, 10)), finished.decide(torch.ones(1, 10)))


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(tmp_path):
    arguments = {"timesteps": 160, "n_envs": 8, "settings": SAC_SETTINGS, **FEW}
    whole = train("power-allocation", "sac", out=tmp_path / "whole", **arguments)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.json").write_bytes((whole.path / "config.json").read_bytes())
    with pytest.raises(RunError, match="no checkpoint"):
        _ = load(begun).model
    assert_equal_models(resume(begun, **FEW).model, whole.model)


@pytest.mark.parametrize("name", ["model.zip", "replay_buffer.pkl", "state.pt"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_checkpoint_is_named(finished, tmp_path, name, damage):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    path = copy / CURRENT / name
    path.write_bytes(path.read_bytes()[:200])
    if damage == "missing":
        path.unlink()
    with pytest.raises(RunError) as error:
        resume(copy, timesteps=800, **FEW)
    assert name in str(error.value)
    assert ("is missing" if damage == "missing" else "is damaged") in str(error.value)
    assert f"move {copy / CURRENT} aside to use {PREVIOUS}" in str(error.value)
    shutil.move(copy / CURRENT, tmp_path / "aside")
    assert resume(copy, timesteps=800, **FEW).finished


def test_what_is_not_damaged_is_not_called_so(finished, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    config = json.loads((copy / "config.json").read_text())

    def refusal(error, **changes):
        (copy / "config.json").write_text(json.dumps(config | changes))
        messages = []
        for use in (lambda: resume(copy, timesteps=800), lambda: load(copy).model):
            with pytest.raises(error) as caught:
                use()
            messages.append(str(caught.value))
            assert "is damaged" not in messages[-1]
            assert "aside" not in messages[-1]
        return messages

    for algorithm in ("ppo", "td3", "gddpg", "diffusion-bc"):
        for message in refusal(RunError, algorithm=algorithm):
            assert "model.zip cannot be used here" in message
    for message in refusal(UnsupportedError, device="meteor"):
        assert "device 'meteor' cannot be used here" in message
    (copy / "config.json").write_text(json.dumps(config | {"problem_args": {"channels": 4}}))
    with pytest.raises(RunError, match=r"model.zip cannot be used here .*spaces do not match"):
        resume(copy, timesteps=800)


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        *(("summary.json", text) for text in (b"{}", b"[]", b"\xff\x00", b"{", b"3")),
        *(("progress.csv", text) for text in (b"", b"\xff\x00\xfe", b"a,b\n1,2\n")),
        ("progress.csv", b"time/total_timesteps,time/train_seconds,eval/optimality_percent\n"),
        ("progress.csv", b"time/total_timesteps,time/train_seconds\n1,2\n"),
        ("progress.csv", b"time/total_timesteps,time/train_seconds,eval/optimality_percent\n1,2,much\n"),
    ],
)
def test_damaged_records_of_a_run_are_named(finished, tmp_path, name, damaged):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    (copy / name).write_bytes(damaged)
    with pytest.raises(RunError, match=f"{name} is damaged"):
        plot_run(load(copy))


@pytest.mark.parametrize(
    "changes",
    [
        {"timesteps": "many"},
        {"train_seconds": None},
        {"evaluation": []},
        {"evaluation": {}},
        {"evaluation": {"baselines": {}}},
        {"evaluation": {"baselines": [], "optimality_percent": 1.0}},
        {"evaluation": {"baselines": {}, "optimality_percent": "1"}},
    ],
)
def test_a_summary_of_wrong_types_is_damaged(finished, tmp_path, changes):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    (copy / "summary.json").write_text(json.dumps(finished.summary | changes))
    for use in (lambda: load(copy).finished, lambda: resume(copy)):
        with pytest.raises(RunError, match=r"summary\.json is damaged"):
            use()


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": "two"},
        {"threads": -1},
        {"seed": "x"},
        {"problem": 5},
        {"problem_args": [1]},
        {"settings": None},
        {"budget": [1]},
        {"contexts": 0},
        {"n_envs": 1.5},
    ],
)
def test_a_config_of_wrong_types_is_damaged(finished, tmp_path, changes):
    config = json.loads((finished.path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(RunError, match=r"config\.json is damaged: .*" + next(iter(changes))):
        load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"problem": "power-alocation"}, UnknownNameError, "Did you mean 'power-allocation'"),
        ({"problem": "Pendulm-v1"}, UnknownNameError, "Pendulm-v1"),
        ({"problem": "netdiffuse/Nothing-v0"}, UnknownNameError, "Nothing"),
        ({"problem": "nowhere.py:Mine"}, InvalidValueError, "no file"),
        ({"algorithm": "sacc"}, UnknownNameError, "Did you mean 'sac'"),
        ({"algorithm": "equal"}, InvalidValueError, "is a rule"),
        ({"settings": {"learning_rat": 1}}, UnknownNameError, "Did you mean 'learning_rate'"),
        ({"settings": {"batch_size": "big"}}, InvalidValueError, "batch_size of sac must be int"),
        ({"settings": {"use_sde": True}}, UnsupportedError, "use_sde=True .* could not be resumed"),
        ({"problem_args": {"chanels": 4}}, InvalidValueError, "chanels"),
        ({"problem_args": {"channels": -4}}, InvalidValueError, "channels"),
        ({"seconds": 0}, InvalidValueError, "seconds must be positive"),
        ({"seconds": float("nan")}, InvalidValueError, "seconds must be finite"),
        ({"timesteps": 0, "seconds": None}, InvalidValueError, "timesteps must be an integer"),
        ({"timesteps": 10}, InvalidValueError, "either seconds or timesteps"),
        ({"seed": -1}, InvalidValueError, "seed"),
        ({"seed": 2**32}, InvalidValueError, "seed"),
        ({"n_envs": 0}, InvalidValueError, "n_envs"),
        ({"threads": 0}, InvalidValueError, "threads"),
        ({"threads": 2**40}, InvalidValueError, "threads"),
        ({"contexts": 0}, InvalidValueError, "contexts"),
        ({"device": "abacus"}, UnsupportedError, "device 'abacus'"),
        ({"policy": "MlpPolice"}, UnknownNameError, "Did you mean 'MlpPolicy'"),
        ({"policy": "EquivariantPolicy"}, UnsupportedError, "MlpPolicy alone"),
        ({"problem": "CartPole-v1"}, UnsupportedError, "continuous actions"),
        ({"problem": "Pendulum-v1", "problem_args": {"wind": 3}}, UnsupportedError, "wind"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, error, message):
    good = {"problem": "power-allocation", "algorithm": "sac", "seconds": 1.0, "out": tmp_path / "run"}
    with pytest.raises(error, match=message):
        train(**(good | arguments))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(finished, tmp_path):
    with pytest.raises(RunError, match="already holds a run"):
        train("power-allocation", "sac", timesteps=10, out=finished.path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        train("power-allocation", "sac", timesteps=10, out=tmp_path)
    with pytest.raises(InvalidValueError, match="is finished"):
        resume(finished.path)
    with pytest.raises(InvalidValueError, match="already used"):
        resume(finished.path, timesteps=300)


def test_what_a_process_left_that_was_killed_before_it_began_is_swept(tmp_path):
    path = tmp_path / "r"
    path.mkdir()
    for name in (".config-a1b2.json", ".problem-a1b2.pkl"):
        (path / name).write_text("half")
    (path / "problem.pkl").write_bytes(cloudpickle.dumps(Target(3)))
    train(Target(2), "ppo", timesteps=64, n_envs=8, settings=PPO_SETTINGS, out=path, **FEW)
    assert load(path).problem.context_shape == (2,)
    assert not {".config-a1b2.json", ".problem-a1b2.pkl"} & {p.name for p in path.iterdir()}
    (path / "config.json").unlink()
    with pytest.raises(RunError, match="not empty"):  # there is more than that
        train("power-allocation", "ppo", timesteps=64, out=path)
    (tmp_path / "named").mkdir()
    (path / "problem.pkl").rename(tmp_path / "named" / "problem.pkl")
    run = train("power-allocation", "ppo", timesteps=64, settings=PPO_SETTINGS, out=tmp_path / "named", **FEW)
    assert load(run.path).problem.context_shape == (10,)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is not a run"), ("{", "is damaged"), ("{}", "is damaged"), ('{"x": 1}', "is damaged")],
)
def test_folders_that_are_no_runs_are_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=message):
        load(tmp_path)
    with pytest.raises(RunError, match="there is no run"):
        load(tmp_path / "nothing")


class Breaks(Target):
    """Its utility is no number after a thousand decisions in training."""

    taken = 0

    def utility(self, contexts, decisions):
        found = super().utility(contexts, decisions)
        if len(contexts) == 8:  # in training alone
            self.taken += 8
            found[3] += float("nan") if self.taken > 1000 else 0.0
        return found


def test_a_failure_in_training_names_the_row_and_leaves_the_last_checkpoint(tmp_path):
    with pytest.raises(InvalidValueError, match="row 3"):
        train(Breaks(), "gddpg", timesteps=4000, n_envs=8, out=tmp_path / "r", checkpoint_seconds=0)
    assert load(tmp_path / "r").decide(torch.zeros(2, 1)).isfinite().all()

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netdiffuse.common import InvalidValueError, RunError
from netdiffuse.studio.jobs import Jobs
from netdiffuse.studio.runs import RunStore

FAST = ["--algorithm", "ppo", "--n-envs", "8", "--contexts", "100", "--set", "n_steps=8", "--set", "batch_size=32"]
PATIENCE = 300.0  # seconds; far more than anything takes


def words(root: Path, name: str, timesteps: int = 10**9) -> list[str]:
    return ["train", "power-allocation", *FAST, "--timesteps", str(timesteps), "--out", str(root / name)]


def until(condition, jobs: Jobs | None = None):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "nothing came of it"
        if jobs is not None:
            jobs.tick()
        time.sleep(0.1)
    return found


def state(root: Path, name: str) -> str | None:
    return next((record.state for record in RunStore(root).scan() if record.name == name), None)


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path)
    yield made
    for job in made.all():
        if job.state == "running":
            made.stop(job.run)
    until(lambda: all(job.state != "running" for job in made.all()))
    made.close()


def test_the_order_of_the_queue_is_kept_on_disk(tmp_path):
    jobs = Jobs(tmp_path)
    for name in ("a", "b"):
        jobs.add(name, words(tmp_path, name))
    jobs.add("c", words(tmp_path, "c"), first=True)
    assert [job.run for job in Jobs(tmp_path).all()] == ["c", "a", "b"]
    with pytest.raises(RunError, match="'a' waits or runs already"):
        jobs.add("a", words(tmp_path, "a"))
    jobs.remove(jobs.all()[1].id)
    assert [(job.run, job.state) for job in jobs.all()] == [("c", "queued"), ("b", "queued")]


def test_how_many_at_once_is_kept_on_disk(tmp_path):
    jobs = Jobs(tmp_path)
    assert jobs.at_once == 1
    jobs.at_once = 3
    assert Jobs(tmp_path).at_once == 3
    with pytest.raises(InvalidValueError, match="at_once"):
        jobs.at_once = 0


@pytest.mark.parametrize("id_", ["../../secret", "1", ""])
def test_an_id_that_is_none(tmp_path, id_):
    with pytest.raises(InvalidValueError, match="20 digits"):
        Jobs(tmp_path).log(id_)


def test_damaged_files_are_named(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.add("a", words(tmp_path, "a"))
    (tmp_path / ".studio" / "queue.json").write_text("{}")
    with pytest.raises(RunError, match=r"queue\.json is damaged"):
        _ = jobs.at_once
    next(jobs.folder.glob("*.json")).write_text("[]")
    with pytest.raises(RunError, match="is damaged, remove it"):
        jobs.all()


def test_a_run_is_trained_stopped_and_resumed_while_another_waits(tmp_path, jobs):
    jobs.add("a", words(tmp_path, "a"))
    jobs.add("b", words(tmp_path, "b", 256))
    jobs.tick()
    assert [job.state for job in jobs.all()] == ["running", "queued"]
    with pytest.raises(RunError, match="stop it first"):
        jobs.remove(jobs.all()[0].id)
    until(lambda: (tmp_path / "a" / "progress.csv").is_file())
    assert state(tmp_path, "a") == "running"
    jobs.pause("a")
    until(lambda: state(tmp_path, "a") == "stopped", jobs)
    assert jobs.held_by == "a"
    assert jobs.all()[1].state == "queued"  # it waits for the paused one
    before = RunStore(tmp_path).get("a").summary["timesteps"]
    assert before > 0
    jobs.resume("a", ["--timesteps", str(before + 64)])  # perhaps while the first process still draws its figures
    assert jobs.held_by is None
    until(lambda: state(tmp_path, "b") == "finished", jobs)
    assert RunStore(tmp_path).get("a").summary["timesteps"] >= before + 64
    assert [jobs.failure(job) for job in jobs.all()] == [None] * 3


def test_a_training_that_is_refused_says_why(tmp_path, jobs):
    jobs.add(
        "a", ["train", "power-allocation", "--algorithm", "ppo", "--set", "n_steps=0", "--out", str(tmp_path / "a")]
    )
    until(lambda: jobs.all()[0].state == "ended", jobs)
    assert "n_steps" in jobs.failure(jobs.all()[0])
    assert state(tmp_path, "a") is None


def test_what_does_not_run_cannot_be_stopped(tmp_path):
    with pytest.raises(RunError, match="'a' does not run"):
        Jobs(tmp_path).stop("a")


def test_a_run_outlives_the_studio_and_the_next_one_finds_it(tmp_path, jobs):
    program = f"""
import time
from pathlib import Path
from netdiffuse.studio.jobs import Jobs
jobs = Jobs(Path({str(tmp_path)!r}))
jobs.add("a", {words(tmp_path, "a")!r})
jobs.add("b", {words(tmp_path, "b")!r})
jobs.tick()
print("started", flush=True)
time.sleep(10**6)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout.readline() == "started\n"
        jobs.tick()  # a second studio on the same folder starts nothing
        assert [job.state for job in jobs.all()] == ["running", "queued"]
        os.kill(studio.pid, signal.SIGKILL)
    until(lambda: (tmp_path / "a" / "progress.csv").is_file())
    assert [job.state for job in jobs.all()] == ["running", "queued"]
    until(lambda: state(tmp_path, "a") == "running")
    jobs.stop("a")
    until(lambda: state(tmp_path, "b") == "running", jobs)  # the next studio starts what waited
    assert state(tmp_path, "a") == "stopped"
    assert RunStore(tmp_path).get("a").summary["timesteps"] > 0


def test_files_that_are_being_written_are_no_jobs(tmp_path):
    jobs = Jobs(tmp_path)
    added = jobs.add("a", ["train", "power-allocation"])
    half = jobs.folder / f".{added.id}-x1y2.json"
    half.write_text("")
    (jobs.folder / "notes.json").write_text("{}")
    assert [job.id for job in jobs.all()] == [added.id]

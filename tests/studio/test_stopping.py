import subprocess
import sys

import pytest

from netdiffuse.common import RunError
from netdiffuse.common.files import Holder, holder
from netdiffuse.studio.jobs import Jobs
from netdiffuse.studio.stopping import Stopping

# Holds a job's lock, and a run's until it is told otherwise, as a training does; says when it is interrupted.
PROGRAM = """
import contextlib, signal, sys
from pathlib import Path
from netdiffuse.common.files import locked
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
with contextlib.ExitStack() as job, contextlib.ExitStack() as run:
    for line in map(str.strip, sys.stdin):
        if line == "let go":
            run.close()
        elif line.endswith(".json.lock"):
            job.enter_context(locked(Path(line.replace(".json", ""))))
        elif line.endswith(".lock"):
            run.enter_context(locked(Path(line)))
        print("done", flush=True)
"""


class Training:
    """A process that does what a training does to the locks."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.do("begin")

    def do(self, word: str) -> int:
        """Returns how many interrupts came since it did something last."""
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        found = 0
        while self.process.stdout.readline() != "done\n":
            found += 1
        return found

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def training():
    made = Training()
    yield made
    if not made.process.stdin.closed:
        made.end()


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path)
    yield made
    made.close()


def test_pressed_again_and_again_it_is_one_interrupt(tmp_path, training, jobs):
    (tmp_path / "a/b").mkdir(parents=True)
    training.do(str(tmp_path / "a/b/.lock"))
    jobs.stop("a/b")
    assert training.do("save") == 1
    jobs.stop("a/b")
    jobs.pause("a/b")
    Jobs(tmp_path).stop("a/b")  # another studio
    assert training.do("save") == 0
    assert jobs.held_by == "a/b"


def test_at_once_is_one_more_interrupt_for_whom_was_told(tmp_path, training, jobs):
    (tmp_path / "a").mkdir()
    training.do(str(tmp_path / "a/.lock"))
    process = holder(tmp_path / "a/.lock")
    jobs.stop("a", at_once=True)  # an impatient first one is a first one
    assert training.do("save") == 1
    assert jobs.was_told("a", process)
    assert not jobs.was_told("a", process, at_once=True)
    for impatient in (jobs, jobs, Jobs(tmp_path)):
        impatient.stop("a", at_once=True)
    assert training.do("save") == 1
    assert jobs.was_told("a", process, at_once=True)
    assert not jobs.was_told("b", process)
    training.do("let go")
    jobs.tick()
    assert not jobs.was_told("a", process)
    assert not jobs.was_told("a", process, at_once=True)


def test_the_next_process_of_a_run_is_told_again(tmp_path, training, jobs):
    (tmp_path / "a").mkdir()
    training.do(str(tmp_path / "a/.lock"))
    jobs.stop("a")
    assert training.do("save") == 1
    jobs.tick()
    assert jobs._stopping.runs() == {"a"}  # it still saves
    training.do("let go")
    jobs.tick()
    assert jobs._stopping.runs() == set()
    training.do(str(tmp_path / "a/.lock"))  # as if a new process had got the same number
    jobs.stop("a")
    assert training.do("save") == 1


def test_what_runs_elsewhere_is_not_told(tmp_path):
    stopping = Stopping(tmp_path / "told")
    for process in (Holder(1, "another-host"), Holder(None, None)):
        with pytest.raises(RunError, match="stop it there"):
            stopping.tell("a", process)
    assert stopping.runs() == set()


def test_a_second_resume_does_not_undo_a_later_stop(tmp_path, training, jobs):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.lock").write_text('{"pid": 1, "host": "here"}')  # of the training that is gone on with
    resumed = jobs.resume("a")
    entry = jobs.folder / f"{resumed.id}.json"
    entry.write_text(entry.read_text().replace("false", "true"))
    training.do(f"{entry}.lock")  # it starts, and has not yet come to the run
    assert [job.state for job in jobs.all()] == ["running"]
    with pytest.raises(RunError, match="'a' waits or runs already"):
        jobs.resume("a")
    training.do(str(tmp_path / "a/.lock"))
    with pytest.raises(RunError, match="'a' waits or runs already"):
        jobs.resume("a")
    jobs.stop("a")
    assert training.do("let go") == 1
    jobs.resume("a")  # while the first one still draws its figures
    assert [job.state for job in jobs.all()] == ["running", "queued"]
    jobs.stop("a")
    assert [job.state for job in jobs.all()] == ["running"]  # nothing waits to start it again
    assert training.do("draw") == 0  # it was told before
    assert holder(tmp_path / "a/.lock") is None

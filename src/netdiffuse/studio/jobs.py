"""Trainings as processes of their own, and the queue of those that wait, kept on disk beside the runs.

A job is a file. The process that runs it holds a lock on a file beside it, so that whoever opens the folder next
knows whether it still goes on. Nothing ends with the studio: what is running runs on, what waits waits for the next
studio on the same folder.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdiffuse.common import RunError, checks
from netdiffuse.common.files import (
    Holder,
    check_entries,
    holder,
    last_holder,
    locked,
    read_json,
    write_json,
)
from netdiffuse.experiments.run import LOCK
from netdiffuse.studio.job import Job, checked_id, read_job
from netdiffuse.studio.launching import launched
from netdiffuse.studio.stopping import Stopping

MOST_AT_ONCE = 64
LOG_BYTES = 20_000  # of a log's end that are read
KEPT = 50  # ended jobs, whose logs say why one failed


class Jobs:
    """The queue of a runs folder.

    Any number of these may look at one folder; the first of them starts what waits.

    Args:
        root: the runs folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".studio" / "jobs"
        self._settings = root / ".studio" / "queue.json"
        self._stopping = Stopping(root / ".studio" / "told")
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = contextlib.ExitStack()
        self._starts = False

    def close(self) -> None:
        """Let another studio start what waits."""
        self._lock.close()
        self._starts = False

    @property
    def at_once(self) -> int:
        """How many run at the same time."""
        return int(self._read()["at_once"])

    @at_once.setter
    def at_once(self, number: int) -> None:
        self._write(at_once=checks.integer("at_once", number, maximum=MOST_AT_ONCE))

    @property
    def held_by(self) -> str | None:
        """The paused run that the queue waits for, or None."""
        held = self._read()["held_by"]
        return None if held is None else str(held)

    def all(self) -> list[Job]:
        """Every job, in the order of the queue.

        Raises:
            RunError: a job's file is damaged.
        """
        return [job for path in sorted(self.folder.glob("[0-9]*.json")) if (job := read_job(path)) is not None]

    def add(self, run: str, words: Sequence[str], first: bool = False) -> Job:
        """Put a training at the end of the queue, or at its head.

        Args:
            run: name of the run's folder below the runs folder.
            words: of the command line, after `netdiffuse`.
            first: whether it goes before those that wait.

        Raises:
            RunError: one for the same run waits or runs already.
        """
        jobs = self.all()
        # One that has stopped training still draws its figures for a while: what goes on with it waits for that.
        busy = [job for job in jobs if job.run == run and not (first and self._has_trained(job))]
        if any(job.state != "ended" for job in busy):
            raise RunError(f"a training of '{run}' waits or runs already")
        number = time.time_ns()
        if first:
            number = min([number, *(int(job.id) for job in jobs if job.state == "queued")]) - 1
        entry = {"run": run, "words": list(words), "started": False}
        name = f"{number:020d}"
        write_json(self.folder / f"{name}.json", entry)
        return Job(name, run, tuple(words), "queued")

    def remove(self, id_: str) -> None:
        """Take a job that does not run from the list.

        Raises:
            RunError: it runs.
        """
        job = next((job for job in self.all() if job.id == id_), None)
        if job is not None and job.state == "running":
            raise RunError(f"'{job.run}' is running: stop it first")
        for ending in ("json", "lock", "log"):
            (self.folder / f"{checked_id(id_)}.{ending}").unlink(missing_ok=True)

    def was_told(self, run: str, process: Holder, at_once: bool = False) -> bool:
        """Whether the process that trains a run was told to stop; with `at_once`, whether to stop at once."""
        return self._stopping.was_told(run, process, at_once)

    def stop(self, run: str, at_once: bool = False) -> None:
        """Have a run stop with everything saved, whoever started it; the queue goes on.

        Asked for again while it saves, it changes nothing. What waited to go on with the run does not wait any more.

        Args:
            run: name of the run.
            at_once: of one that was told before: to leave out its final evaluation.

        Raises:
            RunError: it does not run, or on another machine.
        """
        process = self._holder(run)
        if process is None:
            raise RunError(f"'{run}' does not run")
        if not self._stopping.tell(run, process) and at_once:
            self._stopping.tell(run, process, at_once=True)
        for job in self.all():
            if job.run == run and job.state == "queued":
                self.remove(job.id)

    def pause(self, run: str) -> None:
        """Like `stop`, but what waits keeps waiting until the run is resumed or let go."""
        self.stop(run)
        self._write(held_by=run)

    def resume(self, run: str, more: Sequence[str] = ()) -> Job:
        """Go on with a run before everything that waits.

        Args:
            run: name of the run.
            more: words of a new budget, such as `("--seconds", "60")`.
        """
        job = self.add(run, ["train", "--resume", str(self.root / run), *more], first=True)
        self.let_go()
        return job

    def let_go(self) -> None:
        """Have the queue wait for no paused run."""
        if self.held_by is not None:
            self._write(held_by=None)

    def begins(self, job: Job) -> bool:
        """Whether a job's process is about to train its run."""
        trains = holder(self.root / job.run / LOCK) is not None
        return job.state == "running" and not trains and not self._has_trained(job)

    def log(self, id_: str) -> str:
        """The end of what a job's process has said."""
        try:
            with open(self.folder / f"{checked_id(id_)}.log", "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def failure(self, job: Job) -> str | None:
        """Why a job has ended, where it did not end well."""
        if job.state != "ended":
            return None
        said = self.log(job.id)
        lines = said.strip().splitlines()
        if not lines:
            return None
        if lines[-1] == "KeyboardInterrupt":  # told to stop before it had begun
            return None
        broke = lines[-1].startswith("error: ") or "Traceback (most recent call last)" in said
        return lines[-1].removeprefix("error: ") if broke else None

    def tick(self) -> None:
        """Start what is due, and forget what ended long ago; to be called now and then."""
        self._children = [child for child in self._children if child.poll() is None]
        if not self._leads():
            return
        jobs = self.all()
        for job in [job for job in jobs if job.state == "ended"][:-KEPT]:
            self.remove(job.id)
        for run in self._stopping.runs():
            if self._holder(run) is None:
                self._stopping.forget(run)
        running = {job.run for job in jobs if job.state == "running"}
        free = self.at_once - len(running)
        waiting = [job for job in jobs if job.state == "queued" and job.run not in running]
        if self.held_by is None:
            for job in waiting[: max(free, 0)]:
                self._start(job)

    def _leads(self) -> bool:
        """Whether it is this one that starts jobs."""
        if not self._starts:
            (self.root / ".studio").mkdir(parents=True, exist_ok=True)
            try:
                self._lock.enter_context(locked(self.root / ".studio" / "starts.lock"))
            except BlockingIOError:
                return False
            self._starts = True
        return True

    def _start(self, job: Job) -> None:
        self._children.append(launched(job.words, self.folder / f"{job.id}.log", self.folder / f"{job.id}.lock"))
        write_json(self.folder / f"{job.id}.json", {"run": job.run, "words": list(job.words), "started": True})

    def _holder(self, run: str) -> Holder | None:
        """The process that trains a run, or is about to."""
        training = holder(self.root / run / LOCK)
        if training is not None:
            return training
        running = [job for job in self.all() if job.run == run and job.state == "running"]
        return holder(self.folder / f"{running[-1].id}.lock") if running else None

    def _has_trained(self, job: Job) -> bool:
        """Whether a job's process goes on although it trains no more; one that has yet to begin does not count."""
        process = holder(self.folder / f"{job.id}.lock")
        trains = self.root / job.run / LOCK
        return process is not None and holder(trains) is None and last_holder(trains) == process

    def _read(self) -> dict[str, Any]:
        try:
            return check_entries(read_json(self._settings), {"at_once": int, "held_by": (str, type(None))})
        except FileNotFoundError:
            return {"at_once": 1, "held_by": None}
        except ValueError as error:
            raise RunError(f"{self._settings} is damaged, remove it: {error}") from error

    def _write(self, **changed: Any) -> None:
        write_json(self._settings, self._read() | changed)

"""What all pages share: the runs, the queue, and the models that are open."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from nicegui import app, run

from netdiffuse.common import NetdiffuseError
from netdiffuse.experiments.config import run_name
from netdiffuse.studio.inside import Inside, look_into
from netdiffuse.studio.job import Job
from netdiffuse.studio.jobs import Jobs
from netdiffuse.studio.runs import RunRecord, RunStore

EVERY_S = 1.0  # looks at the runs folder
MOST_OPEN = 4  # policies that are kept in memory


class Studio:
    """The runs folder, as the pages see it.

    Args:
        root: the folder.
        model: of the denoising view; None for the one that netdiffuse ships.

    Attributes:
        shown: the folder as it was named.
        root: its absolute path.
        store: reads runs.
        jobs: starts and stops trainings.
        records: all runs, the latest changed first, as they were a moment ago.
        queue: all jobs, likewise.
        beginning: the runs that a process is about to train.
        failures: id of an ended job to why it did not end well.
        held_by: the paused run that the queue waits for, or None.
        at_once: how many run at the same time.
        trouble: what went wrong when the folder was looked at, or None.
    """

    def __init__(self, root: Path, model: str | None = None) -> None:
        self.shown, self.root, self.model = root, root.resolve(), model
        self.store, self.jobs = RunStore(self.root), Jobs(self.root)
        self.records: list[RunRecord] = []
        self.queue: list[Job] = []
        self.beginning: set[str] = set()
        self.failures: dict[str, str] = {}
        self.held_by: str | None = None
        self.at_once = 1
        self.trouble: str | None = None
        self._said: dict[str, str | None] = {}
        self._looking = threading.Lock()
        self._open: OrderedDict[tuple[str, float], Inside] = OrderedDict()

    def watch(self) -> None:
        """Look at the folder again and again, as long as the server runs."""
        app.on_startup(self.refresh)
        app.timer(EVERY_S, self.refresh)
        app.on_shutdown(self.jobs.close)

    async def refresh(self) -> None:
        """Look at the folder, and start what is due."""
        await run.io_bound(self._look)

    def _look(self) -> None:
        with self._looking:  # a click looks at once, beside the timer: neither may start what the other does
            self._look_alone()

    def _look_alone(self) -> None:
        try:
            self.records = self.store.scan()
            self.jobs.tick()
            self.queue = self.jobs.all()
            self.beginning = {job.run for job in self.queue if self.jobs.begins(job)}
            ended = [job for job in self.queue if job.state == "ended"]
            known = self._said  # the log of what has ended changes no more
            self._said = {job.id: known[job.id] if job.id in known else self.jobs.failure(job) for job in ended}
            self.failures = {id_: why for id_, why in self._said.items() if why is not None}
            self.held_by, self.at_once = self.jobs.held_by, self.jobs.at_once
            self.trouble = None
        except (NetdiffuseError, OSError) as error:
            self.trouble = str(error)

    def record(self, name: str) -> RunRecord | None:
        """The run of this name, as it was a moment ago."""
        return next((record for record in self.records if record.name == name), None)

    def state_of(self, record: RunRecord) -> str:
        """A run's state in a word: of one that runs, if it was told to stop; of one that has stopped, if it goes on."""
        if record.holder is not None:
            if self.jobs.was_told(record.name, record.holder, at_once=True):
                return "stopping at once"
            return "stopping" if self.jobs.was_told(record.name, record.holder) else record.state
        if record.state in ("stopped", "finished"):
            if record.name in self.beginning:
                return "starting"
            if any(job.run == record.name and job.state == "queued" for job in self.queue):
                return "waits"
            if self.held_by == record.name:
                return "paused"
        return record.state

    def free_name(self, problem: str, algorithm: str, seed: int) -> str:
        """A name for a new run, with a number at its end where others have it."""
        base = run_name(problem, algorithm, seed)
        taken = {job.run for job in self.jobs.all() if job.state != "ended"}
        name, number = base, 1
        while name in taken or (self.root / name).exists():
            number += 1
            name = f"{base}-{number}"
        return name

    async def inside(self, record: RunRecord) -> Inside:
        """A run's policy, opened again only where its checkpoint is a new one."""
        checkpoint = record.path / "checkpoint"
        key = (record.name, checkpoint.stat().st_mtime if checkpoint.exists() else 0.0)
        if key not in self._open:
            opened: Any = await run.io_bound(look_into, str(record.path))
            self._open[key] = opened
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

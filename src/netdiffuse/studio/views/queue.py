"""The queue: what runs, what waits, what was refused, and how many run at once."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from netdiffuse.common import NetdiffuseError
from netdiffuse.studio.frame import card, describe, said
from netdiffuse.studio.job import Job
from netdiffuse.studio.jobs import MOST_AT_ONCE
from netdiffuse.studio.state import Studio


class QueuePanel:
    """A card that is there only while something runs or waits, or was refused.

    Args:
        studio: has the queue.
        choose: told the name of the run that is chosen.
    """

    def __init__(self, studio: Studio, choose: Callable[[str], None]) -> None:
        self.studio, self._choose = studio, choose
        self._shown: Any = None
        self._place = ui.column().classes("w-full gap-4")
        self.refresh()

    def refresh(self) -> None:
        """Draw anew what has changed."""
        studio = self.studio
        waiting = [job for job in studio.queue if job.state == "queued"]
        starting = [job for job in studio.queue if job.run in studio.beginning and job.state == "running"]
        running = [record.name for record in studio.records if record.state == "running"]
        failed = [(job, studio.failures[job.id]) for job in studio.queue if job.id in studio.failures]
        held = studio.held_by if studio.trouble is None else None
        now = (waiting, starting, failed, held, running, studio.trouble)
        if now == self._shown:
            return
        self._shown = now
        self._place.clear()
        self._place.set_visibility(any(map(bool, now)))
        if not any(now):
            return
        with self._place, card("Queue") as title:
            with title:
                ui.space()
                self._at_once()
            if studio.trouble is not None:
                ui.label(studio.trouble).classes("text-negative").props('role="alert"')
            if held is not None:
                with ui.row().classes("items-center gap-2"):
                    ui.label(f"{held} {'pauses' if held in running else 'is paused'}, and what waits waits for it.")
                    ui.button("Let the queue go on", on_click=_doing(studio.jobs.let_go)).props("flat dense")
            for name in running:
                ui.button(f"{name}: running", on_click=lambda name=name: self._choose(name)).props(
                    "flat dense align=left"
                )
            for job in starting:
                self._row(job, "starting", "Cancel", lambda job=job: studio.jobs.stop(job.run))  # type: ignore[misc]
            for job in waiting:
                self._row(job, "waits", "Remove")
            for job, why in failed:
                self._row(job, why, "Dismiss")

    def _row(self, job: Job, text: str, word: str, act: Callable[[], object] | None = None) -> None:
        with ui.row().classes("items-center gap-2 w-full no-wrap"):
            label = ui.label(f"{job.run}: {text}").classes("col")
            if word == "Dismiss":
                label.classes("text-negative").props('role="alert"')
            remove = _doing(act or (lambda: self.studio.jobs.remove(job.id)))
            describe(ui.button(word, on_click=remove).props("flat dense"), f"{word} {job.run}")

    def _at_once(self) -> None:
        def change() -> None:
            if number.value is not None and number.validate():
                self.studio.jobs.at_once = int(number.value)

        number = ui.number("At once", value=self.studio.at_once, min=1, max=MOST_AT_ONCE, precision=0)
        number.on("change", _doing(change)).props("dense outlined").style("width: 90px")


def _doing(act: Callable[[], object]) -> Callable[[], None]:
    def do() -> None:
        try:
            act()
        except (NetdiffuseError, OSError) as error:
            said(error)

    return do

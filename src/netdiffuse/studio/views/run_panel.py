"""A run as it learns: its curve against the reference and the rules, saturation, losses, speed, time left."""

from typing import Any
from urllib.parse import quote

import pandas as pd
from nicegui import run, ui

from netdiffuse.common import NetdiffuseError, RunError
from netdiffuse.experiments.evaluation import MEASURES
from netdiffuse.experiments.progress import duration
from netdiffuse.studio.chart_parts import Points
from netdiffuse.studio.charts import curve_chart, small_chart
from netdiffuse.studio.frame import card, chart, named_tile, repeat_button, said, show, state_badge, tile
from netdiffuse.studio.levels import known_levels, measured_levels
from netdiffuse.studio.newest import Newest
from netdiffuse.studio.repeat import Lines, Training
from netdiffuse.studio.runs import Progress, RunRecord, curve_of, measure_of_curve, progress_of
from netdiffuse.studio.state import Studio
from netdiffuse.studio.views.go_on import go_on

MOST_LOSSES = 3
FIRST_TILE = {
    "return_mean": ("return", "{:.1f}"),
    "optimality_percent": ("optimality", "{:.2f}%"),
    "utility_mean": ("mean utility", "{:.5g}"),
}  # measure to its name and form, the first that a run has
MEANINGS = {
    "measure": "how good the policy is: in percent of the best known decision's utility, or an episode's return",
    "gap closed": "0% is the best decision that never looks at the context, 100% the best known one",
    "saturation": "actions stuck at their bounds: where this grows, a policy has often stopped to learn",
    "timesteps": "decisions that were tried in training",
    "steps/s": "timesteps a second of training",
    "trained": "seconds of training; evaluations and savings do not count",
    "time left": "of training",
}


class RunPanel:
    """A card with one run.

    Args:
        studio: has the runs.
        name: of the run that is shown; the latest unless told.
    """

    def __init__(self, studio: Studio, name: str) -> None:
        self.studio = studio
        self.name = name
        self._levels: dict[str, dict[str, float]] = {}
        self._newest = Newest()
        self._drawn: object = None
        self._buttons: object = None
        self._evaluating = ""  # the run that was judged when it was last looked at
        with card("Run") as title:
            self._title = title
            self._name = title.default_slot.children[0]
            with title:
                self._badge = ui.row()
                ui.space()
                self._actions = ui.row().classes("items-center gap-1")
            self._trouble = ui.label().classes("text-negative").props('role="alert"')
            with ui.row().classes("w-full gap-x-4 gap-y-2"):
                # The first one says what it is once that is known: a return is no optimality.
                first, self._measure = named_tile("optimality", MEANINGS["measure"])
                others = {name: meaning for name, meaning in MEANINGS.items() if name != "measure"}
                self._tiles = {"measure": first} | {name: tile(name, meaning) for name, meaning in others.items()}
            self._bar = ui.linear_progress(0, show_value=False).props(
                'rounded size=6px aria-label="Share of the budget used"'
            )
            self._note = ui.label().classes("nd-muted").props('role="status"')
            self._curve = chart("290px")
            with ui.row().classes("w-full no-wrap gap-4"):
                self._saturation = chart("170px").classes("col", remove="w-full")
                self._losses = chart("170px").classes("col", remove="w-full")

    def choose(self, name: str) -> None:
        """Show another run."""
        self.name = name
        self._newest.ask()  # what is being read of the run before comes too late
        self._drawn = None
        ui.navigate.history.push(f"/?run={quote(name)}")

    @property
    def record(self) -> RunRecord | None:
        """The run that is shown."""
        records = self.studio.records
        if self.name:
            return self.studio.record(self.name)
        return records[0] if records else None

    async def refresh(self) -> None:
        """Show the run as it is now."""
        record = self.record
        self._name.text = self.name or (record.name if record else "Run")  # type: ignore[attr-defined]
        if record is None or record.name != self._evaluating:
            self._evaluating = ""
        self._show_buttons(record)
        if record is None or record.config is None:
            waits = any(job.run == self.name and job.state == "queued" for job in self.studio.queue)
            self._trouble.text = "" if record is None else str(record.error)
            self._trouble.set_visibility(record is not None)
            for one in self._tiles.values():
                one.text = "–"
            self._measure.text = "optimality"
            self._bar.value = 0.0
            if self.name in self.studio.beginning:
                note = "It is starting."
            elif waits:
                note = "It waits in the queue."
            elif record is not None:
                note = "Its files cannot be used."
            else:
                note = f"There is no run {self.name} here." if self.name else "Nothing is trained yet: start a run."
            self._say(note)
            self._draw(None, None, {}, note)
            return
        wanted = self._newest.ask()
        trouble, curve = "", None
        try:
            curve = await run.io_bound(curve_of, record)
        except (RunError, OSError) as error:
            trouble = str(error)
        levels = await self._find_levels(record)
        if not wanted():
            return
        self._trouble.text = trouble
        self._trouble.set_visibility(bool(trouble))
        progress = progress_of(record, curve)
        self._evaluating = record.name if progress.evaluating else ""
        self._show_buttons(record)
        self._show_numbers(record, curve, progress)
        self._bar.value = progress.fraction
        begun = curve is not None or bool(trouble) or record.state != "running"
        self._say("" if begun else "It is judged for the first time, before it learns.")
        self._draw(record, curve, levels, record.name)

    def _say(self, note: str) -> None:
        self._note.text = note
        self._note.set_visibility(bool(note))

    async def _find_levels(self, record: RunRecord) -> dict[str, float]:
        found = await run.io_bound(known_levels, record, self.studio.records)
        if found is not None:
            return found
        assert record.config is not None
        if record.name not in self._levels:
            self._levels[record.name] = {}  # meanwhile
            self._levels[record.name] = await run.io_bound(measured_levels, record.config) or {}
        return self._levels[record.name]

    def _show_numbers(self, record: RunRecord, curve: pd.DataFrame | None, progress: Progress) -> None:
        last: dict[str, Any] = {} if curve is None else {str(key): value for key, value in curve.iloc[-1].items()}
        if record.state != "running" and record.summary is not None:
            last |= record.summary["evaluation"]

        def number(name: str, form: str) -> str:
            value = last.get(name)
            return form.format(value) if isinstance(value, (int, float)) and not pd.isna(value) else "–"

        known = (name for name in FIRST_TILE if number(name, "{}") != "–")
        measure = next(known, "optimality_percent")
        word, form = FIRST_TILE[measure]
        values = {
            "measure": number(measure, form),
            "gap closed": number("gap_closed_percent", "{:.1f}%"),
            "saturation": number("saturation_percent", "{:.1f}%"),
            "timesteps": f"{progress.timesteps:,}",
            "steps/s": "–" if progress.steps_per_second is None else f"{progress.steps_per_second:,.0f}",
            "trained": duration(progress.seconds),
            "time left": "–" if progress.seconds_left is None else duration(progress.seconds_left),
        }
        self._measure.text = word
        for name, text in values.items():
            self._tiles[name].text = text

    def _draw(
        self, record: RunRecord | None, curve: pd.DataFrame | None, levels: dict[str, float], described: str
    ) -> None:
        stamp = (None if record is None else (record.name, record.changed), tuple(levels.items()), described)
        if stamp == self._drawn:
            return
        self._drawn = stamp
        if curve is None or record is None or record.config is None:
            show(self._curve, curve_chart({described: []}, measure=""), described)
            for small in (self._saturation, self._losses):
                show(small, small_chart({}, measure=""), described)
            return
        measure = measure_of_curve(curve)
        shown = levels | ({"reference": 100.0} if measure.endswith("percent") else {})
        end = record.config.budget["seconds"]
        options = curve_chart(
            {record.config.algorithm: _points(curve, measure)}, measure=MEASURES[measure], levels=shown, end=end
        )
        show(self._curve, options, f"Learning curve of {record.name}")
        second = "saturation_percent" if "saturation_percent" in curve else "crash_percent"
        word = {"saturation_percent": "saturation (%)", "crash_percent": "tasks lost (%)"}[second]
        parts = {second.split("_")[0]: _points(curve, second)} if second in curve else {}
        word = word if parts else "saturation is not measured here"
        show(self._saturation, small_chart(parts, measure=word), f"Saturation of {record.name}")
        names = [name for name in curve.columns if name.startswith(("actor/", "critic/", "train/")) and "loss" in name]
        names += [name for name in curve.columns if name.startswith("actor/") and name not in names]
        losses = {name: _points(curve, name) for name in names[:MOST_LOSSES]}
        show(self._losses, small_chart(losses, measure="losses"), f"Losses of {record.name}")

    def _show_buttons(self, record: RunRecord | None) -> None:
        state = "" if record is None else self._state(record)
        stamp = None if record is None else (record.name, state)
        if stamp == self._buttons:
            return
        self._buttons = stamp
        self._badge.clear()
        self._actions.clear()
        if record is None:
            return
        with self._badge:
            state_badge(state)
        with self._actions:
            if state == "stopping":
                again = self._button("Stop at once", "stop", lambda: self.studio.jobs.stop(record.name, at_once=True))
                again.tooltip("without the final evaluation; Resume makes up for it")
            elif state in ("running", "evaluating"):
                pause = self._button("Pause", "pause", lambda: self.studio.jobs.pause(record.name))
                pause.tooltip("stop with everything saved; what waits in the queue waits until it is resumed")
                stop = self._button("Stop", "stop", lambda: self.studio.jobs.stop(record.name))
                stop.tooltip("stop with everything saved; the queue goes on")
            elif state in ("stopped", "paused"):
                resume = self._button("Resume", "play_arrow", lambda: self.studio.jobs.resume(record.name))
                resume.tooltip("go on from where it stopped, before everything that waits")
            elif state == "finished":
                more = ui.button("Go on", icon="more_time", on_click=lambda: go_on(self.studio, record)).props(
                    "flat dense"
                )
                more.tooltip("train on, to a larger budget")
            if record.config is not None:
                ui.link("Look inside", f"/inside?run={quote(record.name)}").classes("nd-nav", remove="nicegui-link")
                repeat_button(lambda: self._lines(record))

    def _state(self, record: RunRecord) -> str:
        state = self.studio.state_of(record)
        return "evaluating" if state == "running" and self._evaluating == record.name else state

    def _button(self, text: str, icon: str, act: Any) -> ui.button:
        async def do() -> None:
            try:
                act()
                button.disable()
                await self.studio.refresh()
            except (NetdiffuseError, OSError) as error:
                said(error)

        button = ui.button(text, icon=icon, on_click=do).props("flat dense")
        return button

    def _lines(self, record: RunRecord) -> Lines:
        assert record.config is not None
        rated = (record.summary or {}).get("ratings")
        out = str(self.studio.shown / f"{record.name}-again")
        return Training.lines_of(record.config, out, None if rated is None else rated["file"])


def _points(curve: pd.DataFrame, name: str) -> Points:
    rows = curve[["seconds", name]].dropna()
    return [[float(x), float(y)] for x, y in rows.to_numpy()]

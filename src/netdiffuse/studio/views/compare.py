"""Compare: chosen runs side by side, with intervals over seeds, times to a threshold, and files to take away."""

import asyncio
from typing import Any
from urllib.parse import quote

from nicegui import run, ui

from netdiffuse.common import NetdiffuseError
from netdiffuse.studio.charts import curve_chart, range_chart
from netdiffuse.studio.comparison import Chosen, remarks
from netdiffuse.studio.frame import card, chart, page, repeat_button, said, show
from netdiffuse.studio.newest import Newest
from netdiffuse.studio.repeat import Lines, comparison_lines
from netdiffuse.studio.runs import RunRecord
from netdiffuse.studio.state import EVERY_S, Studio

FEW = 5  # seeds, below which the band is their range
FIRST = 20  # runs that are compared unless told, the latest


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/compare")
    def compare(problem: str = "") -> None:
        with page("/compare", str(studio.shown)):
            _Comparison(studio, problem)


class _Comparison:
    """The runs to choose from, and what is found of those that are chosen."""

    def __init__(self, studio: Studio, problem: str) -> None:
        self.studio, self._asked = studio, problem
        self.chosen: Chosen | None = None
        self._newest = Newest()
        self.records: list[RunRecord] = []
        with ui.row().classes("w-full gap-4 items-start"):
            with ui.column().style("flex: 1 1 300px; max-width: 420px; min-width: 0"), card("Runs"):
                self.problem = ui.select([], label="Problem", on_change=self._change).props("dense").classes("w-full")
                with ui.row().classes("gap-2"):
                    ui.button("All", on_click=lambda: self._tick(True)).props("flat dense")
                    ui.button("None", on_click=lambda: self._tick(False)).props("flat dense")
                self.boxes: dict[str, ui.checkbox] = {}
                self.list = ui.column().classes("w-full gap-0").style("max-height: 460px; overflow-y: auto")
                self.without = ui.label().classes("nd-muted")
            with ui.column().classes("gap-4").style("flex: 3 1 520px; min-width: 0"):
                with card("Learning curves") as title:
                    with title:
                        ui.space()
                        for kind in ("csv", "png", "svg"):
                            button = ui.button(
                                kind.upper(), icon="download", on_click=lambda kind=kind: self._save(kind)
                            )
                            button.props(f'flat dense aria-label="Download as {kind.upper()}"')
                        repeat_button(self._lines)
                    self.note = ui.label().classes("nd-muted")
                    self.curves = chart("330px")
                with card("Final results") as title:
                    with title:
                        ui.space()
                        self.threshold = ui.number("Threshold", on_change=self._show)
                        self.threshold.props("dense outlined stack-label").style("width: 120px")
                    self.table = ui.table(rows=[], columns=[], row_key="method").classes("w-full").props("flat dense")
                    self.finals = chart("220px")
        self._problems()
        ui.timer(EVERY_S, self._problems)

    def _change(self) -> None:
        """Begin anew with another problem, which the address keeps for a reload."""
        self.boxes = {}
        self.threshold.value = None
        if self.problem.value:
            ui.navigate.history.replace(f"/compare?problem={quote(self.problem.value)}")
        self._list()

    def _problems(self) -> None:
        """Offer the problems that have results."""
        records = [record for record in self.studio.records if record.summary is not None]
        without = len(self.studio.records) - len(records)
        self.without.text = f"{without} more have no result yet: Compare shows what has come to a stop."
        self.without.set_visibility(without > 0)
        shown = [[(one.name, one.state, one.summary) for one in some] for some in (records, self.records)]
        if shown[0] == shown[1]:
            return
        self.records = records
        names = list(dict.fromkeys(record.problem for record in records))
        before = self.problem.value
        wanted = before or self._asked
        self.problem.set_options(names, value=wanted if wanted in names else next(iter(names), None))
        if self.problem.value == before:  # else it is listed by now
            self._list()

    def _list(self) -> None:
        known = {name: box.value for name, box in self.boxes.items()}
        self.list.clear()
        self.boxes = {}
        with self.list:
            listed = [record for record in self.records if record.problem == self.problem.value]
            for name, remark in remarks(listed).items():
                ticked = known.get(name, not known and len(self.boxes) < FIRST)
                with ui.row().classes("w-full items-center gap-x-2 gap-y-0"):
                    box = ui.checkbox(name, value=ticked, on_change=self._choose)
                    self.boxes[name] = box.props("dense").classes("q-py-xs")
                    if remark:
                        ui.label(remark).classes("nd-muted")
            if not self.boxes:
                ui.label("No run has a result yet.").classes("nd-muted")
        ui.timer(0, self._choose, once=True)

    def _tick(self, value: bool) -> None:
        for box in self.boxes.values():
            box.value = value

    async def _choose(self) -> None:
        records = [record for record in self.records if (box := self.boxes.get(record.name)) and box.value]
        wanted, chosen = self._newest.ask(), None
        await asyncio.sleep(0)  # all boxes that are ticked at once ask before one of them reads
        if not wanted():
            return
        try:
            chosen = await run.io_bound(Chosen, records) if records else None
            note = "" if records else "Choose runs on the left."
        except (NetdiffuseError, OSError) as error:
            note = str(error)
        if not wanted():
            return
        self.chosen, self.note.text = chosen, note
        self._show()

    def _show(self) -> None:
        if self.chosen is None:
            self.table.rows = []
            self.threshold.props(remove="placeholder")
            show(self.curves, curve_chart({}, measure=""), "No curves")
            show(self.finals, range_chart({}, measure=""), "No results")
            return
        chosen, threshold = self.chosen, self._threshold(self.chosen)
        self.threshold.props(f'placeholder="{chosen.usual_threshold:.5g}"')
        bands = chosen.bands()
        lines = {method: mean for method, (mean, _, _) in bands.items()}
        several = {method: (low, high) for method, (_, low, high) in bands.items() if len(chosen.curves[method]) > 1}
        options = curve_chart(lines, measure=chosen.measure, levels=chosen.rules, bands=several)
        show(self.curves, options, f"Learning curves of {', '.join(lines)}")
        notes = [f"left out, {why}" for why in chosen.left_out]
        if chosen.stopped:
            notes.append(f"stopped early: {', '.join(chosen.stopped)}")
        if several:
            kinds = {"95% interval" if len(chosen.curves[method]) >= FEW else "range" for method in several}
            notes.append(f"mean over seeds, band: {' or '.join(sorted(kinds))}")
        self.note.text = "; ".join(notes)
        table = chosen.table(threshold)
        form = "{:.2f}" if chosen.in_percent else "{:.5g}"
        names = ("method", "seeds", "mean", "95% interval", "worst", f"seconds to {threshold:g}")
        self.table.columns = [
            {
                "name": name,
                "label": name,
                "field": name,
                "align": "left" if name == "method" else "right",
                "sortable": True,
            }
            for name in names
        ]
        self.table.rows = [
            dict(
                zip(
                    names,
                    (
                        line.method,
                        len(line.seeds),
                        form.format(line.mean),
                        "" if line.half_width is None else "± " + form.format(line.half_width),
                        form.format(line.worst),
                        "–" if line.seconds_to is None else f"{line.seconds_to:.1f}",
                    ),
                    strict=True,
                )
            )
            for line in table
        ]
        rows = {line.method: (line.mean, line.half_width, line.seeds) for line in table}
        self.finals.style(f"height: {110 + 34 * len(rows)}px")
        show(self.finals, range_chart(rows, measure=chosen.measure), f"Final results of {', '.join(rows)}")

    def _threshold(self, chosen: Chosen) -> float:
        """The one that was asked for, or the usual one."""
        return chosen.usual_threshold if self.threshold.value is None else float(self.threshold.value)

    async def _save(self, kind: str) -> None:
        if self.chosen is None:
            said("choose runs first")
            return
        made: Any
        if kind == "csv":
            made = self.chosen.csv(self._threshold(self.chosen)).encode()
        else:
            made = await run.io_bound(self.chosen.picture, kind)
        ui.download.content(made, f"comparison.{kind}")

    def _lines(self) -> Lines | None:
        if self.chosen is None:
            said("choose runs first")
            return None
        methods = [row["method"] for row in self.chosen.rows]
        runs = [str(self.studio.shown / name) for name in self.chosen.names]
        contexts = {run: number for run, number in zip(runs, self.chosen.contexts, strict=True) if number is not None}
        return comparison_lines(dict(zip(runs, methods, strict=True)), contexts)

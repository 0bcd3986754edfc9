"""The list of all runs."""

import time
from collections.abc import Callable
from typing import Any

from nicegui import ui

from netdiffuse.experiments.evaluation import measure_of
from netdiffuse.studio.frame import STATES, card
from netdiffuse.studio.runs import RunRecord
from netdiffuse.studio.state import Studio

_COLUMNS = [
    {"name": "name", "label": "Run", "field": "name", "align": "left", "sortable": True},
    {"name": "state", "label": "State", "field": "state", "align": "left", "sortable": True},
    {"name": "problem", "label": "Problem", "field": "problem", "align": "left", "sortable": True},
    {"name": "algorithm", "label": "Algorithm", "field": "algorithm", "align": "left", "sortable": True},
    {"name": "result", "label": "Result", "field": "result", "align": "right", "sortable": True},
    {"name": "changed", "label": "Changed", "field": "changed", "align": "left", "sortable": True},
]
_NAME = """
<q-td :props="props">
  <button class="nd-pick" @click="$parent.$emit('pick', props.row.name)">{{ props.value }}</button>
</q-td>
"""
_STATE = """
<q-td :props="props"><span class="nd-state" :style="{background: props.row.ink}">{{ props.value }}</span></q-td>
"""


class RunTable:
    """A table with a row a run; its names choose one.

    Args:
        studio: has the runs.
        choose: told the name of the run that is chosen.
    """

    def __init__(self, studio: Studio, choose: Callable[[str], None]) -> None:
        self.studio = studio
        with card("Runs") as title:
            with title:
                ui.space()
                search = ui.input("Find").props("dense outlined clearable").style("width: 200px")
            pagination = {"rowsPerPage": 10}
            self.table = ui.table(rows=[], columns=_COLUMNS, row_key="name", pagination=pagination).classes("w-full")
            self.table.props("flat dense").add_slot(
                "no-data", '<div class="nd-muted">No runs here yet: start one</div>'
            )
            self.table.add_slot("body-cell-name", _NAME)
            self.table.add_slot("body-cell-state", _STATE)
            self.table.bind_filter_from(search, "value", lambda value: value or "")
            self.table.on("pick", lambda event: choose(str(event.args)))
        self.refresh()

    def refresh(self) -> None:
        """Show the runs as they are now."""
        rows = [_row(record, self.studio.state_of(record)) for record in self.studio.records]
        if rows != self.table.rows:
            self.table.rows = rows


def _row(record: RunRecord, state: str) -> dict[str, Any]:
    result = ""
    if record.summary is not None:
        evaluation = record.summary["evaluation"]
        measure = measure_of(evaluation)
        result = f"{evaluation[measure]:.2f}%" if measure.endswith("percent") else f"{evaluation[measure]:.5g}"
    return {
        "name": record.name,
        "state": state,
        "ink": STATES[state],
        "problem": record.problem if record.config else record.error,
        "algorithm": record.config.algorithm if record.config else "",
        "result": result,
        "changed": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.changed)) if record.changed else "",
    }

"""Chosen runs as a comparison: methods over seeds, their table, their curves, and files of them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from netdiffuse.common import InvalidValueError, RunError, mean_interval
from netdiffuse.experiments import load
from netdiffuse.experiments.compare import row_of
from netdiffuse.experiments.config import short_name
from netdiffuse.experiments.evaluation import MEASURES
from netdiffuse.experiments.figures.comparison import comparison_figure
from netdiffuse.experiments.figures.curves import Curve, band, curves_figure
from netdiffuse.experiments.figures.style import styled
from netdiffuse.experiments.results import Row, measure_in, time_to
from netdiffuse.experiments.run import NOT_JUDGED
from netdiffuse.studio.pooling import Candidate, doubled, labels
from netdiffuse.studio.runs import RunRecord


@dataclass(frozen=True)
class Line:
    """A method in the table.

    Attributes:
        method: its name.
        seeds: the seeds' final values.
        mean: their mean.
        half_width: of its 95% interval; None for one seed.
        worst: the lowest of them.
        seconds_to: mean seconds to the threshold; None where a seed never came there.
    """

    method: str
    seeds: list[float]
    mean: float
    half_width: float | None
    worst: float
    seconds_to: float | None


class Chosen:
    """Runs of one problem, side by side.

    Args:
        records: the runs, at least one.

    Attributes:
        rows: as in a comparison's results.json; runs of one method that differ in more than the seed have a name
            of their own there.
        names: of the runs, one a row.
        contexts: on how many each was judged where that was asked for, else None; one a row.
        stopped: names of those that were stopped early.
        left_out: why runs are not among them, and which, a reason a text: they were not judged, are of another
            problem, or another kind of it, than the first, repeat a seed, are damaged or have not come to a stop.

    Raises:
        InvalidValueError: none that can be used.
    """

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self.rows: list[Row] = []
        out: dict[str, list[str]] = {}  # reason to runs
        broken: list[str] = []
        found: list[tuple[Candidate, Row]] = []
        for record in records:
            try:
                run = load(record.path)
                row = row_of(run)
                if run.summary is not None and run.summary.get(NOT_JUDGED):
                    out.setdefault("the final evaluation was interrupted, resume it", []).append(record.name)
                    continue
                found.append((Candidate(record.name, row["method"], run.config, run.finished, record.changed), row))
            except (RunError, OSError) as error:
                broken.append(str(error))
        first = found[0][1] if found else None
        for candidate, row in found:
            if first is not None and (why := _unlike(row, first)):
                out.setdefault(why, []).append(candidate.name)
        found = [(candidate, row) for candidate, row in found if first is not None and not _unlike(row, first)]
        candidates = [candidate for candidate, _ in found]
        newer = doubled(candidates)
        if newer:
            out["a newer run has the same seed"] = [f"{name} ({other})" for name, other in newer.items()]
        self.left_out = [f"{why}: {', '.join(names)}" for why, names in out.items()] + broken
        if not found:
            raise InvalidValueError("; ".join(self.left_out) or "choose a run or more")
        kept = [candidate for candidate in candidates if candidate.name not in newer]
        self.names = [candidate.name for candidate in kept]
        self.contexts = [candidate.config.contexts for candidate in kept]
        self.stopped = [candidate.name for candidate in kept if not candidate.finished]
        for (candidate, row), label in zip(found, labels(candidates), strict=True):
            if candidate.name not in newer:
                self.rows.append({**row, "method": label})

    @property
    def measure(self) -> str:
        """What is compared, with its unit."""
        return MEASURES[measure_in(self.rows)]

    @property
    def in_percent(self) -> bool:
        """Whether the measure is a percentage of a reference."""
        return measure_in(self.rows).endswith("percent")

    @property
    def usual_threshold(self) -> float:
        """99% of the reference; where there is none, what the best rule reaches."""
        return 99.0 if self.in_percent else max(self.rules.values(), default=0.0)

    @property
    def rules(self) -> dict[str, float]:
        """The rules' values, as the first run's evaluation has them, and the reference's."""
        found = dict(self.rows[0]["evaluation"]["baselines"]) | self.rows[0].get("curve_levels", {})
        return found | ({"reference": 100.0} if self.in_percent else {})

    @cached_property
    def curves(self) -> dict[str, list[Curve]]:
        """Method to the learning curves of its seeds."""
        found: dict[str, list[Curve]] = {}
        for row in self.rows:
            if row["curve"]:
                seconds, values = zip(*row["curve"], strict=True)
                found.setdefault(row["method"], []).append(Curve(seconds, values))
        return found

    def bands(self) -> dict[str, tuple[list[list[float]], list[list[float]], list[list[float]]]]:
        """Method to pairs of seconds and mean, lower and upper edge; see `curves_figure` for what they are."""
        found = {}
        for method, runs in self.curves.items():
            x, *edges = band(runs)
            mean, low, high = ([[float(a), float(b)] for a, b in zip(x, edge, strict=True)] for edge in edges)
            found[method] = (mean, low, high)
        return found

    def table(self, threshold: float) -> list[Line]:
        """A line a method, the best first.

        Args:
            threshold: value whose time is looked for.
        """
        lines = []
        for method in dict.fromkeys(row["method"] for row in self.rows):
            own = [row for row in self.rows if row["method"] == method]
            values = [float(row["optimality_percent"]) for row in own]
            interval = mean_interval(values)
            times = [time_to(row["curve"], threshold) for row in own]
            reached = [time for time in times if time is not None]
            seconds = sum(reached) / len(reached) if len(reached) == len(times) else None
            half = interval.half_width if len(values) > 1 else None
            lines.append(Line(method, values, interval.mean, half, min(values), seconds))
        return sorted(lines, key=lambda line: -line.mean)

    def csv(self, threshold: float) -> str:
        """The table, a row a run: method, seed, final value, seconds, timesteps, seconds to the threshold."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        measure = measure_in(self.rows)
        writer.writerow(["problem", "method", "seed", measure, "seconds", "timesteps", f"seconds_to_{threshold:g}"])
        for row in self.rows:
            values = [row[name] for name in ("problem", "method", "seed", "optimality_percent", "seconds", "timesteps")]
            time = time_to(row["curve"], threshold)
            writer.writerow([*values, "" if time is None else time])
        return text.getvalue()

    def picture(self, kind: str) -> bytes:
        """The curves (or, where there are none, the final values) as a file: "png" or "svg"."""
        file = io.BytesIO()
        with styled():
            self._figure().savefig(file, format=kind)
        return file.getvalue()

    def _figure(self) -> Figure:
        title = short_name(self.rows[0]["problem"])
        if not self.curves:
            values = {line.method: line.seeds for line in self.table(0.0)}
            return comparison_figure(values, title=title, measure=self.measure)
        levels = {name: value for name, value in self.rules.items() if name != "reference"}
        reference = 100.0 if self.in_percent else None
        return curves_figure(self.curves, title=title, measure=self.measure, reference=reference, levels=levels)


def remarks(records: Sequence[RunRecord]) -> dict[str, str]:
    """Name of each run to what sets it apart among runs of a problem: arguments that differ, and a state not finished.

    Args:
        records: the runs; none of them damaged.
    """
    given = {record.name: record.config.problem_args for record in records if record.config is not None}
    found = {}
    for record in records:
        own = given[record.name]
        apart = [name for name in sorted(own) if any(other.get(name) != own[name] for other in given.values())]
        words = [f"{name}={own[name]}" for name in apart]
        found[record.name] = ", ".join(words if record.state == "finished" else [*words, record.state])
    return found


def _unlike(row: Row, first: Row) -> str:
    """Why a run is not to be compared with the first, in words; empty where it is."""
    if row["problem"] != first["problem"]:
        return f"another problem ({row['problem']})"
    own, others = row["problem_args"], first["problem_args"]
    apart = [f"{name}={value}" for name, value in sorted(own.items()) if name not in others or others[name] != value]
    apart += [f"{name} as usual" for name in sorted(others.keys() - own.keys())]
    if apart:
        return f"other arguments ({', '.join(apart)})"
    measure = MEASURES[measure_in([row])]
    return "" if measure == MEASURES[measure_in([first])] else f"another measure ({measure})"

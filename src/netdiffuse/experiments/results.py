"""What a comparison found: results.json as a table and as figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netdiffuse.common import InvalidValueError, RunError, mean_interval
from netdiffuse.common.files import check_entries, read_json
from netdiffuse.experiments import methods as known
from netdiffuse.experiments.config import short_name
from netdiffuse.experiments.evaluation import MEASURES
from netdiffuse.experiments.figures.comparison import comparison_figure
from netdiffuse.experiments.figures.curves import Curve, curves_figure
from netdiffuse.experiments.figures.sharing import compared_qoe
from netdiffuse.experiments.figures.style import save
from netdiffuse.experiments.run import FIGURES

RESULTS = "results.json"
TARGETS = (95.0, 99.0, 99.9)  # percent of the reference
Row = dict[str, Any]
_ROW_TYPES: dict[str, type | tuple[type, ...]] = {
    "problem": str,
    "method": str,
    "seed": int,
    "optimality_percent": (int, float),
    "curve": list,
}


@dataclass(frozen=True)
class MethodSummary:
    """A method over its seeds.

    Attributes:
        method: its name.
        mean: mean of the final value of the rows' measure.
        half_width: of its 95% interval; None for a single seed.
        worst: the worst seed's.
        times: mean seconds to each of `TARGETS`; None where a seed never came there, or the measure is no
            percentage.
    """

    method: str
    mean: float
    half_width: float | None
    worst: float
    times: list[float | None]


def summarise(rows: Sequence[Row]) -> list[MethodSummary]:
    """Each method's mean, interval, worst and times to the targets, the best first."""
    summaries = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        values = [row["optimality_percent"] for row in own]
        mean, half = mean_interval(values)
        times = []
        for target in TARGETS:
            reached = [time_to(row["curve"], target) if _in_percent(measure_in(rows)) else None for row in own]
            found = [t for t in reached if t is not None]
            times.append(float(np.mean(found)) if len(found) == len(reached) else None)
        summaries.append(MethodSummary(method, mean, None if np.isnan(half) else half, min(values), times))
    return sorted(summaries, key=lambda s: -s.mean)


def measure_in(rows: Sequence[Row]) -> str:
    """The measure that stands in `optimality_percent` and `curve` of a comparison's rows."""
    return str(rows[0].get("measure", "optimality_percent"))


def _in_percent(measure: str) -> bool:
    return measure.endswith("percent")


def time_to(curve: Sequence[Sequence[float]], target: float) -> float | None:
    """Seconds until a curve of [seconds, value] first reaches the target, or None."""
    return next((float(seconds) for seconds, value in curve if value >= target), None)


def read_rows(path: Path) -> list[Row]:
    """The rows of a comparison's results.json, one or more.

    Args:
        path: the comparison's folder.

    Raises:
        RunError: results.json is missing or damaged.
    """
    try:
        rows = read_json(path / RESULTS)
        if not isinstance(rows, list) or not rows:
            raise InvalidValueError("it must hold a list of rows")
        for row in rows:
            check_entries(row, _ROW_TYPES)
            if measure_in([row]) not in MEASURES:
                raise InvalidValueError(f"its measure {row['measure']!r} is none of {', '.join(MEASURES)}")
            if not all(_is_point(point) for point in row["curve"]):
                raise InvalidValueError("a curve must hold pairs of seconds and value")
    except (OSError, ValueError) as error:
        raise RunError(f"{path / RESULTS} is missing or damaged: {error}") from error
    return rows


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(number, (int, float)) for number in value)


def plot_comparison(path: Path) -> list[Path]:
    """Draw a comparison's figures from its results.json, and return their paths.

    Raises:
        RunError: results.json is missing or damaged.
    """
    rows = read_rows(path)
    problem = rows[0]["problem"]
    measure = measure_in(rows)
    label = MEASURES[measure]
    curves: dict[str, list[Curve]] = {}
    rules: dict[str, float] = {}
    of_curves: dict[str, float] = {}  # on the curves' own episodes, which are not those of the final values
    for row in rows:
        if known.is_rule(row["method"]):
            rules[row["method"]] = row["optimality_percent"]
            continue
        of_curves |= row.get("curve_levels", {})
        if row["curve"]:
            curves.setdefault(row["method"], []).append(
                Curve([point[0] for point in row["curve"]], [point[1] for point in row["curve"]])
            )
    folder = path / FIGURES
    figures = []
    if curves:
        reference = 100.0 if _in_percent(measure) else None
        title = short_name(problem)
        # A rule that is not played on the curves' episodes could stand on the wrong side of them.
        levels = {
            rule: of_curves.get(rule, level) for rule, level in rules.items() if rule in of_curves or not of_curves
        }
        figure = curves_figure(curves, title=title, measure=label, reference=reference, levels=levels)
        figures.append(save(figure, folder / "learning_curves.png"))
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["method"], []).append(row["optimality_percent"])
    final = comparison_figure(values, title=short_name(problem), measure=label)
    figures.append(save(final, folder / "comparison.png"))
    evaluations: dict[str, list[Row]] = {}
    for row in rows:
        evaluations.setdefault(row["method"], []).append(row.get("evaluation", {}))
    personas = compared_qoe(evaluations)
    return figures if personas is None else [*figures, save(personas, folder / "qoe.png")]

"""Charts as options of ECharts. Words take the page's colour (see `frame.CSS`), so they fit the dark and the light."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from netdiffuse.experiments.figures.style import COLOURS, CONTEXT, POLICY, REFERENCE

Options = dict[str, Any]
Points = Sequence[Sequence[float]]
GREY = "#8A8A8A"  # lines of the axes and of the rules, on the light and on the dark
LARGE = 60  # entries of a decision, beyond which bars touch each other
_LINES = ("solid", "dashed", "dotted")
_TEXT = {"color": "inherit", "fontSize": 12}
_INNER = {**_TEXT, "hideOverlap": True, "showMinLabel": False, "showMaxLabel": False}


def curve_chart(
    lines: Mapping[str, Points],
    *,
    measure: str,
    levels: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[Points, Points]] | None = None,
    end: float | None = None,
) -> Options:
    """Learning curves over the seconds of training.

    Args:
        lines: name to pairs of seconds and value.
        measure: label of the axis.
        levels: name to a value that is drawn as a line across, such as the reference's and the rules'.
        bands: name of a line to the lower and upper edge around it, pairs of seconds and value.
        end: of the axis, in seconds; where the lines end unless told.
    """
    series: list[Options] = []
    for number, (name, points) in enumerate(lines.items()):
        ink = COLOURS[number % len(COLOURS)]
        if bands and name in bands:
            series += _band(name, *bands[name], ink)
        line = {"width": 2, "type": _LINES[number // len(COLOURS) % len(_LINES)]}
        series.append(_series(name, "line", _pairs(points), ink, symbol="none", lineStyle=line))
    values = [point[1] for points in lines.values() for point in points]
    low, high = _range(values, list((levels or {}).values()))
    shown = {name: value for name, value in (levels or {}).items() if low <= value <= high}
    if series:
        series[-1]["markLine"] = _levels(shown, high - low)
    return _base(
        series,
        legend=list(lines) if len(lines) > 1 else [],
        x=_axis("training time (s)", below=True, min=0, max=end),
        y=_axis(measure, min=low, max=high),
        right=_width_of(shown),
    )


def small_chart(lines: Mapping[str, Points], *, measure: str) -> Options:
    """Lines over the seconds of training, each scaled to itself, such as losses."""
    series = [
        _series(name, "line", _pairs(points), COLOURS[i % len(COLOURS)], symbol="none", lineStyle={"width": 1.5})
        for i, (name, points) in enumerate(lines.items())
    ]
    legend = list(lines) if len(lines) > 1 else []
    return _base(series, legend=legend, x=_axis("training time (s)", below=True, min=0), y=_axis(measure, scale=True))


def bars_chart(
    names: Sequence[str],
    bars: Mapping[str, Sequence[float]],
    *,
    measure: str,
    marks: Mapping[str, Sequence[float]] | None = None,
    stack: bool = False,
    top: float | None = None,
    bottom: float = 0.0,
    level: tuple[str, float] | None = None,
) -> Options:
    """One group of bars an entry of a decision.

    Args:
        names: of the entries.
        bars: name to a value an entry.
        measure: label of the axis.
        marks: name to a value an entry, drawn as a dash over the bars.
        stack: bars stand on one another, instead of beside.
        top: end of the axis.
        bottom: its start.
        level: name and value of a line across.
    """
    inks = {"context": CONTEXT, "noise": CONTEXT, "reference": REFERENCE}
    series = []
    for name, values in bars.items():
        ink = next((ink for word, ink in inks.items() if word in name), POLICY)
        one = _series(name, "bar", [_number(v) for v in values], ink)
        one |= {"stack": "all" if stack else None, "barCategoryGap": "0%" if len(names) > LARGE else "30%"}
        series.append(one)
    for name, values in (marks or {}).items():
        one = _series(name, "scatter", [_number(v) for v in values], REFERENCE)
        series.append(one | {"symbol": "rect", "symbolSize": [max(4, 360 // len(names)), 4], "z": 5})
    if level is not None and series:
        series[0]["markLine"] = _levels(dict([level]), 1.0, REFERENCE)
    y = _axis(measure, min=bottom, max=top)
    return _base(
        series,
        legend=[one["name"] for one in series],
        x=_axis("", type="category", data=list(names)),
        y=y,
        right=_width_of(dict([level])) if level else 16,
    )


def range_chart(rows: Mapping[str, tuple[float, float | None, Sequence[float]]], *, measure: str) -> Options:
    """Final results: a mean with its interval, and the seeds, a row a method.

    Args:
        rows: method to mean, half width of the interval (or None) and the seeds' values.
        measure: label of the axis.
    """
    names = list(rows)[::-1]
    seeds = [[value, names.index(name)] for name in names for value in rows[name][2]]
    means = [[rows[name][0], index] for index, name in enumerate(names)]
    intervals = [
        {
            "coords": [[rows[name][0] - half, index], [rows[name][0] + half, index]],
            "lineStyle": {"color": POLICY, "width": 3},
        }
        for index, name in enumerate(names)
        if (half := rows[name][1]) is not None
    ]
    whole = {"type": "lines", "coordinateSystem": "cartesian2d", "polyline": True, "silent": True, "data": intervals}
    series = [
        _series("seeds", "scatter", seeds, GREY) | {"symbolSize": 8},
        _series("mean", "scatter", means, POLICY) | {"symbol": "diamond", "symbolSize": 14, "z": 4},
        _series("95% interval", "lines", [], POLICY) | whole,
    ]
    ends = [
        value for mean, half, values in rows.values() for value in (*values, mean - (half or 0), mean + (half or 0))
    ]
    low, high = _range(ends, [])
    return _base(
        series,
        legend=["mean", "seeds"],
        x=_axis(measure, below=True, min=low, max=high) | {"axisLabel": _INNER},
        y=_axis("", type="category", data=names, axisLabel=_TEXT),
    )


def radar_chart(corners: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Options:
    """Numbers in [0, 1], a corner each, as polygons.

    Args:
        corners: what each number is.
        rows: name to its numbers.
    """
    data = [
        {
            "name": name,
            "value": [_number(value) for value in values],
            "itemStyle": {"color": COLOURS[i % len(COLOURS)]},
            "lineStyle": {"color": COLOURS[i % len(COLOURS)], "width": 2},
            "areaStyle": {"color": COLOURS[i % len(COLOURS)], "opacity": 0.08},
        }
        for i, (name, values) in enumerate(rows.items())
    ]
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "legend": {"data": list(rows), "top": 0, "right": 8, "type": "scroll", "textStyle": _TEXT},
        "radar": {
            "indicator": [{"name": corner, "min": 0, "max": 1} for corner in corners],
            "center": ["50%", "56%"],
            "radius": "64%",
            "axisName": _TEXT,
            "splitNumber": 4,
            "splitArea": {"show": False},
            "axisLine": {"lineStyle": {"color": GREY, "opacity": 0.5}},
            "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.35}},
        },
        "series": [{"type": "radar", "data": data, "symbolSize": 5}],
    }


def _base(series: list[Options], *, legend: Sequence[str], x: Options, y: Options, right: int = 24) -> Options:
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 8, "right": right, "top": 44 if legend else 34, "bottom": 30, "containLabel": True},
        "legend": {
            "data": list(legend),
            "top": 0,
            "right": 8,
            "type": "scroll",
            "textStyle": _TEXT,
            "show": bool(legend),
        },
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            ":valueFormatter": "value => value == null ? '' : (+value).toPrecision(5)",
        },
        "xAxis": x,
        "yAxis": y,
        "series": series,
    }


def _axis(name: str, below: bool = False, **more: Any) -> Options:
    """An axis with its label at its end, or below it; bounds that are no round numbers are not written."""
    label = {**_TEXT, "hideOverlap": True}
    for bound, shown in (("min", "showMinLabel"), ("max", "showMaxLabel")):
        if more.get(bound) and not below:
            label[shown] = False
    axis: Options = {
        "type": "value",
        "name": name,
        "nameLocation": "middle" if below else "end",
        "nameGap": 26 if below else 14,
        "nameTextStyle": {**_TEXT, "align": "center" if below else "left"},
        "axisLabel": label,
        "axisLine": {"lineStyle": {"color": GREY}},
        "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.25}},
    }
    return axis | {key: value for key, value in more.items() if value is not None}


def _series(name: str, kind: str, data: list[Any], ink: str, **more: Any) -> Options:
    return {"name": name, "type": kind, "data": data, "color": ink, "emphasis": {"disabled": True}, **more}


def _band(name: str, low: Points, high: Points, ink: str) -> list[Options]:
    """Two lines that are not seen, the second as high as the band and filled."""
    edge = {"symbol": "none", "lineStyle": {"opacity": 0}, "silent": True, "tooltip": {"show": False}}
    heights = [[x, top - bottom] for (x, bottom), (_, top) in zip(low, high, strict=True)]
    under = _series(f"{name} (from)", "line", _pairs(low), ink, stack=name, stackStrategy="all", **edge)
    over = _series(f"{name} (to)", "line", _pairs(heights), ink, stack=name, stackStrategy="all", **edge)
    return [under, over | {"areaStyle": {"color": ink, "opacity": 0.18}}]


def _levels(levels: Mapping[str, float], span: float, ink: str = GREY) -> Options:
    """Lines across, with their names at the right; those too close to tell apart share one name."""
    groups: list[tuple[float, list[str]]] = []
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        if groups and value - groups[-1][0] < 0.06 * span:
            groups[-1][1].append(name)
        else:
            groups.append((value, [name]))
    data = [
        {"yAxis": value, "name": ", ".join(names), "label": {"formatter": "{b}", **_TEXT, "position": "end"}}
        for value, names in groups
    ]
    line = {"color": ink, "type": "dashed", "width": 1.5}
    return {"silent": True, "symbol": "none", "lineStyle": line, "data": data, "animation": False}


def _width_of(levels: Mapping[str, float]) -> int:
    return 24 + 7 * min(max((len(name) for name in levels), default=0), 24)


def _range(values: Sequence[float], levels: Sequence[float]) -> tuple[float, float]:
    """The part of the axis that says something: from the best rule, or most of the curve, to the top."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 100.0
    ordered = sorted(known)
    # The reference is above every rule: the rules that matter are those just below the curve's end.
    below = [level for level in levels if level < ordered[-1]]
    low = min([ordered[len(ordered) // 10], *([max(below)] if below else [])])
    high = max([ordered[-1], *levels])
    margin = 0.06 * ((high - low) or abs(high) or 1.0)
    digits = max(0, 2 - math.floor(math.log10(high - low + 2 * margin)))
    return round(low - 2 * margin, digits), round(high + margin, digits)


def _pairs(points: Points) -> list[list[float | None]]:
    return [[round(float(x), 6), _number(y)] for x, y in points]


def _number(value: float) -> float | None:
    """As JSON can hold it."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

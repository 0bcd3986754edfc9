"""Charts as options of ECharts. Words take the page's colour (see `frame.CSS`), so they fit the dark and the light."""

from collections.abc import Mapping, Sequence

from netdiffuse.experiments.figures.style import COLOURS, CONTEXT, POLICY, REFERENCE
from netdiffuse.studio.chart_parts import (
    GREY,
    TEXT,
    Options,
    Points,
    axis,
    base,
    edges_of,
    levels_across,
    number_of,
    pairs,
    room_for,
    series_of,
    telling_range,
)

LARGE = 60  # entries of a decision, beyond which bars touch each other
PHONE = 450  # pixels; on a chart that is narrower, the names of a radar's corners would be cut
_RADAR = {"radius": "64%", "axisName": TEXT}
_SMALL_RADAR = {"radius": "42%", "axisName": {**TEXT, "fontSize": 11}}
_LINES = ("solid", "dashed", "dotted")
_DASH = {
    "barWidth": "80%",  # of an entry's room
    "symbol": "rect",
    "symbolSize": ["100%", 4],
    "symbolPosition": "end",
    "symbolOffset": [0, "-50%"],
    "z": 5,
}
_INNER = {**TEXT, "hideOverlap": True, "showMinLabel": False, "showMaxLabel": False}


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
            series += edges_of(name, *bands[name], ink)
        line = {"width": 2, "type": _LINES[number // len(COLOURS) % len(_LINES)]}
        series.append(series_of(name, "line", pairs(points), ink, symbol="none", lineStyle=line))
    values = [point[1] for points in lines.values() for point in points]
    low, high = telling_range(values, list((levels or {}).values()))
    shown = {name: value for name, value in (levels or {}).items() if low <= value <= high}
    if series:
        series[-1]["markLine"] = levels_across(shown, high - low)
    return base(
        series,
        legend=list(lines) if len(lines) > 1 else [],
        x=axis("training time (s)", below=True, min=0, max=end),
        y=axis(measure, min=low, max=high),
        right=room_for(shown),
    )


def small_chart(lines: Mapping[str, Points], *, measure: str) -> Options:
    """Lines over the seconds of training, each scaled to itself, such as losses."""
    series = [
        series_of(name, "line", pairs(points), COLOURS[i % len(COLOURS)], symbol="none", lineStyle={"width": 1.5})
        for i, (name, points) in enumerate(lines.items())
    ]
    legend = list(lines) if len(lines) > 1 else []
    return base(series, legend=legend, x=axis("training time (s)", below=True, min=0), y=axis(measure, scale=True))


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
        one = series_of(name, "bar", [number_of(v) for v in values], ink)
        one |= {"stack": "all" if stack else None, "barCategoryGap": "0%" if len(names) > LARGE else "30%"}
        series.append(one)
    for name, values in (marks or {}).items():
        one = series_of(name, "pictorialBar", [number_of(v) for v in values], REFERENCE)  # as wide as the chart allows
        series.append(one | _DASH)
    if level is not None and series:
        series[0]["markLine"] = levels_across(dict([level]), 1.0, REFERENCE)
    y = axis(measure, min=bottom, max=top)
    return base(
        series,
        legend=[one["name"] for one in series],
        x=axis("", type="category", data=list(names)),
        y=y,
        right=room_for(dict([level])) if level else 16,
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
        series_of("seeds", "scatter", seeds, GREY) | {"symbolSize": 8},
        series_of("mean", "scatter", means, POLICY) | {"symbol": "diamond", "symbolSize": 14, "z": 4},
        series_of("95% interval", "lines", [], POLICY) | whole,
    ]
    ends = [
        value for mean, half, values in rows.values() for value in (*values, mean - (half or 0), mean + (half or 0))
    ]
    low, high = telling_range(ends, [])
    return base(
        series,
        legend=["mean", "seeds"],
        x=axis(measure, below=True, min=low, max=high) | {"axisLabel": _INNER},
        y=axis("", type="category", data=names, axisLabel=TEXT),
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
            "value": [number_of(value) for value in values],
            "itemStyle": {"color": COLOURS[i % len(COLOURS)]},
            "lineStyle": {"color": COLOURS[i % len(COLOURS)], "width": 2},
            "areaStyle": {"color": COLOURS[i % len(COLOURS)], "opacity": 0.08},
        }
        for i, (name, values) in enumerate(rows.items())
    ]
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "legend": {"data": list(rows), "top": 0, "right": 8, "type": "scroll", "textStyle": TEXT},
        "radar": {
            "indicator": [{"name": corner, "min": 0, "max": 1} for corner in corners],
            "center": ["50%", "56%"],
            **_RADAR,
            "splitNumber": 4,
            "splitArea": {"show": False},
            "axisLine": {"lineStyle": {"color": GREY, "opacity": 0.5}},
            "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.35}},
        },
        "series": [{"type": "radar", "data": data, "symbolSize": 5}],
        # The last one holds where none fits: without it, a chart that was drawn narrow stays small.
        "media": [
            {"query": {"maxWidth": PHONE}, "option": {"radar": _SMALL_RADAR}},
            {"option": {"radar": _RADAR}},
        ],
    }

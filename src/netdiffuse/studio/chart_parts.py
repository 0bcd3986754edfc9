"""What charts are put together from: axes, series, levels across and the range that says something."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Options = dict[str, Any]
Points = Sequence[Sequence[float]]
GREY = "#8A8A8A"  # lines of the axes and of the rules, on the light and on the dark
TEXT = {"color": "inherit", "fontSize": 12}


def base(series: list[Options], *, legend: Sequence[str], x: Options, y: Options, right: int = 24) -> Options:
    """A chart of two axes, which holds these series; `right` is the room beside it, in pixels."""
    if not any(one["data"] for one in series):  # no numbers stand between the axis and its name, which would be cut
        x = {**x, "name": ""}
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 8, "right": right, "top": 44 if legend else 34, "bottom": 30, "containLabel": True},
        "legend": {
            "data": list(legend),
            "top": 0,
            "right": 8,
            "type": "scroll",
            "textStyle": TEXT,
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


def axis(name: str, below: bool = False, **more: Any) -> Options:
    """An axis with its label at its end, or below it; bounds that are no round numbers are not written."""
    label = {**TEXT, "hideOverlap": True}
    for bound, shown in (("min", "showMinLabel"), ("max", "showMaxLabel")):
        if more.get(bound) and not below and more[bound] not in range(1, 11):
            label[shown] = False
    made: Options = {
        "type": "value",
        "name": name,
        "nameLocation": "middle" if below else "end",
        "nameGap": 26 if below else 14,
        "nameTextStyle": {**TEXT, "align": "center" if below else "left"},
        "axisLabel": label,
        "axisLine": {"lineStyle": {"color": GREY}},
        "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.25}},
    }
    return made | {key: value for key, value in more.items() if value is not None}


def series_of(name: str, kind: str, data: list[Any], ink: str, **more: Any) -> Options:
    """One series in its colour."""
    return {"name": name, "type": kind, "data": data, "color": ink, "emphasis": {"disabled": True}, **more}


def edges_of(name: str, low: Points, high: Points, ink: str) -> list[Options]:
    """Two lines that are not seen, the second as high as the band and filled."""
    edge = {"symbol": "none", "lineStyle": {"opacity": 0}, "silent": True, "tooltip": {"show": False}}
    heights = [[x, top - bottom] for (x, bottom), (_, top) in zip(low, high, strict=True)]
    under = series_of(f"{name} (from)", "line", pairs(low), ink, stack=name, stackStrategy="all", **edge)
    over = series_of(f"{name} (to)", "line", pairs(heights), ink, stack=name, stackStrategy="all", **edge)
    return [under, over | {"areaStyle": {"color": ink, "opacity": 0.18}}]


def levels_across(levels: Mapping[str, float], span: float, ink: str = GREY) -> Options:
    """Lines across, with their names at the right; those too close to tell apart share one name."""
    groups: list[tuple[float, list[str]]] = []
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        if groups and value - groups[-1][0] < 0.06 * span:
            groups[-1][1].append(name)
        else:
            groups.append((value, [name]))
    data = [
        {"yAxis": value, "name": ", ".join(names), "label": {"formatter": "{b}", **TEXT, "position": "end"}}
        for value, names in groups
    ]
    line = {"color": ink, "type": "dashed", "width": 1.5}
    return {"silent": True, "symbol": "none", "lineStyle": line, "data": data, "animation": False}


def room_for(levels: Mapping[str, float]) -> int:
    """Pixels beside a chart in which the names of its levels fit."""
    return 24 + 7 * min(max((len(name) for name in levels), default=0), 24)


def telling_range(values: Sequence[float], levels: Sequence[float]) -> tuple[float, float]:
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


def pairs(points: Points) -> list[list[float | None]]:
    """Points as JSON can hold them."""
    return [[round(float(x), 6), number_of(y)] for x, y in points]


def number_of(value: float) -> float | None:
    """As JSON can hold it."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

import json
import math

import pytest

from netdiffuse.studio.charts import bars_chart, curve_chart, range_chart, small_chart


def test_charts_are_json_whatever_the_numbers():
    lines = {"a": [[0, math.nan], [1, 2.0], [2, math.inf]], "b": [[0, 1.0]]}
    bands = {"a": ([[0, 0.0], [1, 1.0]], [[0, 1.0], [1, 3.0]])}
    for options in (
        curve_chart(lines, measure="m", levels={"equal": 1.0}, bands=bands, end=3.0),
        curve_chart({}, measure=""),
        small_chart(lines, measure="m"),
        bars_chart(["x"], {"policy": [math.nan]}, measure="m", level=("water level", 1.0)),
        range_chart({"a": (1.0, 0.5, [0.5, 1.5]), "b": (2.0, None, [2.0])}, measure="m"),
        range_chart({}, measure=""),
    ):
        json.dumps(options, allow_nan=False)


def test_a_curve_shows_the_rules_near_it_and_the_reference():
    options = curve_chart(
        {"gddpg": [[0, 50.0], *([i, 99.0] for i in range(1, 20))]},
        measure="optimality",
        levels={"random": 20.0, "equal": 84.0, "blind": 84.1, "reference": 100.0},
    )
    names = [mark["name"] for mark in options["series"][-1]["markLine"]["data"]]
    assert names == ["equal, blind", "reference"]
    assert options["yAxis"]["min"] < 84 < 100 < options["yAxis"]["max"]


def test_marks_are_as_wide_as_their_bars_allow():
    for names in (["a", "b"], [str(i) for i in range(100)]):
        marks = {"one": [1.0] * len(names)}
        options = bars_chart(names, {"mean": [2.0] * len(names)}, marks=marks, measure="m")
        (mark,) = (one for one in options["series"] if one["name"] == "one")
        assert (mark["type"], mark["barWidth"], mark["symbolSize"][0]) == ("pictorialBar", "80%", "100%")


def test_a_band_is_as_high_as_it_should_be():
    options = curve_chart({"a": [[0, 2.0]]}, measure="m", bands={"a": ([[0, 1.0]], [[0, 4.0]])})
    under, over, _ = options["series"]
    assert under["data"] == [[0.0, 1.0]]
    assert over["data"] == [[0.0, 3.0]]
    assert under["stack"] == over["stack"]


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [-5.0, 3.0]])
def test_every_result_lies_within_the_axis(values):
    mean = sum(values) / len(values)
    options = range_chart({"a": (mean, 2.0, values)}, measure="m")
    assert options["xAxis"]["min"] < min(*values, mean - 2) <= max(*values, mean + 2) < options["xAxis"]["max"]

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.users import PRESETS, Persona, Preferences, describe, draw_personas, persona_of, persona_table, preset
from netdiffuse.users.persona import COLUMNS, LONGEST_S, TRAITS

unit = st.floats(0, 1)


@st.composite
def personas(draw, name="somebody") -> Persona:
    unnoticed = draw(st.floats(0.01, 10))
    return Persona(
        name,
        *(draw(unit) for _ in TRAITS),
        Preferences(
            draw(unit),
            draw(unit),
            draw(unit),
            draw(unit),
            unnoticed,
            min(unnoticed * draw(st.floats(1.1, 1000)), LONGEST_S),
            draw(st.floats(0.001, 1)),
        ),
    )


@settings(max_examples=50, deadline=None)
@given(personas())
def test_a_persona_survives_json(persona):
    assert Persona.from_dict(json.loads(json.dumps(persona.to_dict()))) == persona


@settings(max_examples=50, deadline=None)
@given(personas())
def test_a_persona_survives_its_numbers(persona):
    assert persona_of("somebody", persona_table([persona])[0].tolist()) == persona


def test_numbers_that_are_no_personas():
    numbers = persona_table([PRESETS["average"]])[0].tolist()
    with pytest.raises(InvalidValueError, match=r"a persona has 12 numbers \(openness, .*\), got 11 of them"):
        persona_of("somebody", numbers[:-1])
    with pytest.raises(InvalidValueError, match=r"quality_importance must be in \[0, 1\], got 1e\+38"):
        persona_of("somebody", [1e38] * 12)


def test_what_is_left_out_is_average():
    assert Persona.from_dict({"name": "average"}) == PRESETS["average"]
    given = Persona.from_dict({"name": "a", "neuroticism": 1, "preferences": {"patience_s": 5.0}})
    assert (given.neuroticism, given.openness, given.preferences.patience_s) == (1, 0.5, 5.0)


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({}, InvalidValueError, "needs a 'name'"),
        ({"name": " "}, InvalidValueError, "needs a name"),
        ({"name": "a", "neurotisism": 0.5}, UnknownNameError, "Did you mean 'neuroticism'"),
        ({"name": "a", "openness": 1.5}, InvalidValueError, r"openness must be in \[0, 1\], got 1.5"),
        ({"name": "a", "openness": "high"}, InvalidValueError, "openness must be a number"),
        ({"name": "a", "openness": float("nan")}, InvalidValueError, "finite"),
        ({"name": "a", "preferences": 3}, InvalidValueError, "must be an object"),
        ({"name": "a", "preferences": {"patience": 3}}, UnknownNameError, "Did you mean 'patience_s'"),
        ({"name": "a", "preferences": {"patience_s": 0.5}}, InvalidValueError, "above unnoticed_s"),
        ({"name": "a", "preferences": {"patience_s": 1e38}}, InvalidValueError, "at most 3600 s"),
        ({"name": "a", "preferences": {"energy_tolerance": 2}}, InvalidValueError, r"in \(0, 1\]"),
        ([], InvalidValueError, "must be an object"),
    ],
)
def test_what_is_no_persona(said, error, message):
    with pytest.raises(error, match=message):
        Persona.from_dict(said)


def test_presets_go_by_their_names():
    assert all(preset(name).name == name for name in PRESETS)
    with pytest.raises(UnknownNameError, match="Did you mean 'impatient'"):
        preset("impatience")


def test_draws_repeat_and_spread_as_documented():
    drawn = draw_personas(4000, 3)
    assert drawn == draw_personas(4000, 3)
    assert drawn[:5] != draw_personas(5, 4)
    assert len({persona.name for persona in drawn}) == 4000
    table = persona_table(drawn)
    assert table.shape == (4000, len(COLUMNS))
    # Beta(4, 4) has mean 1/2 and variance 4 * 4 / (8^2 * 9) = 1/36.
    np.testing.assert_allclose(table[:, :5].mean(0), 0.5, atol=0.012)
    np.testing.assert_allclose(table[:, :5].std(0), 1 / 6, atol=0.006)
    patience = np.log(table[:, COLUMNS.index("patience_s")] / 20)
    assert patience.mean() == pytest.approx(0, abs=0.03)
    assert patience.std() == pytest.approx(0.4, abs=0.02)


def test_draws_follow_a_base_and_advance_a_generator():
    base = Persona("quick", preferences=Preferences(unnoticed_s=0.01, patience_s=0.2))
    random = np.random.default_rng(0)
    first, second = draw_personas(500, random, base), draw_personas(500, random, base)
    assert first != second
    ratios = [p.preferences.patience_s / p.preferences.unnoticed_s for p in first]
    np.testing.assert_allclose(ratios, 20)
    assert np.median([p.preferences.patience_s for p in first]) == pytest.approx(0.2, rel=0.1)


def test_draws_and_tables_of_nobody():
    with pytest.raises(InvalidValueError, match="n must be"):
        draw_personas(0, 0)
    with pytest.raises(InvalidValueError, match="a persona or more"):
        persona_table([])


def test_a_description_tells_traits_and_wants_but_no_name():
    said = describe(PRESETS["impatient"])
    assert "You are very anxious" in said
    assert "You are very careless" in said
    assert "after 8 seconds you have lost all patience" in said
    assert "impatient" not in said
    assert len({describe(persona) for persona in PRESETS.values()}) == len(PRESETS)

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError
from netdiffuse.users import (
    PRESETS,
    Experience,
    ParametricRater,
    Persona,
    Preferences,
    Sensitivities,
    draw_personas,
    persona_table,
)
from netdiffuse.users.parametric import SURELY
from netdiffuse.users.responses import delay_response, energy_response, quality_response

from .test_persona import personas

QUALITIES = st.floats(0, 1)
DELAYS = st.floats(0, 1e4)
ROUNDING = 1e-12
PROPERTY = settings(max_examples=200, deadline=None)


def mean(persona: Persona, quality: float, delay_s: float, energy_share: float) -> float:
    return float(ParametricRater().mean(Sensitivities.of([persona]), quality, delay_s, energy_share)[0])


@PROPERTY
@given(personas(), QUALITIES, QUALITIES, DELAYS, QUALITIES)
def test_better_quality_never_lowers_the_mean(persona, a, b, delay, energy):
    worse, better = sorted((a, b))
    assert mean(persona, worse, delay, energy) <= mean(persona, better, delay, energy) + ROUNDING


@PROPERTY
@given(personas(), QUALITIES, DELAYS, DELAYS, QUALITIES)
def test_waiting_longer_never_raises_the_mean(persona, quality, a, b, energy):
    shorter, longer = sorted((a, b))
    assert mean(persona, quality, longer, energy) <= mean(persona, quality, shorter, energy) + ROUNDING


@PROPERTY
@given(personas(), QUALITIES, DELAYS, QUALITIES, QUALITIES)
def test_drawing_more_energy_never_raises_the_mean(persona, quality, delay, a, b):
    less, more = sorted((a, b))
    assert mean(persona, quality, delay, more) <= mean(persona, quality, delay, less) + ROUNDING


@PROPERTY
@given(personas(), QUALITIES, DELAYS, QUALITIES, st.integers(0, 99))
def test_every_opinion_is_on_the_scale(persona, quality, delay, energy, seed):
    people = Sensitivities.of([persona])
    rater = ParametricRater(seed)
    assert 1 <= rater.mean(people, quality, delay, energy)[0] <= 5
    assert 1 <= rater.draw(people, quality, delay, energy)[0] <= 5


def by_hand(persona: Persona, quality: float, delay_s: float, energy_share: float) -> float:
    """The documented formulas once more, with scalars and log-odds."""
    o, c, e, a, n = (
        2 * getattr(persona, trait) - 1
        for trait in ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    )
    wants = persona.preferences

    def logistic(x: float) -> float:
        return 1 / (1 + math.exp(-8 * math.exp(0.3 * o) * (x - wants.least_quality)))

    felt_quality = (logistic(quality) - logistic(0)) / (logistic(1) - logistic(0))
    factor = math.exp(0.35 * c - 0.35 * n)
    shortest, longest = wants.unnoticed_s * factor, wants.patience_s * factor
    # ITU-T G.1030: MOS = 4 / ln(min / max) (ln(time) - ln(min)) + 5
    mos = 4 / math.log(shortest / longest) * (math.log(delay_s) - math.log(shortest)) + 5
    felt_delay = (min(max(mos, 1), 5) - 1) / 4
    felt_energy = math.exp(-math.log(2) * energy_share / wants.energy_tolerance)
    energy_weight = min(1, wants.energy_importance * math.exp(0.2 * (o + c + a)))
    s = (
        (1 - wants.quality_importance * (1 - felt_quality))
        * (1 - wants.delay_importance * (1 - felt_delay))
        * (1 - energy_weight * (1 - felt_energy))
    )
    odds = math.exp(0.3 * e) * math.log(s / (1 - s)) + 0.25 * a - 0.25 * c - 0.2 * n
    return 1 + 4 / (1 + math.exp(-odds))


@pytest.mark.parametrize("name", PRESETS)
def test_the_mean_is_the_documented_formula(name):
    for quality, delay, energy in [(0.9, 1.0, 0.01), (0.5, 4.0, 0.1), (0.2, 0.2, 0.3), (0.7, 60.0, 0.0)]:
        expected = by_hand(PRESETS[name], quality, delay, energy)
        assert mean(PRESETS[name], quality, delay, energy) == pytest.approx(expected, abs=1e-9)


def test_the_responses_have_their_ends_and_middles():
    assert quality_response([0, 0.5, 1], 8, 0.5).tolist() == [0, 0.5, 1]
    assert delay_response([0, 0.5, 20, 1e9], 0.5, 20).tolist() == [1, 1, 0, 0]
    assert delay_response(math.sqrt(0.5 * 20), 0.5, 20) == pytest.approx(0.5)
    assert energy_response([0, 0.1, 0.2], 0.1).tolist() == [1, 0.5, 0.25]


def test_draws_average_to_the_mean_and_vary_as_the_sos_hypothesis_says():
    people = Sensitivities.of([PRESETS["average"]])
    rater = ParametricRater(5)
    for quality in (0.3, 0.5, 0.7, 1.0):
        expected = float(rater.mean(people, quality, 3.0, 0.02)[0])
        drawn = rater.draw(people, np.full((100_000, 1), quality), 3.0, 0.02)
        variance = 0.05 * (expected - 1) * (5 - expected)
        assert drawn.mean() == pytest.approx(expected, abs=5 * math.sqrt(variance / 100_000))
        assert drawn.var() == pytest.approx(variance, rel=0.03)


def test_seeds_repeat_and_a_saved_state_goes_on():
    people = Sensitivities.of(draw_personas(7, 0))
    quality = np.linspace(0, 1, 7)
    rater, again, other = ParametricRater(1), ParametricRater(1), ParametricRater(2)
    first = rater.draw(people, quality, 2.0, 0.1)
    np.testing.assert_array_equal(first, again.draw(people, quality, 2.0, 0.1))
    assert (first != other.draw(people, quality, 2.0, 0.1)).any()
    other.random.bit_generator.state = rater.random.bit_generator.state
    np.testing.assert_array_equal(rater.draw(people, quality, 2.0, 0.1), other.draw(people, quality, 2.0, 0.1))
    with pytest.raises(InvalidValueError, match="seed"):
        ParametricRater(-1)


def test_a_batch_is_its_rows():
    crowd = draw_personas(20, 1)
    people = Sensitivities.of(crowd)
    random = np.random.default_rng(0)
    quality, delay, energy = random.random((3, 20)), random.random((3, 20)) * 20, random.random((3, 20)) * 0.3
    found = ParametricRater().mean(people, quality, delay, energy)
    assert found.shape == (3, 20)
    for row in range(3):
        for column, persona in enumerate(crowd):
            alone = mean(persona, quality[row, column], delay[row, column], energy[row, column])
            assert found[row, column] == pytest.approx(alone, abs=1e-12)


def test_numbers_of_personas_do_as_well_as_personas():
    table = persona_table(draw_personas(6, 1)).reshape(2, 3, -1)
    quality = np.linspace(0, 1, 6).reshape(2, 3)
    found = ParametricRater().mean(Sensitivities.of(table), quality, 2.0, 0.1)
    expected = ParametricRater().mean(Sensitivities.of(draw_personas(6, 1)), quality.ravel(), 2.0, 0.1)
    np.testing.assert_array_equal(found.ravel(), expected)


def test_opinions_name_the_strongest_complaint():
    rater = ParametricRater(noisy=False)
    said = rater.rate(
        [PRESETS["average"]] * 4,
        [
            Experience("a cat", 1.0, 0.1, 0.0),
            Experience("a cat", 0.2, 0.1, 0.0),
            Experience("a cat", 1.0, 15.0, 0.0),
            Experience("a cat", 1.0, 0.1, 0.5),
        ],
    )
    assert [opinion.reason for opinion in said] == [
        "nothing to complain of",
        "the picture shows 20% of what was asked for",
        "it took 15 s",
        "it drew 50% of the battery",
    ]
    assert said[0].rating == 5
    assert {opinion.source for opinion in said} == {"parametric"}
    assert rater.rate([], []) == []


def test_opinions_are_drawn_and_carry_the_variance():
    crowd, experiences = [PRESETS["average"]] * 2000, [Experience("a cat", 0.6, 2.0, 0.01)] * 2000
    opinions = ParametricRater(0).rate(crowd, experiences)
    ratings = np.array([opinion.rating for opinion in opinions])
    assert ratings.var() == pytest.approx(opinions[0].variance, rel=0.15)


@pytest.mark.parametrize(
    ("trait", "rises"),
    [("agreeableness", True), ("conscientiousness", False), ("neuroticism", False)],
)
def test_lenient_and_severe_traits_where_nobody_waits(trait, rises):
    low, high = (Persona("a", **{trait: value}) for value in (0.1, 0.9))
    gap = mean(high, 0.5, 0.01, 0.0) - mean(low, 0.5, 0.01, 0.0)
    assert (gap > 0.1) if rises else (gap < -0.1)


def test_patience_comes_with_conscientiousness_and_goes_with_neuroticism():
    of = {
        name: Sensitivities.of([Persona("a", **{name: 1.0})]).patience_s[0]
        for name in ("conscientiousness", "neuroticism")
    }
    assert of["conscientiousness"] == pytest.approx(20 * math.exp(0.35))
    assert of["neuroticism"] == pytest.approx(20 * math.exp(-0.35))


def test_extreme_certainty_is_no_trouble():
    nothing = Persona("a", preferences=Preferences(quality_importance=1.0))
    people = Sensitivities.of([nothing])
    rater = ParametricRater(0)
    assert rater.mean(people, 0.0, 0.0, 0.0)[0] == 1
    assert 1 <= rater.draw(people, 0.0, 0.0, 0.0)[0] <= 1 + 1e4 * SURELY


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"quality": 1.2}, "quality must be"),
        ({"delay_s": -1}, "delay_s must be"),
        ({"energy_share": float("nan")}, "energy_share must be"),
        ({"measures": {"ssim": float("inf")}}, "ssim must be"),
    ],
)
def test_what_nobody_can_have_received(words, message):
    with pytest.raises(InvalidValueError, match=message):
        Experience(**{"prompt": "a cat", "quality": 0.5, "delay_s": 1.0} | words)


def test_lists_that_do_not_pair_up():
    with pytest.raises(InvalidValueError, match="1 personas and 0 experiences"):
        ParametricRater().rate([PRESETS["average"]], [])
    with pytest.raises(InvalidValueError, match="12 columns"):
        Sensitivities.of(np.zeros((3, 4)))

"""People who rate otherwise than the parametric rater: is the difference learned, and nothing where there is none?"""

import dataclasses
import sys

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF

from netdiffuse.common import InvalidValueError, MissingExtraError
from netdiffuse.users import PRESETS, Calibration, ParametricRater, Sensitivities, draw_personas, persona_table


def others(people):
    """The same people, to whom their batteries matter three times as much."""
    return [
        dataclasses.replace(
            person,
            preferences=dataclasses.replace(
                person.preferences,
                energy_importance=min(1.0, 3 * person.preferences.energy_importance),
                energy_tolerance=person.preferences.energy_tolerance / 3,
            ),
        )
        for person in people
    ]


def experiences(n, seed):
    random = np.random.default_rng(seed)
    presets = list(PRESETS.values())
    people = [presets[i] for i in random.integers(0, len(presets), n)]
    felt = random.uniform(0.5, 1, n), random.uniform(2, 12, n), random.uniform(0, 0.4, n)
    return people, felt


def means(people, felt):
    return ParametricRater(0).mean(Sensitivities.of(persona_table(people)), *felt)


def test_the_difference_is_learned():
    """From 150 noisy ratings: most of it, of experiences that nobody has rated."""
    people, felt = experiences(150, 0)
    ratings = ParametricRater(1).draw(Sensitivities.of(persona_table(others(people))), *felt)
    calibration = Calibration(persona_table(people), *felt, ratings)
    fresh, received = experiences(500, 1)
    truth = means(others(fresh), received) - means(fresh, received)
    found = calibration(persona_table(fresh), *received)
    assert np.mean((found - truth) ** 2) < 0.25 * np.mean(truth**2)
    difference = ratings - means(people, felt)
    told = calibration.to_dict()
    assert told["ratings"] == 150
    assert told["mean_difference"] == pytest.approx(difference.mean())
    assert told["rms_difference"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert told["rms_left_out"] < 0.6 * told["rms_difference"]


@pytest.mark.parametrize("name", ["frugal", "average"])
def test_a_difference_that_depends_on_what_was_received_stays_with_people_like_those_who_rated(name):
    people, felt = [PRESETS[name]] * 200, experiences(200, 0)[1]
    ratings = ParametricRater(0).draw(Sensitivities.of(persona_table(others(people))), *felt)
    calibration = Calibration(persona_table(people), *felt, ratings)
    there = calibration(persona_table(people), *felt).mean()
    assert there < -0.15
    for distant in ("aesthete", "impatient", "easygoing"):
        assert abs(calibration(persona_table([PRESETS[distant]] * 200), *felt).mean()) < 0.25 * abs(there)


def test_one_persona_that_differs_alike_everywhere_corrects_everybody_alike():
    people, felt = [PRESETS["average"]] * 200, experiences(200, 0)[1]
    ratings = means(people, felt) - 0.6 + np.random.default_rng(0).normal(0, 0.3, 200)
    calibration = Calibration(persona_table(people), *felt, np.clip(ratings, 1, 5))
    for persona in PRESETS.values():
        np.testing.assert_allclose(calibration(persona_table([persona] * 200), *felt), -0.6, atol=0.15)


def test_where_there_is_no_difference_hardly_any_is_learned():
    people, felt = experiences(150, 0)
    ratings = ParametricRater(1).draw(Sensitivities.of(persona_table(people)), *felt)
    fresh, received = experiences(500, 1)
    found = Calibration(persona_table(people), *felt, ratings)(persona_table(fresh), *received)
    assert np.sqrt(np.mean(found**2)) < 0.2
    exact = Calibration(persona_table(people), *felt, means(people, felt))
    assert np.abs(exact(persona_table(fresh), *received)).max() < 1e-6


def test_it_is_the_posterior_mean_of_a_gaussian_process():
    """Against the textbook's formula, K* (K + noise)^-1 y, with the hyperparameters that were found."""
    people, felt = experiences(40, 2)
    table = persona_table(people)
    ratings = np.clip(3 + np.sin(20 * felt[2]), 1, 5)
    calibration = Calibration(table, *felt, ratings)
    process = calibration._process
    varied = persona_table(list(PRESETS.values())).std(0)
    amplitude, noise = process.kernel_.k1.k1.constant_value, process.kernel_.k2.noise_level
    length = process.kernel_.k1.k2.length_scale

    def standardised(who, received):
        felt = np.stack([received[0] / 0.25, np.log(1 + received[1]) / 0.5, received[2] / 0.15], -1)
        return np.concatenate([felt, who / varied], -1)

    x, y = standardised(table, felt), ratings - means(people, felt)
    fresh, received = experiences(30, 3)
    z = standardised(persona_table(fresh), received)
    covariance = amplitude * RBF(length)(x) + noise * np.eye(len(x))
    expected = amplitude * RBF(length)(z, x) @ np.linalg.solve(covariance, y)
    np.testing.assert_allclose(calibration(persona_table(fresh), *received), expected, atol=1e-6)
    for i in (0, 17, 39):  # left out, by learning anew without it
        others = np.arange(40) != i
        weights = np.linalg.solve(covariance[np.ix_(others, others)], y[others])
        alone = amplitude * (RBF(length)(x[i : i + 1], x[others]) @ weights)[0]
        assert calibration.left_out[i] == pytest.approx(alone, abs=1e-6)


def test_what_is_told_of_the_others_keeps_to_the_scale():
    """Of ratings at the floor, where a correction alone would go below it."""
    people, felt = experiences(60, 0)
    said = means(people, felt)
    ratings = np.clip(said - 1.5, 1, 5)
    calibration = Calibration(persona_table(people), *felt, ratings)
    opinions = said + calibration.left_out
    assert opinions.min() == pytest.approx(1)
    told = calibration.to_dict()
    assert told["rms_left_out"] == pytest.approx(np.sqrt(np.mean((ratings - opinions) ** 2)))


def test_shapes_digests_and_few_ratings():
    people, felt = experiences(6, 0)
    table = persona_table(people)
    one = Calibration(table[:1], *(values[:1] for values in felt), [2.0])
    found = one(table.reshape(2, 3, 12), *(values.reshape(2, 3) for values in felt))
    assert found.shape == (2, 3)
    difference = 2.0 - means(people[:1], [values[:1] for values in felt])[0]
    assert 0 < found[0, 0] / difference < 1  # there, some of it
    assert (np.abs(found) <= abs(found[0, 0])).all()  # elsewhere less
    again = Calibration(table[:1], *(values[:1] for values in felt), [2.0])
    other = Calibration(table[:1], *(values[:1] for values in felt), [3.0])
    assert one.digest == again.digest != other.digest


def test_of_many_ratings_the_last_count():
    drawn = draw_personas(1200, 0)
    felt = tuple(np.linspace(low, high, 1200) for low, high in ((0.5, 1), (2, 9), (0, 0.3)))
    calibration = Calibration(persona_table(drawn), *felt, np.full(1200, 3.0))
    last = Calibration(persona_table(drawn[200:]), *(values[200:] for values in felt), np.full(1000, 3.0))
    assert (len(calibration.differences), calibration.digest) == (1000, last.digest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": []}, "must have shape"),
        ({"ratings": [3.0]}, "need people of shape"),
        ({"ratings": [3.0, np.nan]}, "must be in"),
        ({"ratings": [3.0, 6.0]}, "must be in"),
        ({"delay_s": [1.0, np.inf]}, "finite"),
        ({"delay_s": [1.0, -1.0]}, r"delay_s must be in \[0, inf\], got -1 to 1"),
        ({"quality": [0.5, 9.0]}, r"quality must be in \[0, 1\], got 0.5 to 9"),
        ({"energy_share": [-3.0, 0.5]}, "energy_share must be in"),
        ({"people": np.zeros((2, 5))}, "need people of shape"),
        ({"people": np.full((2, 12), 3600.0)}, "numbers of personas: those of rating 0 have no opinion"),
    ],
)
def test_what_cannot_be_learned_from(change, message):
    people, felt = experiences(2, 0)
    given = dict(zip(("quality", "delay_s", "energy_share"), felt, strict=True))
    given |= {"people": persona_table(people), "ratings": [3.0, 2.0]}
    with pytest.raises(InvalidValueError, match=message):
        Calibration(**{**given, **change})


def test_without_scikit_learn(monkeypatch):
    people, felt = experiences(2, 0)
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"netdiffuse\[denoising\]"):
        Calibration(persona_table(people), *felt, [3.0, 2.0])

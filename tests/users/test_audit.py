import json

import numpy as np
import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.users import PRESETS, Experience, Opinion, ParametricRater, audit
from netdiffuse.users.audit import LEVELS

CROWD = list(PRESETS.values())


class Constant:
    """Likes everything alike."""

    def rate(self, personas, experiences):
        return [Opinion(3.0, "whatever") for _ in personas]


class Upside:
    """Likes what is bad, and is a number of points off by name."""

    def rate(self, personas, experiences):
        return [
            Opinion(float(np.clip(5 - 3 * e.quality + 0.05 * e.delay_s - 0.1 * len(p.name), 1, 5)), "odd")
            for p, e in zip(personas, experiences, strict=True)
        ]


class Dice:
    """Rates at random."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def rate(self, personas, experiences):
        return [Opinion(float(self.random.integers(1, 6)), "a die") for _ in personas]


def values(found):
    return {check.name: check.value for check in found.checks}


def test_the_parametric_rater_is_fit():
    found = audit([ParametricRater(seed) for seed in range(10)], CROWD)
    assert found.fit
    assert found.between_std > 2 * found.within_std
    assert found.persona_means["easygoing"] > found.persona_means["perfectionist"]
    assert all(found.sweeps["quality"][name][0] < found.sweeps["quality"][name][-1] for name in PRESETS)


def test_its_mean_never_goes_the_wrong_way():
    found = audit([ParametricRater(noisy=False)] * 2, CROWD, 20)
    assert found.wrong_steps == {"quality": 0, "delay_s": 0, "energy_share": 0}
    assert (found.within_std, found.retest_kappa) == (0, 1)
    assert values(found)["personas"] == 1


def test_a_constant_is_not_fit():
    found = audit([Constant(), Constant()], CROWD, 20)
    assert not found.fit
    assert values(found) == {
        "quality": 0,
        "delay_s": 0,
        "energy_share": 0,
        "retest": None,
        "personas": None,
        "spread": 0,
    }
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["fit"] is False


def test_who_likes_what_is_bad_is_not_fit():
    found = audit([Upside(), Upside()], CROWD, 20)
    assert values(found)["quality"] == pytest.approx(-1)
    assert values(found)["delay_s"] == pytest.approx(-1)
    assert found.wrong_steps["quality"] == 1
    assert not found.fit


class Hair:
    """Rates well and tells its users apart by a hair, every time."""

    def rate(self, personas, experiences):
        return [
            Opinion(4.5 - 2 * (1 - e.quality) - 0.05 * e.delay_s - 2 * e.energy_share + 1e-3 * len(p.name), "so so")
            for p, e in zip(personas, experiences, strict=True)
        ]


def test_a_rater_without_chance_must_still_tell_its_users_apart():
    found = audit([Hair(), Hair()], CROWD, 20)
    assert [check.name for check in found.checks if not check.passed] == ["spread"]
    assert values(found)["personas"] == 1  # nothing within
    lengths = [len(persona.name) for persona in CROWD]
    assert values(found)["spread"] == pytest.approx(1e-3 * np.std(lengths, ddof=1))


def test_dice_are_not_fit():
    found = audit([Dice(0), Dice(1)], CROWD, 100)
    assert abs(values(found)["retest"]) < 0.15
    assert abs(values(found)["personas"]) < 0.1
    assert not found.fit


def test_agreement_with_another_rater():
    sittings = [ParametricRater(0), ParametricRater(1)]
    alike = audit(sittings, CROWD, 40, other=ParametricRater(2)).agreement
    apart = audit(sittings, CROWD, 40, other=Dice(0)).agreement
    against = audit(sittings, CROWD, 40, other=Upside()).agreement
    assert alike["spearman"] > 0.9
    assert alike["kappa"] > 0.8
    assert abs(apart["spearman"]) < 0.2
    assert against["spearman"] < -0.5


def test_an_audit_repeats_and_tells_how_far_it_is():
    told = []
    found = audit([ParametricRater(0), ParametricRater(1)], CROWD, 10, seed=3, done=lambda *now: told.append(now))
    assert found == audit([ParametricRater(0), ParametricRater(1)], CROWD, 10, seed=3)
    assert found != audit([ParametricRater(0), ParametricRater(1)], CROWD, 10, seed=4)
    expected = len(CROWD) * 2 * (10 + sum(len(levels) for levels in LEVELS.values()))
    assert told[-1] == (expected, expected)
    assert found.ratings == expected


class Absent:
    """A language model that answers of quality alone; of all else a fallback's word stands."""

    def rate(self, personas, experiences):
        swept = len({e.quality for e in experiences}) > 1 and len({e.delay_s for e in experiences}) == 1
        said = ParametricRater(noisy=False).rate(personas, experiences)
        return [Opinion(o.rating, o.reason, source="llm" if swept else "fallback") for o in said]


def test_what_a_fallback_says_passes_nothing():
    found = audit([Absent(), Absent()], CROWD, 12, other=ParametricRater())
    assert {check.name: (check.passed, check.fallback) for check in found.checks} == {
        "quality": (True, 0),
        "delay_s": (None, 1),
        "energy_share": (None, 1),
        "retest": (None, 1),
        "personas": (None, 1),
        "spread": (None, 1),
    }
    assert not found.fit
    assert found.fallback == pytest.approx(24 / 30)
    assert found.agreement is None
    assert [check["passed"] for check in found.to_dict()["checks"]] == [True] + [None] * 5


def test_what_cannot_be_audited():
    rater = ParametricRater()
    with pytest.raises(InvalidValueError, match="two sittings"):
        audit([rater], CROWD)
    with pytest.raises(InvalidValueError, match="two personas or more, of different names"):
        audit([rater, rater], [CROWD[0], CROWD[0]])
    with pytest.raises(InvalidValueError, match="n_experiences"):
        audit([rater, rater], CROWD, 1)


def test_an_opinion_is_on_the_scale():
    with pytest.raises(InvalidValueError, match="in \\[1, 5\\]"):
        Opinion(5.5, "more than excellent")
    assert Experience("a", 1, 0) == Experience("a", 1.0, 0.0)

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from netdiffuse.common import InvalidValueError
from netdiffuse.users.agreement import rank_correlation, reliability, weighted_kappa


def test_kappa_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    for noise in (0.1, 0.8, 3.0):
        a = random.uniform(1, 5, 200)
        b = np.clip(a + noise * random.standard_normal(200), 1, 5)
        expected = cohen_kappa_score(np.rint(a), np.rint(b), weights="quadratic", labels=[1, 2, 3, 4, 5])
        assert weighted_kappa(a, b) == pytest.approx(expected, abs=1e-12)


def test_agreement_at_its_ends():
    assert weighted_kappa([1, 2, 5], [1, 2, 5]) == 1
    assert weighted_kappa([1, 5], [5, 1]) == -1
    assert weighted_kappa([3, 3], [3, 3]) is None
    assert rank_correlation([1, 2, 3], [2, 3, 9]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [9, 3, 2]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3], [4, 4, 4]) is None


def test_reliability_is_that_of_an_analysis_of_variance():
    random = np.random.default_rng(1)
    ratings = random.standard_normal((8, 1, 3)) + 0.8 * random.standard_normal((8, 1, 1))
    found = stats.f_oneway(*ratings[:, 0]).statistic  # MSB / MSW
    assert reliability(ratings) == pytest.approx((found - 1) / (found + 2), abs=1e-12)


def test_reliability_recovers_a_known_share():
    random = np.random.default_rng(2)
    users = random.standard_normal((400, 1, 1)) + random.standard_normal((1, 5, 1))
    assert reliability(users + random.standard_normal((400, 5, 4))) == pytest.approx(0.5, abs=0.05)
    assert reliability(random.standard_normal((400, 5, 4))) == pytest.approx(0, abs=0.03)


def test_reliability_at_its_ends():
    steady = np.repeat(np.arange(6.0).reshape(3, 2, 1), 2, axis=2)
    assert reliability(steady) == 1
    assert reliability(np.full((3, 2, 2), 4.0)) is None


def test_what_cannot_be_compared():
    with pytest.raises(InvalidValueError, match="pair up"):
        weighted_kappa([1, 2], [1])
    with pytest.raises(InvalidValueError, match="pair up"):
        rank_correlation([1], [1])
    with pytest.raises(InvalidValueError, match="shape"):
        reliability(np.zeros((2, 3)))

import numpy as np
import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.users import above_floor, mean_opinion_score


def test_the_mean_opinion_score_has_students_interval():
    found = mean_opinion_score([4, 5, 3, 4])
    assert found.mean == 4
    # s = sqrt(2 / 3), t(0.975, 3) = 3.1824
    assert found.half_width == pytest.approx(3.18245 * np.sqrt(2 / 3) / 2, rel=1e-5)


def test_above_the_floor():
    np.testing.assert_array_equal(above_floor([[1, 5], [2.5, 3]]), [[0, 4], [1.5, 2]])


@pytest.mark.parametrize("ratings", [[0.9], [5.1], [float("nan")]])
def test_what_is_no_rating(ratings):
    with pytest.raises(InvalidValueError, match=r"in \[1, 5\]"):
        mean_opinion_score(ratings)
    with pytest.raises(InvalidValueError, match=r"in \[1, 5\]"):
        above_floor(ratings)

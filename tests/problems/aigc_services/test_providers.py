import json

import numpy as np
import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.problems.aigc_services import Providers
from netdiffuse.problems.aigc_services.providers import CHOICES

ROW = {"total_t": 400.0, "ax": 10.0, "ay": 0.1, "bx": 210.0, "by": 0.8}


def test_the_reference_instance_has_the_papers_twenty():
    providers = Providers.reference()
    assert len(providers) == 20
    assert providers.total_t.sum() == 12_600
    assert (providers.total_t[3], providers.ax[6], providers.bx[13]) == (900, 90, 230)
    for name, choices in CHOICES.items():
        assert all(np.isclose(choices, value).any() for value in getattr(providers, name))


def test_quality_is_nought_then_a_line_then_flat():
    providers = Providers(*(np.array([ROW[name]]) for name in ROW))
    quality = providers.quality([0, 9.9, 10, 110, 210, 250])[:, 0]
    np.testing.assert_allclose(quality, [0, 0, 0, 0.35, 0.7, 0.7])
    assert providers.quality(110).shape == (1,)


def test_drawn_providers_repeat_by_seed_and_cover_their_ranges():
    one, again, other = Providers.draw(3000, 1), Providers.draw(3000, 1), Providers.draw(3000, 2)
    for name, choices in CHOICES.items():
        values = getattr(one, name)
        np.testing.assert_array_equal(values, getattr(again, name))
        assert (values != getattr(other, name)).any()
        found, counts = np.unique(values.round(6), return_counts=True)
        np.testing.assert_allclose(found, choices)
        assert counts.min() > 0.7 * 3000 / len(choices)


def test_a_file_of_providers_is_read(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"providers": [ROW, ROW | {"total_t": 1200}]}))
    assert Providers.read(path).total_t.tolist() == [400, 1200]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be"),
        (json.dumps({"providers": [{"total_t": 400}]}), "missing or wrong: 'ax'"),
        (json.dumps({"providers": []}), "one number a provider"),
        (json.dumps({"providers": [ROW, ROW | {"total_t": 240}]}), r"provider 1 must have total_t >= 250"),
        (json.dumps({"providers": [ROW | {"ax": 210}]}), "provider 0 must have 0 <= ax < bx"),
        (json.dumps({"providers": [ROW | {"by": 1.2}]}), "0 <= ay <= by <= 1"),
        (json.dumps({"providers": [ROW | {"by": float("nan")}]}), "by must be finite"),
        (json.dumps({"providers": [ROW | {"by": "0.8"}]}), "by must be a number"),
    ],
)
def test_bad_instances_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(InvalidValueError, match=message):
        Providers.read(path)


def test_a_missing_file_is_named():
    with pytest.raises(InvalidValueError, match=r"nowhere\.json' cannot be read: No such file"):
        Providers.read("nowhere.json")

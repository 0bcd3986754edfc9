import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.channels import db_to_linear, dbm_to_watts, linear_to_db, watts_to_dbm


@pytest.mark.parametrize(("level_db", "ratio"), [(0.0, 1.0), (10.0, 10.0), (-30.0, 1e-3), (3.0, 1.99526)])
def test_known_ratios(level_db: float, ratio: float) -> None:
    assert db_to_linear(level_db) == pytest.approx(ratio, rel=1e-5)
    assert linear_to_db(ratio) == pytest.approx(level_db, abs=1e-4)


@pytest.mark.parametrize(("level_dbm", "watts"), [(0.0, 1e-3), (30.0, 1.0), (46.0, 39.81), (-174.0, 3.981e-21)])
def test_known_powers(level_dbm: float, watts: float) -> None:
    assert dbm_to_watts(level_dbm) == pytest.approx(watts, rel=1e-3)
    assert watts_to_dbm(watts) == pytest.approx(level_dbm, abs=1e-3)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.floats(-200, 200))
def test_round_trips_and_tensors_agree_with_numbers(level: float) -> None:
    assert linear_to_db(db_to_linear(level)) == pytest.approx(level, abs=1e-9)
    assert watts_to_dbm(dbm_to_watts(level)) == pytest.approx(level, abs=1e-9)
    tensor = torch.tensor([level], dtype=torch.float64)
    assert float(db_to_linear(tensor)) == pytest.approx(db_to_linear(level))
    assert float(watts_to_dbm(dbm_to_watts(tensor))) == pytest.approx(level, abs=1e-9)


def test_no_power_is_minus_infinity() -> None:
    assert linear_to_db(0.0) == -math.inf
    assert watts_to_dbm(torch.zeros(2)).tolist() == [-math.inf, -math.inf]

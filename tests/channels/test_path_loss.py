import pytest
import torch

from netdiffuse.channels import free_space_path_loss_db, log_distance_path_loss_db
from netdiffuse.common import InvalidValueError


@pytest.mark.parametrize(
    ("distance_m", "frequency_hz", "loss_db"),
    [(1.0, 1e9, 32.45), (1000.0, 2.4e9, 100.05), (100.0, 28e9, 101.39)],
)
def test_free_space_loss_equals_the_link_budget_formula(distance_m: float, frequency_hz: float, loss_db: float) -> None:
    # the engineers' form: 32.45 + 20 log10(km) + 20 log10(MHz)
    assert free_space_path_loss_db(distance_m, frequency_hz) == pytest.approx(loss_db, abs=0.01)


def test_log_distance_loss_equals_the_urban_micro_model_in_line_of_sight() -> None:
    # 3GPP TR 38.901, Table 7.4.1-1, UMi street canyon LOS, PL1 at 3.5 GHz and 50 m: 32.4 + 35.677 + 10.881
    assert log_distance_path_loss_db(50.0, 2.1, 32.4 + 10.881) == pytest.approx(78.959, abs=1e-3)


def test_exponent_two_is_free_space_at_any_reference() -> None:
    distance_m = torch.tensor([1.0, 7.0, 300.0], dtype=torch.float64)
    expected = free_space_path_loss_db(distance_m, 2e9)
    for reference_m in (1.0, 25.0):
        loss = log_distance_path_loss_db(
            distance_m, 2.0, free_space_path_loss_db(reference_m, 2e9), reference_distance_m=reference_m
        )
        torch.testing.assert_close(loss, expected)


def test_refuses_impossible_arguments() -> None:
    with pytest.raises(InvalidValueError, match="carrier_frequency_hz"):
        free_space_path_loss_db(1.0, 0.0)
    with pytest.raises(InvalidValueError, match="exponent"):
        log_distance_path_loss_db(1.0, -2.0, 40.0)
    with pytest.raises(InvalidValueError, match="reference_distance_m"):
        log_distance_path_loss_db(1.0, 2.0, 40.0, reference_distance_m=0.0)

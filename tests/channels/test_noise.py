import pytest

from netdiffuse.channels import thermal_noise_power_dbm, thermal_noise_power_w
from netdiffuse.common import InvalidValueError


def test_noise_density_at_room_temperature_is_minus_174_dbm_per_hz() -> None:
    assert thermal_noise_power_dbm(1.0) == pytest.approx(-173.975, abs=1e-3)


def test_bandwidth_and_noise_figure_add_in_db() -> None:
    assert thermal_noise_power_dbm(20e6, noise_figure_db=9.0) == pytest.approx(-173.975 + 73.010 + 9, abs=1e-3)
    assert thermal_noise_power_w(20e6) == pytest.approx(1.380649e-23 * 290 * 20e6)


@pytest.mark.parametrize(
    "arguments",
    [{"bandwidth_hz": 0.0}, {"bandwidth_hz": 1.0, "noise_figure_db": -1.0}, {"bandwidth_hz": "1 MHz"}],
)
def test_refuses_what_is_no_receiver(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=list(arguments)[-1]):
        thermal_noise_power_w(**arguments)

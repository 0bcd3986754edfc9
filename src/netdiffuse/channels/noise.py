"""Thermal noise of a receiver."""

from netdiffuse.channels.decibels import db_to_linear, watts_to_dbm
from netdiffuse.common import checks

BOLTZMANN_J_PER_K = 1.380649e-23  # exact in the SI of 2019


def thermal_noise_power_w(bandwidth_hz: float, noise_figure_db: float = 0.0, temperature_k: float = 290.0) -> float:
    """Noise power k T B F in watts, F the receiver's noise figure as a ratio.

    Raises:
        InvalidValueError: a bandwidth or temperature that is not positive, or a negative noise figure.
    """
    bandwidth_hz = checks.positive("bandwidth_hz", bandwidth_hz)
    temperature_k = checks.positive("temperature_k", temperature_k)
    noise_figure_db = checks.non_negative("noise_figure_db", noise_figure_db)
    return BOLTZMANN_J_PER_K * temperature_k * bandwidth_hz * db_to_linear(noise_figure_db)


def thermal_noise_power_dbm(bandwidth_hz: float, noise_figure_db: float = 0.0, temperature_k: float = 290.0) -> float:
    """Noise power in dBm: about -174 dBm/Hz + 10 log10(B) + noise figure at 290 K."""
    return watts_to_dbm(thermal_noise_power_w(bandwidth_hz, noise_figure_db, temperature_k))

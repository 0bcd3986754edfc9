"""The radio: path loss, shadowing, fading, noise, rates, and random models of channel gains."""

from netdiffuse.channels.decibels import db_to_linear, dbm_to_watts, linear_to_db, watts_to_dbm
from netdiffuse.channels.fading import nakagami_power_gain, rayleigh_power_gain
from netdiffuse.channels.gain_models import GainModel, LogDistance, Nakagami, Permuted, Rayleigh, Uniform
from netdiffuse.channels.gain_specs import gain_model
from netdiffuse.channels.noise import thermal_noise_power_dbm, thermal_noise_power_w
from netdiffuse.channels.path_loss import free_space_path_loss_db, log_distance_path_loss_db
from netdiffuse.channels.rates import rate_bps, sinr, spectral_efficiency
from netdiffuse.channels.shadowing import shadowing_db

__all__ = [
    "GainModel",
    "LogDistance",
    "Nakagami",
    "Permuted",
    "Rayleigh",
    "Uniform",
    "db_to_linear",
    "dbm_to_watts",
    "free_space_path_loss_db",
    "gain_model",
    "linear_to_db",
    "log_distance_path_loss_db",
    "nakagami_power_gain",
    "rate_bps",
    "rayleigh_power_gain",
    "shadowing_db",
    "sinr",
    "spectral_efficiency",
    "thermal_noise_power_dbm",
    "thermal_noise_power_w",
    "watts_to_dbm",
]

"""Large-scale path loss over distance, in dB (a positive loss)."""

import math

from netdiffuse.channels.decibels import Real, log10
from netdiffuse.common import checks

SPEED_OF_LIGHT_M_PER_S = 299_792_458.0


def free_space_path_loss_db(distance_m: Real, carrier_frequency_hz: float) -> Real:
    """Friis's loss between isotropic antennas, 20 log10(4 pi d f / c) in dB.

    At 1 m and 1 GHz it is 32.4 dB, the intercept of the line-of-sight models of 3GPP TR 38.901, Table
    7.4.1-1.

    Args:
        distance_m: distance in metres, positive.
        carrier_frequency_hz: carrier frequency in Hz, positive.

    Raises:
        InvalidValueError: a frequency that is not positive.
    """
    frequency_hz = checks.positive("carrier_frequency_hz", carrier_frequency_hz)
    return 20.0 * log10(distance_m) + 20.0 * math.log10(4 * math.pi * frequency_hz / SPEED_OF_LIGHT_M_PER_S)


def log_distance_path_loss_db(
    distance_m: Real, exponent: float, reference_loss_db: float, reference_distance_m: float = 1.0
) -> Real:
    """Loss that grows by 10 x exponent dB a decade: L0 + 10 n log10(d / d0) in dB.

    The models of 3GPP TR 38.901, clause 7.4.1, Table 7.4.1-1, have this form up to the breakpoint distance.
    For example, with d0 = 1 m and the carrier frequency f in GHz: L0 = 32.4 + 20 log10(f) and n = 2.1 for UMi
    street canyon in line of sight, n = 3.0 for the optional UMa model without line of sight.

    Args:
        distance_m: distance in metres, positive.
        exponent: path-loss exponent n; 2 in free space.
        reference_loss_db: loss L0 at the reference distance, in dB.
        reference_distance_m: reference distance d0 in metres, positive.

    Raises:
        InvalidValueError: a negative exponent, or a reference distance that is not positive.
    """
    exponent = checks.non_negative("exponent", exponent)
    reference_loss_db = checks.finite("reference_loss_db", reference_loss_db)
    reference_distance_m = checks.positive("reference_distance_m", reference_distance_m)
    return 10.0 * exponent * log10(distance_m / reference_distance_m) + reference_loss_db

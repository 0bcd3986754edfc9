"""What a policy sees of shared denoising: a row a user."""

import numpy as np
from numpy.typing import NDArray

from netdiffuse.denoising.cost import NOISE_DENSITY_W_PER_HZ
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator
from netdiffuse.users.persona import COLUMNS

FEATURES = ("similarity", "group_share", "snr_db / 10", "frequency_ghz", "battery_left", "session_left")


def features(show_personas: bool) -> list[str]:
    """Names of the columns of `observe`."""
    return [*FEATURES, *(COLUMNS if show_personas else ())]


def observe(simulator: SharedDenoisingSimulator, show_personas: bool) -> NDArray[np.float32]:
    """Observations, shape (sessions, users, features)."""
    s, settings = simulator, simulator.settings
    together = s.slot.group[:, :, None] == s.slot.group[:, None, :]
    # SNR of the equal split, in which the number of users cancels
    snr_db = 10 * np.log10(settings.power_w * s.slot.gain / (NOISE_DENSITY_W_PER_HZ * settings.bandwidth_hz))
    left = np.broadcast_to((1 - s.index / settings.slots)[:, None], s.left_j.shape)
    columns = [
        s.slot.similarity,
        together.mean(-1),
        snr_db / 10,
        s.frequency_hz / 1e9,
        s.left_j / settings.battery_j,
        left,
    ]
    seen = np.stack(columns, -1)
    if show_personas:
        seen = np.concatenate([seen, s.population[s.person]], -1)
    return seen.astype(np.float32)

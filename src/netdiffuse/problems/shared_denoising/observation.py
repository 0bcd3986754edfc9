"""What a policy sees of shared denoising: a row a user."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.cost import NOISE_DENSITY_W_PER_HZ
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator
from netdiffuse.users.persona import COLUMNS

Array = NDArray[Any]

FEATURES = ("similarity", "group_share", "snr_db / 10", "frequency_ghz", "battery_left", "session_left")


def features(show_personas: bool) -> list[str]:
    """Names of the columns of `observe`."""
    return [*FEATURES, *(COLUMNS if show_personas else ())]


def observe(simulator: SharedDenoisingSimulator, show_personas: bool) -> NDArray[np.float32]:
    """Observations, shape (sessions, users, features)."""
    s, settings = simulator, simulator.settings
    return rows(
        similarity=s.slot.similarity,
        group=s.slot.group,
        gain=s.slot.gain,
        frequency_hz=s.frequency_hz,
        battery=s.left_j / settings.battery_j,
        session_left=(1 - s.index / settings.slots)[:, None],
        personas=s.population[s.person] if show_personas else None,
        settings=settings,
    )


def rows(
    similarity: Array,
    group: Array,
    gain: Array,
    frequency_hz: Array,
    battery: Array,
    session_left: Array | float,
    personas: Array | None,
    settings: SharedDenoisingSettings,
) -> NDArray[np.float32]:
    """Observations of users from what is known of them, shape (sessions, users, features).

    Args:
        similarity: cosine of each user's prompt and the group's leader's, shape (sessions, users), as the next four.
        group: number of each user's group.
        gain: linear power gain of each channel.
        frequency_hz: of each device.
        battery: share of a full battery that is left.
        session_left: share of the session that is left; broadcasts.
        personas: the users' numbers, shape (sessions, users, columns), or None where they are not observed.
        settings: whose power and bandwidth are divided.
    """
    together = group[:, :, None] == group[:, None, :]
    # SNR of the equal split, in which the number of users cancels
    snr_db = 10 * np.log10(settings.power_w * gain / (NOISE_DENSITY_W_PER_HZ * settings.bandwidth_hz))
    left = np.broadcast_to(session_left, battery.shape)
    seen = np.stack([similarity, together.mean(-1), snr_db / 10, frequency_hz / 1e9, battery, left], -1)
    if personas is not None:
        seen = np.concatenate([seen, personas], -1)
    return seen.astype(np.float32)


class Seen(NamedTuple):
    """What an observation tells of users, arrays of shape (sessions, users), of personas (sessions, users, 12)."""

    similarity: Array
    gain: Array
    frequency_hz: Array
    battery: Array
    personas: Array


def unrow(observations: Array, settings: SharedDenoisingSettings) -> Seen:
    """Read what users were from observations, shape (sessions, users, 18); the inverse of `rows`.

    Raises:
        InvalidValueError: another number of columns.
    """
    columns = features(show_personas=True)
    if observations.ndim != 3 or observations.shape[2] != len(columns):
        raise InvalidValueError(
            f"observations with personas must have shape (n, users, {len(columns)}), got {observations.shape}"
        )
    snr = 10 ** observations[..., 2]  # 10 dB a unit
    return Seen(
        similarity=observations[..., 0],
        gain=snr * NOISE_DENSITY_W_PER_HZ * settings.bandwidth_hz / settings.power_w,
        frequency_hz=1e9 * observations[..., 3],
        battery=observations[..., 4],
        personas=observations[..., len(FEATURES) :],
    )

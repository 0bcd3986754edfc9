"""What users went through, read off what a policy saw and what was done."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising.library import shipped_quality
from netdiffuse.problems.shared_denoising.observation import unrow
from netdiffuse.problems.shared_denoising.outcomes import STEPS, alone_ready_s, deliver, receive
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.vector_env import decode, feasible_set

Array = NDArray[Any]


class Expected(NamedTuple):
    """What users go through by the environment's model, arrays of shape (n, users), and who they are.

    Attributes:
        quality: of the picture by the measured table, in [0, 1].
        delay_s: from the request to the picture.
        energy_share: share of what the battery held, in [0, 1].
        people: the users' numbers, shape (n, users, 12), as `netdiffuse.users.persona_table` has them.
    """

    quality: Array
    delay_s: Array
    energy_share: Array
    people: Array


def expected(observations: Array, actions: NDArray[np.float32], settings: SharedDenoisingSettings) -> Expected:
    """What becomes of decisions that were taken, from nothing but what the policy saw and did.

    As `SharedDenoisingSimulator.outcome` has it, of groups that do not keep the server's processors from each other.

    Args:
        observations: with personas, shape (n, users, 18).
        actions: shape (n, 3 users).
        settings: of the observations and the actions.
    """
    seen = unrow(observations.astype(np.float64), settings)
    feasible = feasible_set(observations.shape[1], settings.power_w, settings.bandwidth_hz)
    shared, power_w, bandwidth_hz = decode(feasible, actions)
    sent = deliver(seen.gain, power_w, bandwidth_hz)
    got = receive(shared, alone_ready_s(shared), sent, seen.frequency_hz, seen.battery * settings.battery_j)
    quality = shipped_quality()(seen.similarity, got.shared / STEPS, got.bit_error_rate)
    return Expected(np.where(got.lost, 0.0, quality), got.delay_s, got.energy_share, seen.personas)

"""What a device that an edge server helps goes through, by the environment's model of radio, processors and battery."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdiffuse.common import checks
from netdiffuse.denoising.edge.messages import Grant, Opinion, Report, noise_seed
from netdiffuse.problems.shared_denoising.allocator import frequency_of, gain_of
from netdiffuse.problems.shared_denoising.library import shipped_quality
from netdiffuse.problems.shared_denoising.observation import unrow
from netdiffuse.problems.shared_denoising.outcomes import LATE_S, STEPS, Delivery, alone_ready_s, deliver, receive
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.vector_env import decode, feasible_set
from netdiffuse.users import Experience, ParametricRater, Persona

Array = NDArray[Any]

BATTERY_J = SharedDenoisingSettings().battery_j  # of a full battery


@dataclass(frozen=True)
class Effort:
    """What a picture took.

    Attributes:
        delay_s: seconds from the request to the picture.
        energy_share: share of what the battery held, in [0, 1].
        lost: whether the battery ran empty before the picture was there.
    """

    delay_s: float
    energy_share: float
    lost: bool


def effort(grant: Grant | None, shared_steps: int, steps: int, report: Report) -> Effort:
    """Delay and energy of a picture.

    The server's steps, the hand-off over the radio at the granted power and bandwidth, and the device's own steps, as
    in `SharedDenoisingEnv`, but for groups that keep the server's processors busy, of which a device knows nothing. A
    chain of any number of steps takes as long as one of the environment's.

    Args:
        grant: what the policy gave; without one, the hand-off takes no time.
        shared_steps: that the server did.
        steps: of the chain.
        report: what the device said of itself.
    """
    checks.integer("shared_steps", shared_steps, minimum=0, maximum=checks.integer("steps", steps))
    shared, zero = np.array([STEPS * shared_steps / steps]), np.zeros(1)
    sent = Delivery(zero, zero, zero)
    if grant is not None:
        sent = deliver(np.array([gain_of(report)]), np.array([grant.power_w]), np.array([grant.bandwidth_hz]))
        sent = sent._replace(delay_s=np.minimum(sent.delay_s, LATE_S))  # what the server has done has come
    frequency_hz, left_j = np.array([frequency_of(report)]), np.array([BATTERY_J * report.battery])
    got = receive(shared, alone_ready_s(shared), sent, frequency_hz, left_j)
    return Effort(float(got.delay_s[0]), float(got.energy_share[0]), bool(got.lost[0]))


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


def opinion(
    persona: Persona,
    prompt: str,
    quality: float,
    delay_s: float,
    energy_share: float,
    request_id: str,
    noisy: bool = True,
) -> Opinion:
    """What the parametric rater says for a persona; the same request always gets the same draw.

    Args:
        persona: the user.
        prompt: what was asked for.
        quality: how well the picture shows it, in [0, 1]; 0 where there is none.
        delay_s: seconds from the request to the picture.
        energy_share: share of what the battery held, in [0, 1].
        request_id: of the request, which seeds the draw.
        noisy: whether ratings are drawn, as people's are, or their means.
    """
    rater = ParametricRater(noise_seed(request_id), noisy)
    (said,) = rater.rate([persona], [Experience(prompt, quality, delay_s, energy_share)])
    return Opinion(rating=said.rating, reason=said.reason, quality=quality, delay_s=delay_s, energy_share=energy_share)

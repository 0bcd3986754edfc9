"""What a device that an edge server helps goes through, by the environment's model of radio, processors and battery."""

from dataclasses import dataclass

import numpy as np

from netdiffuse.common import checks
from netdiffuse.denoising.edge.messages import Grant, Opinion, Report, noise_seed
from netdiffuse.problems.shared_denoising.allocator import frequency_of, gain_of
from netdiffuse.problems.shared_denoising.outcomes import LATE_S, STEPS, Delivery, alone_ready_s, deliver, receive
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.users import Experience, ParametricRater, Persona

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

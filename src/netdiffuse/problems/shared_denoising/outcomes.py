"""What a decision does to users: whose picture shows what, after how long, for how much energy.

Delay and energy are those of `netdiffuse.denoising.cost` (after HIS), for a model whose steps take `WORK` times as many
cycles: a step of 14 Mcycles takes 9 ms, one of Stable Diffusion about half a second on a telephone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdiffuse.denoising.cost import (
    DEVICE_CYCLES_PER_STEP,
    KAPPA,
    NOISE_DENSITY_W_PER_HZ,
    SERVER_CYCLES_PER_STEP,
)
from netdiffuse.denoising.link.modulation import Modulation, make_modulation

Array = NDArray[Any]

STEPS = 11  # T, of a whole chain; as in the published figures
WORK = 50.0  # cycles of a step, in those of HIS
DEVICE_CYCLES, SERVER_CYCLES = WORK * DEVICE_CYCLES_PER_STEP, WORK * SERVER_CYCLES_PER_STEP
SERVER_HZ = 3e9  # of each of the server's processors
PROCESSORS = 2  # of the server: a group runs on one of them
STATE_BITS = 8 * 4 * 64 * 64  # a latent of Stable Diffusion, one byte a number
LATE_S = 10.0  # a device that waits longer than this for the transmission goes on alone
QPSK: Modulation = make_modulation("qpsk")


class Outcome(NamedTuple):
    """What became of a slot, arrays of shape (episodes, users).

    Attributes:
        quality: how well each picture shows its prompt, in [0, 1]; 0 where there is none.
        delay_s: from the request to the picture.
        device_j: energy that the device drew, at most what its battery held.
        server_j: energy that the server spent for each user: the transmission, and a part of the steps.
        shared: k, 0 where the hand-off came late.
        bit_error_rate: of the hand-off.
        late: whose hand-off took longer than `LATE_S`.
        lost: whose battery ran empty before the picture was there.
    """

    quality: Array
    delay_s: Array
    device_j: Array
    server_j: Array
    shared: NDArray[np.int64]
    bit_error_rate: Array
    late: NDArray[np.bool_]
    lost: NDArray[np.bool_]


class Delivery(NamedTuple):
    """A hand-off over the radio, arrays of shape (episodes, users)."""

    delay_s: Array
    energy_j: Array
    bit_error_rate: Array


def deliver(gain: Array, power_w: Array, bandwidth_hz: Array) -> Delivery:
    """Send a state to every user.

    At Shannon's rate, bandwidth x log2(1 + snr), as HIS has it, and with the bit errors of uncoded QPSK at that SNR, as
    the study of split denoising has them: two models side by side, of which the second is pessimistic.

    Args:
        gain: linear power gains, positive.
        power_w: transmit powers in watts; nothing arrives without power.
        bandwidth_hz: bandwidths in hertz; likewise.
    """
    sends = (power_w > 0) & (bandwidth_hz > 0)
    bandwidth = np.where(sends, bandwidth_hz, 1.0)
    snr = np.where(sends, power_w * gain / (NOISE_DENSITY_W_PER_HZ * bandwidth), 0.0)
    rate = bandwidth * np.log2(1 + snr)
    delay = np.full(gain.shape, np.inf)
    np.divide(STATE_BITS, rate, out=delay, where=rate > 0)
    return Delivery(delay, power_w * np.minimum(delay, LATE_S), QPSK.bit_error_rate(snr))


class Received(NamedTuple):
    """What devices go through, arrays of shape (episodes, users) or any other; as in `Outcome`."""

    delay_s: Array
    device_j: Array
    energy_share: Array
    shared: Array
    bit_error_rate: Array
    late: NDArray[np.bool_]
    lost: NDArray[np.bool_]


def receive(shared: Array, ready_s: Array, delivery: Delivery, frequency_hz: Array, left_j: Array) -> Received:
    """Take the states from the radio, and do the other steps.

    Args:
        shared: k of each user, in 0..T.
        ready_s: when the server has done them.
        delivery: of the states; of no account where k is 0.
        frequency_hz: of each device.
        left_j: what its battery holds.
    """
    wants = shared > 0
    late = wants & (delivery.delay_s > LATE_S)
    k = np.where(late, 0, shared)
    needed_j = device_step_j(frequency_hz) * (STEPS - k)
    lost = needed_j > left_j
    device_j = np.minimum(needed_j, left_j)
    waited = np.where(wants, ready_s + np.minimum(delivery.delay_s, LATE_S), 0.0)
    return Received(
        delay_s=waited + device_step_s(frequency_hz) * (STEPS - k),
        device_j=device_j,
        energy_share=energy_share(device_j, lost, left_j),
        shared=k,
        bit_error_rate=np.where(wants, delivery.bit_error_rate, 0.0),
        late=late,
        lost=lost,
    )


def energy_share(device_j: Array, lost: NDArray[np.bool_], left_j: Array) -> Array:
    """Share of what each battery held that the picture drew, in [0, 1].

    An empty battery that nothing was asked of (all steps shared) lost nothing; one that could not do its steps lost
    all.
    """
    share = np.divide(device_j, left_j, out=lost.astype(np.float64), where=left_j > 0)
    return np.minimum(share, 1.0)


class ServerWork(NamedTuple):
    """What shared steps take.

    Attributes:
        ready_s: when the server has done each user's shared steps, shape (episodes, users).
        steps: each user's part of the steps that it runs, shape (episodes, users). Whoever a step serves pays an equal
            part of it, which is the Shapley value of the group's steps (as of a runway: Littlechild and Owen,
            Management Science 20(3), 1973).
    """

    ready_s: Array
    steps: Array


def share_steps(shared: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> ServerWork:
    """Run each group's shared steps once, up to the last that any of its members wants.

    Groups go on side by side, one a processor; where there are more groups than processors, all are slower alike.

    Args:
        shared: k, shape (episodes, users).
        group: of each user, in 0..groups - 1.
        groups: their number.
    """
    member = group[..., None] == np.arange(groups)  # (episodes, users, groups)
    last = np.where(member, shared[..., None], 0).max(-2)  # (episodes, groups)
    going = (last[:, None, :] > np.arange(STEPS)[:, None]).sum(-1)  # groups that run each step, (episodes, steps)
    step_s = SERVER_CYCLES / SERVER_HZ * np.maximum(going / PROCESSORS, 1)
    done = np.concatenate([np.zeros((len(shared), 1)), step_s.cumsum(-1)], -1)
    served = shared[..., None] > np.arange(STEPS)  # (episodes, users, steps)
    together = np.einsum("nug,nus->ngs", member.astype(np.float64), served.astype(np.float64))
    price = 1 / np.maximum(together, 1)  # of a step in a group, for each member whom it serves
    steps = (served * np.take_along_axis(price, group[..., None].repeat(STEPS, -1), 1)).sum(-1)
    return ServerWork(np.take_along_axis(done, shared, 1), steps)


def alone_ready_s(shared: Array) -> Array:
    """When the server has done k steps, seconds, where no other group keeps its processors busy."""
    return shared * SERVER_CYCLES / SERVER_HZ


def server_joules(steps: Array) -> Array:
    """Energy of the server's steps: kappa x steps x cycles_per_step x frequency^2."""
    return KAPPA * SERVER_CYCLES * SERVER_HZ**2 * steps


def device_step_s(frequency_hz: Array) -> Array:
    """Seconds of a step on a device."""
    return DEVICE_CYCLES / frequency_hz


def device_step_j(frequency_hz: Array) -> Array:
    """Energy of a step on a device."""
    return KAPPA * DEVICE_CYCLES * frequency_hz**2

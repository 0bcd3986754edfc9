"""What a plan of sharing costs each host, and what everybody alone would: evaluations, seconds and joules.

The hosts' model is that of `netdiffuse.denoising.cost`: a step takes a processor a fixed time and energy, however many
run together, so what a server does for others delays everyone. Encoding of prompts and decoding of pictures are not
counted, nor is the energy of receiving.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.cost import Processor, Radio
from netdiffuse.denoising.planner import Plan

One = TypeVar("One")


@dataclass(frozen=True)
class HostCost:
    """What one host, or several together, spend.

    Attributes:
        evaluations: of the denoising network, a chain at a time.
        compute_s: seconds that it denoises.
        send_s: seconds that it sends, on every radio.
        energy_j: joules of both.
    """

    evaluations: int
    compute_s: float
    send_s: float
    energy_j: float

    def __add__(self, other: "HostCost") -> "HostCost":
        return HostCost(
            self.evaluations + other.evaluations,
            self.compute_s + other.compute_s,
            self.send_s + other.send_s,
            self.energy_j + other.energy_j,
        )


@dataclass(frozen=True)
class PlanCost:
    """What a plan costs.

    Attributes:
        server: it runs the plan's segments and sends the states.
        devices: each runs the steps that its user has left.
        picture_s: of each user, seconds until the chain is at its end: the server's steps up to the hand-off, the
            state's time on the air, and the device's own steps.
    """

    server: HostCost
    devices: tuple[HostCost, ...]
    picture_s: tuple[float, ...]

    @property
    def mean_picture_s(self) -> float:
        """Mean seconds to a picture, over users."""
        return sum(self.picture_s) / len(self.picture_s)

    @property
    def total(self) -> HostCost:
        """Of all hosts together."""
        return sum(self.devices, self.server)


@dataclass(frozen=True)
class Saving:
    """What sharing saves, or costs.

    Attributes:
        shared: what the plan costs.
        alone: what it costs where every device makes its whole chain.
    """

    shared: PlanCost
    alone: PlanCost

    @property
    def evaluations_percent(self) -> float:
        """Evaluations that sharing spares, in percent of those alone."""
        return _spared(self.shared.total.evaluations, self.alone.total.evaluations)

    @property
    def energy_percent(self) -> float:
        """Energy that sharing spares, in percent of that alone, sending included; below 0 where it costs more."""
        return _spared(self.shared.total.energy_j, self.alone.total.energy_j)

    @property
    def picture_percent(self) -> float:
        """Seconds to a picture that sharing spares, mean over users, in percent of those alone; may be below 0."""
        return _spared(self.shared.mean_picture_s, self.alone.mean_picture_s)

    def summary(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {
            "evaluations_saved_percent": self.evaluations_percent,
            "energy_saved_percent": self.energy_percent,
            "picture_seconds_saved_percent": self.picture_percent,
            "shared": asdict(self.shared) | {"total": asdict(self.shared.total)},
            "alone": asdict(self.alone) | {"total": asdict(self.alone.total)},
        }


def saving(
    plan: Plan,
    server: Processor,
    devices: Processor | Sequence[Processor],
    radios: Radio | Sequence[Radio],
    state_bits: float | Sequence[float],
    evaluations_per_step: int = 1,
) -> Saving:
    """Seconds, joules and evaluations of a plan, and of everybody alone.

    All segments go on together, as `netdiffuse.denoising.sharing` runs them, so a hand-off at step k waits for what all
    segments do up to k. A state that is handed over at k > 0 is sent once, at Shannon's rate, to each user on a radio
    of their own; who shares nothing begins from their own noise, and is sent nothing.

    Args:
        plan: who shares what.
        server: runs the segments.
        devices: of the users, one for each or the same for all.
        radios: the server's, to each user, or alike for all.
        state_bits: of each user's state, or the same for all.
        evaluations_per_step: of the network: 2 with classifier-free guidance, whose cost is in `cycles_per_step`.

    Raises:
        InvalidValueError: another number of devices, radios or states than the plan has users, bits that are negative
            or not finite, or no evaluation a step.
    """
    checks.integer("evaluations_per_step", evaluations_per_step)
    hosts = _each("devices", devices, Processor, plan.users)
    links = _each("radios", radios, Radio, plan.users)
    bits = _each("state_bits", state_bits, (int, float), plan.users)
    for one in bits:
        checks.non_negative("state_bits", one)

    def cost(of: Plan) -> PlanCost:
        air_s, air_j, own, picture_s = 0.0, 0.0, [], []
        for k, host, link, size in zip(of.shared_steps, hosts, links, bits, strict=True):
            left = of.steps - k
            own.append(HostCost(left * evaluations_per_step, host.delay_s(left), 0.0, host.energy_j(left)))
            before = sum(max(min(segment.stop, k) - segment.start, 0) for segment in of.segments)
            sent_s = link.delay_s(size) if k else 0.0
            picture_s.append(server.delay_s(before) + sent_s + host.delay_s(left))
            air_s += sent_s
            air_j += link.energy_j(size) if k else 0.0
        steps = of.server_steps
        serving = HostCost(steps * evaluations_per_step, server.delay_s(steps), air_s, server.energy_j(steps) + air_j)
        return PlanCost(serving, tuple(own), tuple(picture_s))

    return Saving(cost(plan), cost(Plan(plan.users, plan.steps, ())))


def _each(name: str, given: One | Sequence[One], kind: type | tuple[type, ...], users: int) -> Sequence[One]:
    if isinstance(given, kind):
        return [given] * users  # type: ignore[list-item]  # one, as `kind` tells
    if not isinstance(given, Sequence) or len(given) != users:
        raise InvalidValueError(f"{name} must be one, or one for each of the plan's {users} users, got {given!r}")
    return given


def _spared(shared: float, alone: float) -> float:
    return 100 * (1 - shared / alone) if alone > 0 else 0.0

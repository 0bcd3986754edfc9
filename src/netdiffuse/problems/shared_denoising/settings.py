"""What a session of shared denoising is: the arguments of its environments and of its simulator."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from netdiffuse.common import UnknownNameError, checks

Personas = Literal["presets", "random"]
OutcomeKind = Literal["table", "pictures"]

ENERGY_WEIGHT = 0.01  # rating points a joule of the server


@dataclass(frozen=True)
class SharedDenoisingSettings:
    """Arguments of `SharedDenoisingEnv` and of what belongs to it.

    Attributes:
        users: N, in each session, at most 1,000.
        groups: of prompts in a slot, at most; a group may be empty.
        slots: of a session.
        personas: "presets", a preset drawn for each user and session, or "random", drawn around the average one.
        show_personas: whether they are observed.
        energy_weight: rating points a joule of the server, at least 0.
        outcome: "table", or "pictures" for real chains, judged.
        bandwidth_hz: what the server may divide among users.
        power_w: likewise.
        battery_j: what a full battery holds for pictures.
        noisy: whether ratings are drawn, as people's are, or their means.

    Raises:
        InvalidValueError: a number outside its range.
        UnknownNameError: an unknown outcome or kind of personas.
    """

    users: int = 8
    groups: int = 3
    slots: int = 12
    personas: Personas = "presets"
    show_personas: bool = True
    energy_weight: float = ENERGY_WEIGHT
    outcome: OutcomeKind = "table"
    bandwidth_hz: float = 2e5
    power_w: float = 0.1
    battery_j: float = 150.0
    noisy: bool = True

    def __post_init__(self) -> None:
        checks.integer("users", self.users, maximum=1000)
        checks.integer("groups", self.groups, maximum=1000)
        checks.integer("slots", self.slots, maximum=100_000)
        for name, value, known in (
            ("personas", self.personas, get_args(Personas)),
            ("outcome", self.outcome, get_args(OutcomeKind)),
        ):
            if value not in known:
                raise UnknownNameError(name, str(value), known)
        checks.non_negative("energy_weight", self.energy_weight)
        for name in ("bandwidth_hz", "power_w", "battery_j"):
            checks.positive(name, getattr(self, name))


def make_settings(given: dict[str, Any]) -> SharedDenoisingSettings:
    """Settings from keyword arguments.

    Raises:
        UnknownNameError: an argument that does not exist, and as `SharedDenoisingSettings`.
        InvalidValueError: as `SharedDenoisingSettings`.
    """
    known = [field.name for field in fields(SharedDenoisingSettings)]
    for name in given:
        if name not in known:
            raise UnknownNameError("argument of shared denoising", name, known)
    return SharedDenoisingSettings(**given)

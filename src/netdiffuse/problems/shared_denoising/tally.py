"""What sessions have come to: the measures that an environment of shared denoising reports."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.problems.shared_denoising.outcomes import Outcome
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]

MOST_NAMED = 20  # personas that have a name of their own in the measures
SUMS = ("qoe", "server_energy_j", "shared_steps", "late", "lost")


class Tally:
    """Sums over the slots of n sessions in step.

    Args:
        sessions: n.
        users: in each.
        names: of the personas.
    """

    def __init__(self, sessions: int, users: int, names: list[str]) -> None:
        self.users = users
        self.names = names if len(names) <= MOST_NAMED else []
        self.sums = {name: np.zeros(sessions) for name in SUMS}
        self.of_person = np.zeros((2, sessions, len(self.names)))  # opinions above the floor; how many

    def add(self, outcome: Outcome, opinions: Array, person: NDArray[np.int64]) -> None:
        """Count a slot of every session; opinions and numbers of personas have shape (n, users)."""
        above = opinions - FLOOR
        counted = (above, outcome.server_j, outcome.shared, outcome.late, outcome.lost)
        for name, values in zip(SUMS, counted, strict=True):
            self.sums[name] += values.sum(-1)
        is_person = person[..., None] == np.arange(len(self.names))
        self.of_person[0] += (is_person * above[..., None]).sum(1)
        self.of_person[1] += is_person.sum(1)

    def clear(self, which: NDArray[np.bool_]) -> None:
        """Forget the marked sessions."""
        for values in self.sums.values():
            values[which] = 0.0
        self.of_person[:, which] = 0.0

    def measures(self, slots: NDArray[np.int64]) -> dict[str, Array]:
        """What the sessions have come to after so many slots each, arrays of shape (n,).

        `qoe` (mean of a user's opinion above the floor), `server_energy_j` (a slot), `shared_steps` (mean of a user),
        `late` and `lost` (shares of users) and, for presets, `qoe_<name>` and `users_<name>`, whose are how many.
        """
        slots = np.maximum(slots, 1)
        found = {
            name: values / (slots if name == "server_energy_j" else slots * self.users)
            for name, values in self.sums.items()
        }
        for column, name in enumerate(self.names):
            found[f"qoe_{name}"] = self.of_person[0, :, column].copy()
            found[f"users_{name}"] = self.of_person[1, :, column].copy()
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {"sums": {n: v.copy() for n, v in self.sums.items()}, "of_person": self.of_person.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.sums = {name: values.copy() for name, values in state["sums"].items()}
        self.of_person = state["of_person"].copy()


def summarise(final: dict[str, Array]) -> dict[str, float]:
    """Means over finished sessions of what `Tally.measures` tells, late and lost in percent, QoE a preset."""
    found = {name: float(final[name].mean()) for name in SUMS if name not in ("late", "lost")}
    found |= {f"{name}_percent": 100 * float(final[name].mean()) for name in ("late", "lost")}
    for key in final:
        if key.startswith("users_") and final[key].sum() > 0:
            name = f"qoe_{key.removeprefix('users_')}"
            found[name] = float(final[name].sum() / final[key].sum())
    return found

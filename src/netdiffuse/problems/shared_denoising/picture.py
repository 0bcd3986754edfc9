"""The users of a session as a table and as a picture."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import STEPS, Outcome
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

SHOWN = 120  # characters a line
Last = tuple[Outcome, NDArray[Any]] | None
"""What the last slot came to and what users said of it; None before the first."""


@dataclass(frozen=True)
class Scene:
    """The users of the first session at one moment, which stay as they were when others take their places.

    Attributes:
        settings: of the session.
        slot: which one it is, from 0.
        names: of the users' personas.
        battery_j: what is left in their batteries, shape (users,).
        wishes: captions that they ask for.
    """

    settings: SharedDenoisingSettings
    slot: int
    names: list[str]
    battery_j: NDArray[np.float64]
    wishes: list[str]

    @classmethod
    def of(cls, simulator: SharedDenoisingSimulator) -> Self:
        """The users as they are now."""
        names = [simulator.names[number] for number in simulator.person[0]]
        captions = library().captions
        wishes = [captions[number] for number in simulator.slot.caption[0]]
        return cls(simulator.settings, int(simulator.index[0]), names, simulator.left_j[0].copy(), wishes)

    def over(self, outcome: Outcome) -> Self:
        """The same users after this outcome of the last slot, who ask for nothing more than they did."""
        return replace(self, slot=self.slot + 1, battery_j=self.battery_j - outcome.device_j[0])


def table(scene: Scene, last: Last) -> str:
    """The users as text: what they ask for (at the end: asked for), and what they got and said in the last slot."""
    rows = Table(box=None, header_style="")
    for column in ("user", "persona", "battery", "asks for"):
        rows.add_column(column, justify="right" if column == "battery" else "left")
    for column in ("shared", "quality", "delay", "energy", "bit errors", "rating"):
        rows.add_column(column, justify="right")
    for user in range(scene.settings.users):
        got = [""] * 6
        if last is not None:
            outcome, opinions = last
            quality, delay, energy, errors = (
                float(getattr(outcome, name)[0, user]) for name in ("quality", "delay_s", "device_j", "bit_error_rate")
            )
            got = [f"{outcome.shared[0, user]} of {STEPS}", f"{quality:.2f}", f"{delay:.1f} s", f"{energy:.1f} J"]
            got += [f"{100 * errors:.1f}%", f"{opinions[0, user]:.2f}"]
        rows.add_row(
            str(user),
            scene.names[user],
            f"{100 * scene.battery_j[user] / scene.settings.battery_j:.0f}%",
            scene.wishes[user],
            *got,
        )
    console = Console(width=SHOWN, color_system=None)
    with console.capture() as captured:
        console.print(rows)
    return f"{_title(scene, last)}\n{captured.get()}"


def picture(scene: Scene, last: Last) -> NDArray[np.uint8]:
    """Batteries of the users, and their shared steps and ratings of the last slot, as bars.

    Returns:
        RGB image, shape (400, 600, 3).
    """
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(3, 1, sharex=True)
    users = np.arange(scene.settings.users)
    nothing = np.zeros(scene.settings.users)
    drawn = (
        ("shared steps", nothing if last is None else last[0].shared[0], 0, STEPS, "tab:blue"),
        ("rating", nothing if last is None else last[1][0] - 1, 1, 5, "tab:orange"),
        ("battery (%)", 100 * scene.battery_j / scene.settings.battery_j, 0, 100, "tab:green"),
    )
    for axes, (label, heights, low, high, colour) in zip(panels, drawn, strict=True):
        axes.bar(users, heights, bottom=low, color=colour)
        axes.set_ylim(low, high)
        axes.set_ylabel(label)
    panels[-1].set_xlabel("user")
    panels[0].set_title(_title(scene, last), fontsize=9)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _title(scene: Scene, last: Last) -> str:
    slot = f"slot {scene.slot} of {scene.settings.slots}"
    if last is None:
        return f"{slot}, users wait"
    return f"{slot}; in the last, mean opinion {last[1][0].mean():.2f}, {last[0].server_j[0].sum():.0f} J of the server"

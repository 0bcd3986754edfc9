"""The users of a session as a table and as a picture."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import STEPS, Outcome
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

SHOWN = 120  # characters a line
Last = tuple[Outcome, NDArray[Any]] | None
"""What the last slot came to and what users said of it; None before the first."""


def table(simulator: SharedDenoisingSimulator, last: Last) -> str:
    """The users of the first session as text: what they want now, and what they got and said in the last slot."""
    rows = Table(box=None, header_style="")
    for column in ("user", "persona", "battery", "asks for"):
        rows.add_column(column, justify="right" if column == "battery" else "left")
    for column in ("shared", "quality", "delay", "energy", "bit errors", "rating"):
        rows.add_column(column, justify="right")
    captions = library().captions
    for user in range(simulator.users):
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
            simulator.names[simulator.person[0, user]],
            f"{100 * simulator.left_j[0, user] / simulator.settings.battery_j:.0f}%",
            captions[simulator.slot.caption[0, user]],
            *got,
        )
    console = Console(width=SHOWN, color_system=None)
    with console.capture() as captured:
        console.print(rows)
    return f"{_title(simulator, last)}\n{captured.get()}"


def picture(simulator: SharedDenoisingSimulator, last: Last) -> NDArray[np.uint8]:
    """Batteries, and shared steps and ratings of the last slot, of the users of the first session as bars.

    Returns:
        RGB image, shape (400, 600, 3).
    """
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(3, 1, sharex=True)
    users = np.arange(simulator.users)
    nothing = np.zeros(simulator.users)
    drawn = (
        ("shared steps", nothing if last is None else last[0].shared[0], 0, STEPS, "tab:blue"),
        ("rating", nothing if last is None else last[1][0] - 1, 1, 5, "tab:orange"),
        ("battery (%)", 100 * simulator.left_j[0] / simulator.settings.battery_j, 0, 100, "tab:green"),
    )
    for axes, (label, heights, low, high, colour) in zip(panels, drawn, strict=True):
        axes.bar(users, heights, bottom=low, color=colour)
        axes.set_ylim(low, high)
        axes.set_ylabel(label)
    panels[-1].set_xlabel("user")
    panels[0].set_title(_title(simulator, last), fontsize=9)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _title(simulator: SharedDenoisingSimulator, last: Last) -> str:
    slot = f"slot {int(simulator.index[0])} of {simulator.settings.slots}"
    if last is None:
        return f"{slot}, users wait"
    return f"{slot}; in the last, mean opinion {last[1][0].mean():.2f}, {last[0].server_j[0].sum():.0f} J of the server"

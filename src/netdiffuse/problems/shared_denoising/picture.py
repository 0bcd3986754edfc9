"""A slot as a table and as a picture."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from netdiffuse.problems.shared_denoising.outcomes import STEPS, Outcome

SHOWN = 100  # characters a line


def table(outcome: Outcome, opinions: NDArray[Any]) -> str:
    """The users of the first session as text: what they got and what they said."""
    rows = Table(box=None, header_style="")
    for column in ("user", "shared steps", "quality", "delay (s)", "energy (J)", "bit errors (%)", "rating"):
        rows.add_column(column, justify="right")
    for user, opinion in enumerate(opinions[0]):
        numbers = [getattr(outcome, name)[0, user] for name in ("shared", "quality", "delay_s", "device_j")]
        text = [f"{numbers[0]:d}", f"{numbers[1]:.2f}", f"{numbers[2]:.1f}", f"{numbers[3]:.1f}"]
        rows.add_row(str(user), *text, f"{100 * outcome.bit_error_rate[0, user]:.1f}", f"{opinion:.2f}")
    console = Console(width=SHOWN, color_system=None)
    with console.capture() as captured:
        console.print(rows)
    return f"{_title(outcome, opinions)}\n{captured.get()}"


def picture(outcome: Outcome, opinions: NDArray[Any]) -> NDArray[np.uint8]:
    """Shared steps and ratings of the users of the first session as bars.

    Returns:
        RGB image, shape (400, 600, 3).
    """
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    users = np.arange(opinions.shape[1])
    above.bar(users, outcome.shared[0], color="tab:blue")
    above.set_ylim(0, STEPS)
    above.set_ylabel(f"shared of {STEPS} steps")
    below.bar(users, opinions[0] - 1, bottom=1, color="tab:orange")
    below.set_ylim(1, 5)
    below.set_ylabel("rating")
    below.set_xlabel("user")
    above.set_title(_title(outcome, opinions), fontsize=9)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _title(outcome: Outcome, opinions: NDArray[Any]) -> str:
    return f"mean opinion {opinions[0].mean():.2f}, {outcome.server_j[0]:.0f} J of the server"

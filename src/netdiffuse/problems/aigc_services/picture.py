"""What the providers are doing, as a table and as a picture."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from netdiffuse.problems.aigc_services.simulator import ServiceSimulator

SHOWN = 100  # characters a line


def table(simulator: ServiceSimulator, last: int | None = None) -> str:
    """The providers of the first episode as text, the one that got the last task marked."""
    total, load, running = simulator.providers.total_t, simulator.load[0], simulator.running[0]
    quality = simulator.quality()[0]
    rows = Table(box=None, header_style="")
    for column in ("", "provider", "capacity", "used", "free", "tasks", "quality for this task"):
        rows.add_column(column, justify="left" if not column else "right")
    for i in range(len(total)):
        mark = ">" if i == last else ""
        numbers = [f"{total[i]:.0f}", f"{load[i]:.0f}", f"{total[i] - load[i]:.0f}", str(running[i])]
        rows.add_row(mark, str(i), *numbers, f"{quality[i]:.3f}")
    console = Console(width=SHOWN, color_system=None)
    with console.capture() as captured:
        console.print(rows)
    return f"{_title(simulator)}\n{captured.get()}"


def picture(simulator: ServiceSimulator, last: int | None = None) -> NDArray[np.uint8]:
    """Load and capacity of the providers of the first episode as bars, the one that got the last task in orange.

    Returns:
        RGB image, shape (400, 600, 3).
    """
    total, load = simulator.providers.total_t, simulator.load[0]
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    numbers = np.arange(len(total))
    axes.bar(numbers, total, color="0.9", label="capacity")
    colours: list[Any] = ["tab:orange" if i == last else "tab:blue" for i in numbers]
    axes.bar(numbers, load, color=colours, label="in use")
    axes.set_xlabel("provider (orange: got the last task)")
    axes.set_ylabel("denoising steps at once")
    axes.set_title(_title(simulator), fontsize=9)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _title(simulator: ServiceSimulator) -> str:
    counts = ", ".join(f"{int(values[0])} {name}" for name, values in simulator.counts.items())
    return f"time {int(simulator.now[0]):,} s, task of {int(simulator.need[0])} steps waits; {counts}"

"""One look for every figure: colours that colour-blind readers tell apart, light axes, no boxes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netdiffuse.common.files import atomic_path

# Okabe and Ito (2008), "Color Universal Design", without black and yellow (too faint on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":")
POLICY, REFERENCE, MUTED, CONTEXT = "#0072B2", "#E69F00", "#767676", "#A8A8A8"

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Use the look within a block."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches; not registered with pyplot, so nothing has to be closed."""
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    with styled(), atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def colour(index: int) -> tuple[str, str]:
    """Colour and line style of the method at this place; no two places up to 24 share both."""
    return COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]


def label(name: str, unit: str) -> str:
    """An axis label with its unit, if it has one."""
    return f"{name} ({unit})" if unit else name


def level_lines(axes: Axes, levels: dict[str, float], x: float) -> None:
    """Draw horizontal lines with their names at `x`, where those too close to tell apart share one name."""
    low, high = axes.get_ylim()
    groups: list[tuple[float, list[str]]] = []
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        if not low <= value <= high:
            continue
        axes.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        if groups and value - groups[-1][0] < 0.055 * (high - low):
            groups[-1][1].append(name)
        else:
            groups.append((value, [name]))
    for value, names in groups:
        axes.annotate(
            ", ".join(names),
            (x, value),
            xytext=(-2, 3),
            textcoords="offset points",
            color=MUTED,
            fontsize=8.5,
            ha="right",
        )

"""Split denoising in figures: quality against shared steps and bit errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from netdiffuse.experiments.figures.curves import FEW
from netdiffuse.experiments.figures.style import MUTED, colour, new_figure, styled

Row = Mapping[str, Any]
MEASURES = {
    "fidelity": "shows its own prompt (probability)",
    "leader_fidelity": "shows the leader's prompt (probability)",
    "ssim": "SSIM to the picture made alone",
}


def shared_steps_figure(rows: Sequence[Row], steps: int) -> Figure:
    """Draw the quality of a follower's picture against the steps it shares, a panel a measure, over a perfect link.

    Args:
        rows: as in a study's results.json: `leader`, `follower`, `similarity`, `shared`, `bit_error_rate`, and of each
            measure the mean and `_half_width`.
        steps: T, of the whole chain.
    """
    return _figure(rows, "shared", lambda row: row["bit_error_rate"] == 0, f"shared steps of {steps}")


def bit_errors_figure(rows: Sequence[Row], shared: int, steps: int) -> Figure:
    """Draw the quality of a follower's picture against the bit error rate of the link, after so many shared steps.

    Args:
        rows: as for `shared_steps_figure`.
        shared: k.
        steps: T.
    """
    figure = _figure(
        [dict(row) | {"percent": 100 * row["bit_error_rate"]} for row in rows],
        "percent",
        lambda row: row["shared"] == shared,
        "bit error rate (%)",
    )
    figure.suptitle(f"{shared} shared steps, {steps - shared} of one's own", x=0.01, ha="left", fontsize=9, color=MUTED)
    return figure


def _figure(rows: Sequence[Row], axis: str, chosen: Any, label: str) -> Figure:
    kept = sorted((row for row in rows if chosen(row)), key=lambda row: row[axis])
    pairs = dict.fromkeys((row["leader"], row["follower"]) for row in sorted(kept, key=lambda row: -row["similarity"]))
    with styled():
        figure = new_figure(4.2 * len(MEASURES), 3.9 + 0.18 * len(pairs))
        panels = figure.subplots(1, len(MEASURES), squeeze=False)[0]
        for index, pair in enumerate(pairs):
            own = [row for row in kept if (row["leader"], row["follower"]) == pair]
            name = f"{pair[1]}, led by {pair[0]} (cosine {own[0]['similarity']:.2f})"
            for axes, measure in zip(panels, MEASURES, strict=True):
                _line(axes, own, axis, measure, index, name)
        for axes, measure in zip(panels, MEASURES, strict=True):
            axes.set_xlabel(label)
            axes.set_ylabel(MEASURES[measure])
            axes.set_ylim(-0.03, 1.03)
            if axis == "shared":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8.5, ncols=2)
    return figure


def _line(axes: Axes, rows: Sequence[Row], axis: str, measure: str, index: int, name: str) -> None:
    """One pair: the mean, and the 95% interval over the seeds, of which there must be five or more."""
    ink, line = colour(index)
    x = [row[axis] for row in rows]
    mean = [row[measure] for row in rows]
    # An interval of a few seeds says nothing, and no measure leaves [0, 1].
    half = [row[f"{measure}_half_width"] or 0.0 if row["seeds"] >= FEW else 0.0 for row in rows]
    axes.plot(x, mean, line, color=ink, marker="o", ms=3, label=name)
    low = [max(m - h, 0.0) for m, h in zip(mean, half, strict=True)]
    high = [min(m + h, 1.0) for m, h in zip(mean, half, strict=True)]
    axes.fill_between(x, low, high, color=ink, alpha=0.15, linewidth=0)

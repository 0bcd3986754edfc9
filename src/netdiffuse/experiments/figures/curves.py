"""Learning curves: a measure over the seconds of training, against the reference and the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from netdiffuse.common import mean_interval
from netdiffuse.experiments.figures.style import colour, level_lines, new_figure, styled

Array = NDArray[np.float64]
FEW = 5  # runs, below which no interval is drawn
SPARSE = 10  # points of a curve, up to which each is marked


@dataclass(frozen=True)
class Curve:
    """One run's learning curve.

    Attributes:
        seconds: seconds of training, shape (n,), rising.
        values: the measure, shape (n,).
    """

    seconds: Sequence[float]
    values: Sequence[float]


def curves_figure(
    curves: Mapping[str, Sequence[Curve]],
    *,
    title: str,
    measure: str = "optimality (% of the reference)",
    reference: float | None = 100.0,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the curves of each method: one line for a single run; the mean of several, with a band around it.

    The band is the 95% interval over five runs or more, and the range of fewer.

    Where the measure is a percentage that stays below the reference, a second panel shows what is missing to
    it on a logarithmic scale: there the difference between 99% and 99.9% can be seen. Where there is no reference and
    the rules lie far apart, a second panel shows where the curves end.

    Args:
        curves: method to its runs, one a seed.
        title: of the figure.
        measure: label of the axis, with its unit.
        reference: the reference's value, or None where there is none.
        levels: rules to their value, as dashed lines.
    """
    with styled():
        drawn = {name: band(runs) for name, runs in curves.items()}
        highest = max(float(np.nanmax(mean)) for _, mean, _, _ in drawn.values())
        zoom = reference == 100 and 90 < highest < 100
        ends = _ends(drawn) if reference is None and levels else None
        wide = zoom or ends is not None
        figure = new_figure(10.5 if wide else 6.8, 4.2)
        panels = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
        end = max(float(x[-1]) for x, _, _, _ in drawn.values())
        for axes in panels:
            axes.set_xlabel("training time (s)")
            axes.set_xlim(0, end)
        for index, (name, (x, mean, low, high)) in enumerate(drawn.items()):
            ink, line = colour(index)
            sparse = len(curves[name]) == 1 and len(x) <= SPARSE  # show what was measured, and what is drawn between
            panels[0].plot(x, mean, line, color=ink, label=name, marker="o" if sparse else None, ms=4)
            panels[0].fill_between(x, low, high, color=ink, alpha=0.18, linewidth=0)
            if zoom:
                panels[1].plot(x, 100 - mean, line, color=ink)
                floor = 0.02 * (100 - mean)  # of what an interval leaves missing: less has no place on the axis
                panels[1].fill_between(x, np.maximum(100 - high, floor), 100 - low, color=ink, alpha=0.18, linewidth=0)
            elif ends is not None:
                panels[1].plot(x, mean, line, color=ink)
                panels[1].fill_between(x, low, high, color=ink, alpha=0.18, linewidth=0)
        _levels(panels[0], drawn, reference, dict(levels or {}), end)
        panels[0].set_ylabel(measure)
        panels[0].set_title(title)
        if zoom:
            _missing(panels[1])
        elif ends is not None:
            panels[1].set_ylim(*ends)
            panels[1].set_title("the same, where they end")
            level_lines(panels[1], dict(levels or {}), end)
        if len(drawn) > 1:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def band(runs: Sequence[Curve]) -> tuple[Array, Array, Array, Array]:
    """Mean, and lower and upper end of the band, on a common axis of time.

    The band is the 95% interval or, of fewer than five runs, whose interval says little, their range.
    """
    if len(runs) == 1:
        values = np.asarray(runs[0].values, float)
        return np.asarray(runs[0].seconds, float), values, values, values
    x = np.linspace(0, min(run.seconds[-1] for run in runs), 200)
    every = np.array([np.interp(x, run.seconds, run.values) for run in runs])
    mean = every.mean(0)
    if len(runs) < FEW:
        return x, mean, every.min(0), every.max(0)
    half = np.array([mean_interval(list(column)).half_width for column in every.T])
    return x, mean, mean - half, mean + half


def _levels(
    axes: Axes,
    drawn: Mapping[str, tuple[Array, Array, Array, Array]],
    reference: float | None,
    levels: dict[str, float],
    end: float,
) -> None:
    """Choose the range of the axis, and draw the reference and the rules that lie in it."""
    means = np.concatenate([mean for _, mean, _, _ in drawn.values()])
    if reference is None:  # the rules are all that a curve can be held against: show them all
        inner = list(levels.values())
        high = max(float(np.nanmax(means)), *inner) if inner else float(np.nanmax(means))
    else:  # the start of training may lie very low: show the part from the best rule, or most of the curves
        inner = [max(levels.values())] if levels else []
        high = max(float(np.nanmax(means)), reference)
    low = min([float(np.nanquantile(means, 0.1)), *inner])
    margin = 0.06 * (high - low or abs(high) or 1.0)
    axes.set_ylim(low - 2 * margin, high + margin)
    level_lines(axes, levels | ({"reference": reference} if reference is not None else {}), end)


def _ends(drawn: Mapping[str, tuple[Array, Array, Array, Array]]) -> tuple[float, float] | None:
    """The range of most of the curves after a tenth of the time; None where they span little more anyway."""
    means = np.concatenate([mean for _, mean, _, _ in drawn.values()])
    late = np.concatenate([mean[x >= 0.1 * x[-1]] for x, mean, _, _ in drawn.values()])
    low, high = float(np.quantile(late, 0.1)), float(late.max())  # not of those that fall back
    if not high > low or high - low > 0.3 * float(np.nanmax(means) - np.nanmin(means)):
        return None
    margin = 0.1 * (high - low)
    return low - margin, high + margin


def _missing(axes: Axes) -> None:
    """Format the logarithmic axis of what is missing to the reference."""
    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("missing to the reference (%)")
    axes.set_title("the same, close to the reference")

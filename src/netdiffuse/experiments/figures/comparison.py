"""Final results of several methods: every seed, the mean and its 95% interval."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from netdiffuse.common import mean_interval
from netdiffuse.experiments.figures.style import MUTED, POLICY, new_figure, styled

LONGEST_LABEL = 28  # characters a line


def comparison_figure(results: Mapping[str, Sequence[float]], *, title: str, measure: str) -> Figure:
    """Draw the final value of each method, the best on top.

    Args:
        results: method to its values, one a seed.
        title: of the figure.
        measure: label of the axis, with its unit.
    """
    order = sorted(results, key=lambda name: float(np.mean(results[name])))
    with styled():
        labels = [folded(name) for name in order]
        figure = new_figure(6.8, 1.2 + 0.42 * len(order) * max(1 + label.count("\n") / 2 for label in labels))
        axes = figure.subplots()
        for y, name in enumerate(order):
            values = results[name]
            mean, half = mean_interval(list(values))
            axes.plot(values, np.full(len(values), y - 0.22), "o", color=MUTED, alpha=0.55, ms=5, mec="none")
            axes.errorbar(mean, y, xerr=0 if np.isnan(half) else half, fmt="D", color=POLICY, ms=5.5, capsize=3)
            axes.annotate(
                f"{mean:.2f}", (mean, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8.5
            )
        axes.set_yticks(range(len(order)), labels)
        axes.set_ylim(-0.6, len(order) - 0.2)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(measure)
        axes.set_title(f"{title}: mean and 95% interval (blue), seeds (grey, below)")
    return figure


def folded(name: str) -> str:
    """A method's name in lines, broken between its settings, so that many settings leave room for the picture."""
    lines = [""]
    for part in name.split(":"):
        joined = f"{lines[-1]}:{part}" if lines[-1] else part
        if len(joined) > LONGEST_LABEL and lines[-1]:
            lines[-1] += ":"
            lines.append(part)
        else:
            lines[-1] = joined
    return "\n".join(lines)

"""Figures of runs and comparisons, one file a kind."""

from netdiffuse.experiments.figures.comparison import comparison_figure
from netdiffuse.experiments.figures.curves import Curve, curves_figure
from netdiffuse.experiments.figures.decisions import decisions_figure
from netdiffuse.experiments.figures.plot import plot_run
from netdiffuse.experiments.figures.regret import regret_figure
from netdiffuse.experiments.figures.trajectory import trajectory_figure

__all__ = [
    "Curve",
    "comparison_figure",
    "curves_figure",
    "decisions_figure",
    "plot_run",
    "regret_figure",
    "trajectory_figure",
]

"""What people have rated against what the simulated users say, before and after these are corrected."""

import numpy as np
from matplotlib.figure import Figure

from netdiffuse.experiments.figures.style import MUTED, POLICY, new_figure, styled
from netdiffuse.experiments.ratings import RATINGS, calibrated, has_learned, kept_ratings
from netdiffuse.experiments.run import Run
from netdiffuse.users import Calibration
from netdiffuse.users.qoe import CEILING, FLOOR


def ratings_figures(run: Run) -> dict[str, Figure]:
    """The figure `ratings` of a run that has learned from people's ratings; none of another.

    Raises:
        RunError, DataFileError: its checkpoint or its ratings are damaged.
    """
    if not has_learned(run):
        return {}
    _, rated = kept_ratings(run)
    return {"ratings": ratings_figure(calibrated(rated, run.path / RATINGS), rated.ratings)}


def ratings_figure(calibration: Calibration, ratings: np.ndarray) -> Figure:
    """Ratings, shape (n,), against the simulated users' means, and against these with what the other ratings teach."""
    rated = ratings[-len(calibration.differences) :]
    before, told = rated - calibration.differences, calibration.to_dict()
    after = before + calibration.left_out
    titles = (
        f"simulated users: rms {told['rms_difference']:.2f}",
        f"corrected by the other ratings: rms {told['rms_left_out']:.2f}",
    )
    with styled():
        figure = new_figure(7.2, 3.6)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, said, title in zip(panels, (before, after), titles, strict=True):
            axes.plot([FLOOR, CEILING], [FLOOR, CEILING], color=MUTED, lw=1, ls="--")
            axes.plot(said, rated, "o", color=POLICY, ms=4, alpha=0.5, mew=0)
            axes.set_title(title)
            axes.set_aspect("equal")
            axes.set_xticks(range(int(FLOOR), int(CEILING) + 1))
            axes.set_yticks(range(int(FLOOR), int(CEILING) + 1))
        panels[0].set_ylabel("rated")
        figure.supxlabel("said by the model", fontsize=10)
    return figure

"""A picture of one context and the decision taken in it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from netdiffuse.problems.base import Problem

Array = NDArray[Any]


def picture(problem: Problem, context: Array, decision: Array | None = None) -> NDArray[np.uint8]:
    """Draw the context above the decision: a matrix as an image, everything else as bars.

    Args:
        problem: the problem, for units.
        context: shape context_shape.
        decision: shape decision_shape, or None where none has been taken yet.

    Returns:
        RGB image, shape (400, 600, 3).
    """
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    _draw(above, "context", context, problem.context_unit, "tab:blue")
    below_values = np.zeros(problem.decision_shape) if decision is None else decision
    _draw(below, "decision", below_values, problem.decision_unit, "tab:orange")
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _draw(axes: Axes, name: str, values: Array, unit: str, colour: str) -> None:
    label = f"{name} ({unit})" if unit else name
    if values.ndim == 2:
        image = axes.imshow(values, aspect="auto")
        axes.figure.colorbar(image, ax=axes, label=label)
    else:
        axes.bar(np.arange(values.size), values.ravel(), color=colour)
        axes.set_ylabel(label)
    axes.set_xlabel("entry")

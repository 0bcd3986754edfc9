"""Decisions beside the reference's, for a few contexts."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from netdiffuse.experiments.figures.style import (
    CONTEXT,
    POLICY,
    REFERENCE,
    label,
    new_figure,
    styled,
)
from netdiffuse.problems.base import Problem

BARS = 30  # entries that can be told apart as bars


def decisions_figure(problem: Problem, contexts: Tensor, decisions: Tensor, reference: Tensor | None) -> Figure:
    """Draw contexts (above) and what is decided in them (below), one column a context.

    Args:
        problem: for names and units.
        contexts: shape (n, *context_shape), a few.
        decisions: the policy's, shape (n, *decision_shape).
        reference: likewise the reference's, or None.
    """
    with styled():
        columns = len(contexts)
        figure = new_figure(3.6 * columns, 4.8)
        grid = figure.subplots(2, columns, squeeze=False, sharey="row", height_ratios=(1, 1.5))
        utility = problem.utility(contexts, decisions)
        best = None if reference is None else problem.utility(contexts, reference)
        entity = _word(problem.decision_names[0])
        for i in range(columns):
            _context(grid[0, i], problem, contexts[i].numpy())
            title = f"{float(utility[i]):.3g} {problem.utility_unit}".strip()
            if best is not None:
                title += f", {100 * float(utility[i] / best[i]):.1f}% of the reference"
            axes = grid[1, i]
            axes.set_title(title)
            _pair(
                axes,
                decisions[i].flatten().numpy(),
                None if reference is None else reference[i].flatten().numpy(),
            )
            axes.set_xlabel("entry of the decision")
            grid[0, i].set_title(f"context {i + 1}")
        quantity = label(_word(problem.context_names[0]), problem.context_unit)
        if problem.structure == "pairs":
            grid[0, 0].set_title(f"context 1: {quantity}, darker is more")
        else:
            grid[0, 0].set_ylabel(quantity)
        grid[1, 0].set_ylabel(label(entity, problem.decision_unit))
        handles, labels = grid[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure


def _context(axes: Axes, problem: Problem, context: NDArray[np.float64]) -> None:
    if problem.structure == "pairs":
        axes.imshow(context.reshape(context.shape[0], context.shape[1], -1)[..., 0], cmap="Greys", aspect="auto")
        axes.grid(False)
        axes.set_xlabel("from")
        axes.set_ylabel("to")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return
    values = context.flatten()
    if len(values) <= BARS:
        axes.bar(np.arange(len(values)), values, color=CONTEXT)
    else:
        axes.fill_between(np.arange(len(values)), values, step="mid", color=CONTEXT, linewidth=0)
    axes.grid(axis="x", visible=False)


def _pair(axes: Axes, decision: NDArray[np.float64], reference: NDArray[np.float64] | None) -> None:
    x = np.arange(len(decision))
    axes.grid(axis="x", visible=False)
    if len(x) <= BARS:
        width = 0.8 if reference is None else 0.4
        axes.bar(x - (0 if reference is None else 0.2), decision, width, color=POLICY, label="policy")
        if reference is not None:
            axes.bar(x + 0.2, reference, width, color=REFERENCE, label="reference")
        return
    if reference is not None:
        axes.fill_between(x, reference, step="mid", color=REFERENCE, alpha=0.55, linewidth=0, label="reference")
    axes.step(x, decision, where="mid", color=POLICY, linewidth=1.1, label="policy")


def _word(name: str) -> str:
    """`gain_0` to `gain`."""
    return name.rstrip("0123456789_")

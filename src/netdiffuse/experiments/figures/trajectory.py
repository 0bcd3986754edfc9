"""How a diffusion policy denoises: from noise, step by step, to a decision."""

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from netdiffuse.experiments.figures.style import MUTED, label, new_figure, styled
from netdiffuse.problems.base import Problem


def trajectory_figure(problem: Problem, contexts: Tensor, trajectory: Tensor, reference: Tensor | None) -> Figure:
    """Draw each entry of the decision over the denoising steps, one panel a context.

    Lines are coloured by the context of their entity (its own gain, say), where the problem has entities.

    Args:
        problem: decodes actions; gives names and units.
        contexts: shape (n, *context_shape), a few.
        trajectory: actions from noise (first) to the policy's (last), shape (steps + 1, n, action_size).
        reference: reference decisions, shape (n, *decision_shape), drawn as rings at the right, or None.
    """
    with styled():
        columns = len(contexts)
        figure = new_figure(3.4 * columns + 1, 3.8)
        panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
        decisions = problem.feasible.decode(trajectory).flatten(2).numpy()  # (steps + 1, n, entries)
        steps = np.arange(len(decisions))
        tint, name, unit = _tint(problem, contexts, decisions.shape[2])
        spans_decades = problem.log_contexts and float(tint.min()) > 0
        norm = (LogNorm if spans_decades else Normalize)(float(tint.min()), float(tint.max()))
        shades = mpl.colormaps["viridis"]
        for i, axes in enumerate(panels):
            for entry in range(decisions.shape[2]):
                ink = shades(norm(tint[i, entry]))
                axes.plot(steps, decisions[:, i, entry], color=ink, linewidth=1.5, alpha=0.9)
                if reference is not None:
                    target = float(reference[i].flatten()[entry])
                    axes.plot(steps[-1] + 0.35, target, "o", color=ink, mfc="none", ms=5, clip_on=False)
            axes.set_title(f"context {i + 1}")
            axes.set_xlabel("denoising step")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlim(0, steps[-1] + 0.5)
        panels[0].set_ylabel(label(problem.decision_names[0].rstrip("0123456789_"), problem.decision_unit))
        bar = figure.colorbar(ScalarMappable(norm, shades), ax=list(panels), pad=0.02)
        bar.set_label(label(name, unit))
        if reference is not None:
            figure.supxlabel("step 0: decoded noise; rings: the reference", fontsize=9, color=MUTED)
    return figure


def _tint(
    problem: Problem, contexts: Tensor, entries: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], str, str]:
    """What each entry is coloured by, shape (n, entries), with its name and unit."""
    n = len(contexts)
    word = problem.context_names[0].rstrip("0123456789_")
    if problem.structure == "entities" and entries == problem.context_shape[0]:
        return contexts.reshape(n, entries, -1)[..., 0].double().numpy(), word, problem.context_unit
    if problem.structure == "pairs" and entries == problem.context_shape[0]:
        own = contexts.reshape(n, entries, entries, -1)[..., 0].diagonal(dim1=1, dim2=2)
        return own.double().numpy(), f"own {word}", problem.context_unit
    return np.tile(np.arange(entries, dtype=float), (n, 1)), "entry", ""

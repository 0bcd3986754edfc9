"""The histogram of regret: where the average hides the bad cases."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from netdiffuse.experiments.figures.style import MUTED, POLICY, REFERENCE, label, new_figure, styled


def regret_figure(regret: Tensor, unit: str, baseline: tuple[str, Tensor] | None = None) -> Figure:
    """Draw how regret (reference utility - utility) is distributed over contexts.

    Args:
        regret: the policy's, shape (n,).
        unit: of the utility.
        baseline: name and regret of a rule for comparison.
    """
    values = regret.double().numpy()
    with styled():
        figure = new_figure(6.8, 3.8)
        axes = figure.subplots()
        low, high = min(float(values.min()), 0.0), float(np.quantile(values, 0.995))
        edges = np.linspace(low, high or 1e-9, 61).tolist()
        beyond = int((values > edges[-1]).sum())
        axes.hist(values, edges, color=POLICY, weights=np.full(len(values), 100 / len(values)), label="policy")
        for value, text, style in (
            (values.mean(), "mean", "-"),
            (np.quantile(values, 0.95), "95th percentile", "--"),
        ):
            axes.axvline(value, color=REFERENCE, linestyle=style, label=f"{text} {value:.3g}")
        axes.set_xlabel(label("regret", unit))
        axes.set_ylabel("share of contexts (%)")
        axes.set_xlim(edges[0], edges[-1])
        note = f"{beyond} of {len(values)} contexts lie beyond the right edge"
        if baseline is not None:
            note += f"; mean regret of {baseline[0]}: {float(baseline[1].mean()):.3g}"
        axes.set_title("Regret of the policy")
        figure.supxlabel(note, fontsize=9, color=MUTED)
        axes.legend(loc="upper right")
    return figure

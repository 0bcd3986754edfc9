"""Users in figures: how a rater's opinions move with quality, delay and energy."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from netdiffuse.experiments.figures.style import colour, new_figure, styled

LABELS = {"quality": "quality of the picture", "delay_s": "delay (s)", "energy_share": "share of the battery drawn (%)"}


def audit_figure(
    sweeps: Mapping[str, Mapping[str, Sequence[float]]], levels: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Draw the mean rating of each persona while one thing is swept, a panel a thing.

    Args:
        sweeps: by "quality", "delay_s" and "energy_share", and by persona, the rating at each level.
        levels: by the same, the levels.
        title: what was audited.
    """
    with styled():
        figure = new_figure(4.0 * len(sweeps), 3.9)
        panels = figure.subplots(1, len(sweeps), squeeze=False, sharey=True)[0]
        for axes, (name, rows) in zip(panels, sweeps.items(), strict=True):
            x = [100 * level for level in levels[name]] if name == "energy_share" else levels[name]
            for index, (persona, ratings) in enumerate(rows.items()):
                ink, line = colour(index)
                axes.plot(x, ratings, line, color=ink, marker="o", ms=3.5, label=persona)
            axes.set_xlabel(LABELS[name])
            if name == "delay_s":
                axes.set_xscale("log", base=2)
                axes.set_xticks(x, [f"{level:g}" for level in x])
        panels[0].set_ylabel("rating, 1 (bad) to 5 (excellent)")
        panels[0].set_ylim(0.9, 5.1)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8.5, ncols=6)
    return figure

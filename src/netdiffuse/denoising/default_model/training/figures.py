"""A training of the small model in figures: the loss of its stages, and pictures that it came to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL.Image import Image

from netdiffuse.common.files import atomic_path

COLUMNS = 8  # of a contact sheet
DOTS_AN_INCH = 160


def contact_sheet_figure(pictures: Sequence[Image], captions: Sequence[str]) -> Figure:
    """Draw pictures with their captions below, eight a row."""
    rows = -(-len(pictures) // COLUMNS)
    figure = Figure(figsize=(1.45 * COLUMNS, 1.62 * rows), layout="constrained")
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.axis("off")
    for axes, picture, caption in zip(figure.axes, pictures, captions, strict=False):
        axes.imshow(picture)
        axes.text(0.5, -0.04, caption, transform=axes.transAxes, ha="center", va="top", fontsize=6)
    return figure


def training_figure(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw the loss of every stage of a training over its steps, a panel a stage."""
    figure = Figure(figsize=(4.0 * len(curves), 3.0), layout="constrained")
    for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        axes.plot([point["step"] for point in curve], [point["loss"] for point in curve])
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.set_title(name, loc="left", fontsize=10)
        axes.grid(color="#E6E6E6")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_AN_INCH)

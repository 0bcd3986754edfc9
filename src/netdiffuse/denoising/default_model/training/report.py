"""What a training has come to, in pictures and numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL.Image import Image

from netdiffuse.denoising.default_model.classifier import picture_tensor
from netdiffuse.experiments.figures.style import POLICY, new_figure, save, styled

_COLUMNS = 8
_BATCH = 50


def contact_sheet(pictures: Sequence[Image], captions: Sequence[str], path: Path) -> Path:
    """Draw pictures with their captions below."""
    rows = -(-len(pictures) // _COLUMNS)
    with styled():
        figure = new_figure(1.45 * _COLUMNS, 1.62 * rows)
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
        for axes in panels:
            axes.axis("off")
        for axes, picture, caption in zip(figure.axes, pictures, captions, strict=False):
            axes.imshow(picture)
            axes.text(0.5, -0.04, caption, transform=axes.transAxes, ha="center", va="top", fontsize=6)
    return save(figure, path)


def loss_curve(curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> Path:
    """Draw the loss of every stage over its steps."""
    with styled():
        figure = new_figure(4.0 * len(curves), 3.0)
        for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
            axes.plot([point["step"] for point in curve], [point["loss"] for point in curve], color=POLICY)
            axes.set(title=name, xlabel="step", ylabel="loss", yscale="log")
    return save(figure, path)


@torch.no_grad()
def reconstruction_psnr_db(autoencoder: AutoencoderKL, pictures: Sequence[Image]) -> float:
    """PSNR of pictures through the autoencoder, of their mean squared error together."""
    errors = []
    for start in range(0, len(pictures), _BATCH):
        x = picture_tensor(pictures[start : start + _BATCH])
        again = autoencoder.decode(autoencoder.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        errors.append(((again - x) / 2).square().mean((1, 2, 3)))
    return float(-10 * torch.cat(errors).mean().log10())

"""What to put where values were lost."""

from typing import Literal

import torch
from torch import Tensor

FAILURE_MODES = ("keep", "noise", "mean", "fail")
FailureMode = Literal["keep", "noise", "mean", "fail"]


def conceal(rows: Tensor, lost: Tensor, ranges: Tensor, noisy: bool, generator: torch.Generator) -> Tensor:
    """Replace lost values by something like those of the same slice that arrived.

    Args:
        rows: values, shape (slices, n).
        lost: which of them were lost, same shape.
        ranges: centre and half width of each slice's range, shape (slices, 2).
        noisy: draw them from a normal distribution with the mean and the standard deviation of those that arrived,
            so that a denoiser meets the noise level that it expects; otherwise take the mean.
        generator: for the draws.

    Where fewer than two values of a slice arrived, the range's centre and a third of its half width serve instead:
    nearly all of a normal distribution is within three standard deviations.
    """
    arrived = (~lost).to(rows.dtype)
    count = arrived.sum(1, keepdim=True)  # (slices, 1)
    enough = count >= 2
    mean = torch.where(enough, (rows * arrived).sum(1, keepdim=True) / count.clamp(min=1), ranges[:, :1])
    if not noisy:
        return torch.where(lost, mean, rows)
    variance = ((rows - mean).square() * arrived).sum(1, keepdim=True) / (count - 1).clamp(min=1)
    deviation = torch.where(enough, variance.sqrt(), ranges[:, 1:] / 3)
    drawn = mean + deviation * torch.randn(rows.shape, dtype=rows.dtype, generator=generator)
    return torch.where(lost, drawn, rows)

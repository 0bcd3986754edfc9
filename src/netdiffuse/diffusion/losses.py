"""Losses of a diffusion model: functions that return the loss and its metrics."""

import torch
from torch import Tensor

from netdiffuse.diffusion.model import DiffusionModel

Metrics = dict[str, float]


def denoising_loss(
    model: DiffusionModel,
    context: Tensor,
    x0: Tensor,
    weights: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Metrics]:
    """Weighted denoising error, the mean of w (x0 - x0_hat(x_t, t))^2 over t, noise and entries (Ho et al., 2020).

    The error is taken on the bounded estimate of x0 whatever the network predicts, so that it means the same for x0,
    eps and v prediction and late, nearly clean steps do not dominate.

    Args:
        model: the diffusion model.
        context: standardised contexts, shape (n, d).
        x0: actions to imitate, shape (n, action_size), in [-1, 1].
        weights: weight of each sample, shape (n,), finite and non-negative; equal when None.
        generator: source of timesteps and noise; the global one when None.
    """
    x_t, t = model.diffuse(x0, generator)
    error = (model.predict_x0(x_t, t, model.denoiser.embed(context)) - x0).square().mean(1)
    loss = error.mean() if weights is None else (weights * error).sum() / weights.sum()
    return loss, {"denoising_loss": float(loss.detach())}

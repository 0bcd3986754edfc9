"""Samplers as generators: each yields x_T, x_{T-1}, ..., x_0, so a chain can be watched, or split at any step."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from netdiffuse.common import UnknownNameError
from netdiffuse.diffusion.prediction import to_eps
from netdiffuse.diffusion.schedules import Schedule

PredictX0 = Callable[[Tensor, int], Tensor]
"""A denoiser seen by a sampler: (x_t, t) to an estimate of x0, t in 1..T."""


def ddpm(
    predict_x0: PredictX0,
    x: Tensor,
    schedule: Schedule,
    generator: torch.Generator | None = None,
    start: int | None = None,
) -> Iterator[Tensor]:
    """Ancestral sampling (Ho et al., NeurIPS 2020, equation 7), noise at every step but the last.

    x_{t-1} ~ N(mu, s^2), mu = (sqrt(a_{t-1}) beta_t x0 + sqrt(alpha_t)(1 - a_{t-1}) x_t) / (1 - a_t),
    s^2 = beta_t (1 - a_{t-1}) / (1 - a_t), where a is alpha_bar.

    Args:
        predict_x0: the denoiser.
        x: x_start, shape (n, d); pure noise when start is T.
        schedule: the noise schedule.
        generator: source of the noise, on the device of x; the global one when None.
        start: the timestep of x (T when None).
    """
    yield x
    a = schedule.alpha_bar.tolist()
    for t in range(len(schedule) if start is None else start, 0, -1):
        x0 = predict_x0(x, t)
        alpha = a[t] / a[t - 1]
        mean = (a[t - 1] ** 0.5 * (1 - alpha) * x0 + alpha**0.5 * (1 - a[t - 1]) * x) / (1 - a[t])
        if t > 1:
            sigma = ((1 - alpha) * (1 - a[t - 1]) / (1 - a[t])) ** 0.5
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = mean + sigma * noise
        else:
            x = mean
        yield x


def ddim(
    predict_x0: PredictX0,
    x: Tensor,
    schedule: Schedule,
    generator: torch.Generator | None = None,
    start: int | None = None,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """Implicit sampling (Song et al., ICLR 2021, equation 12): no noise when eta is 0; eta = 1 is DDPM.

    Args: as `ddpm`, and eta in [0, 1], the share of DDPM's noise.
    """
    yield x
    a = schedule.alpha_bar.tolist()  # arithmetic on tensors of one number would cost more than the network
    for t in range(len(schedule) if start is None else start, 0, -1):
        x0 = predict_x0(x, t)
        now, before = a[t], a[t - 1]
        eps = to_eps(x0, x, now)
        sigma = eta * ((1 - before) / (1 - now) * (1 - now / before)) ** 0.5
        x = before**0.5 * x0 + max(1 - before - sigma**2, 0.0) ** 0.5 * eps
        if sigma > 0 and t > 1:
            x = x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        yield x


Sampler = Callable[[PredictX0, Tensor, Schedule, torch.Generator | None], Iterator[Tensor]]
SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim}


def get_sampler(name: str) -> Sampler:
    """The sampler called `name`: "ddpm" or "ddim".

    Raises:
        UnknownNameError: no such sampler.
    """
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]


def last(chain: Iterator[Tensor]) -> Tensor:
    """Run a sampler to its end and return x_0."""
    for x in chain:  # noqa: B007
        pass
    return x

"""Noise schedules: a schedule is data, the cumulative signal level alpha_bar at each timestep.

`alpha_bar[0] = 1` (clean) and `alpha_bar[T]` is near 0 (noise); a forward step keeps
`x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) eps`. Subclasses only construct the tensor.
"""

import math

import torch
from torch import Tensor

from netdiffuse.common import UnknownNameError, checks


class Schedule:
    """A noise schedule of T steps.

    Attributes:
        alpha_bar: shape (T + 1,), float32, strictly decreasing from 1.
    """

    def __init__(self, alpha_bar: Tensor) -> None:
        self.alpha_bar = alpha_bar.to(torch.float32)

    def __len__(self) -> int:
        """Number of denoising steps T."""
        return len(self.alpha_bar) - 1

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Sample q(x_t | x_0): x0 and noise (n, d), t (n,) integers in 1..T."""
        alpha_bar = self.alpha_bar.to(x0.device)[t].unsqueeze(-1)  # (n, 1)
        return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def _from_betas(betas: Tensor) -> Tensor:
    return torch.cat([torch.ones(1, dtype=betas.dtype), torch.cumprod(1 - betas, 0)])


class VPSchedule(Schedule):
    """Discretised variance-preserving SDE (Xiao et al., ICLR 2022, arXiv 2112.07804; used by Diffusion-QL and GDMOPT).

    alpha_t = exp(-beta_min / T - (beta_max - beta_min)(2t - 1) / (2 T^2)): alpha_bar[T] is nearly the same for every T,
    so the schedule suits very short chains.
    """

    def __init__(self, steps: int, beta_min: float = 0.1, beta_max: float = 10.0) -> None:
        t = torch.arange(1, steps + 1, dtype=torch.float64)
        super().__init__(
            _from_betas(1 - torch.exp(-beta_min / steps - (beta_max - beta_min) * (2 * t - 1) / (2 * steps**2)))
        )


class CosineSchedule(Schedule):
    """Cosine schedule (Nichol and Dhariwal, ICML 2021, arXiv 2102.09672, equation 17), betas below 0.999."""

    def __init__(self, steps: int, offset: float = 0.008) -> None:
        t = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
        super().__init__(_from_betas((1 - f[1:] / f[:-1]).clamp(max=0.999)))


class LinearSchedule(Schedule):
    """Linear betas (Ho et al., NeurIPS 2020, arXiv 2006.11239), rescaled from 1000 steps to T.

    The DDPM range [1e-4, 0.02] is multiplied by 1000 / T, and kept below 0.999, so that a short chain ends in noise.
    """

    def __init__(self, steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> None:
        scale = 1000 / steps
        betas = torch.linspace(beta_end * scale, beta_start * scale, steps, dtype=torch.float64).flip(0)  # T = 1: end
        super().__init__(_from_betas(betas.clamp(max=0.999)))


SCHEDULES: dict[str, type[VPSchedule] | type[CosineSchedule] | type[LinearSchedule]] = {
    "vp": VPSchedule,
    "cosine": CosineSchedule,
    "linear": LinearSchedule,
}


def make_schedule(name: str, steps: int) -> Schedule:
    """Make the schedule called `name` ("vp", "cosine" or "linear") with `steps` >= 1 denoising steps.

    Raises:
        UnknownNameError: no such schedule.
        InvalidValueError: steps below 1.
    """
    if name not in SCHEDULES:
        raise UnknownNameError("schedule", name, SCHEDULES)
    return SCHEDULES[name](checks.integer("denoising_steps", steps))

"""A conditional diffusion model over actions: denoiser, schedule, prediction target and smooth bound in one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from netdiffuse.diffusion.denoisers import Denoiser
from netdiffuse.diffusion.prediction import Prediction, check_prediction, to_x0
from netdiffuse.diffusion.samplers import ddim, get_sampler, last
from netdiffuse.diffusion.schedules import make_schedule


class DiffusionModel(nn.Module):
    """p(action | context) as a short denoising chain from Gaussian noise.

    The estimate of x0 is bounded smoothly at every step, `bound * tanh(x0 / bound)`: a hard clamp has no gradient where
    it matters, and no bound lets a chain explode.

    Args:
        denoiser: the network.
        action_size: entries of an action.
        steps: denoising steps T, as the denoiser was built for.
        schedule: "vp", "cosine" or "linear".
        prediction: "x0", "eps" or "v".
        sampler: how stochastic actions are drawn, "ddpm" or "ddim". Deterministic ones always follow DDIM.
        bound: largest absolute value of an estimate of x0.
        noisy: False replaces all noise by zeros. With one step this leaves a plain feed-forward network with the same
            weights, bound and losses: the ablation `actor="mlp"`.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        denoiser: Denoiser,
        action_size: int,
        steps: int = 5,
        schedule: str = "vp",
        prediction: Prediction = "x0",
        sampler: str = "ddpm",
        bound: float = 1.0,
        noisy: bool = True,
    ) -> None:
        super().__init__()
        check_prediction(prediction)
        self.denoiser = denoiser
        self.action_size = action_size
        self.schedule = make_schedule(schedule, steps)
        self.prediction = prediction
        self.sampler = get_sampler(sampler)
        self.bound = bound
        self.noisy = noisy

    def diffuse(self, x0: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Noisy x_t of the shape of x0, (n, d), and its timestep in 1..T for each row, for a training loss.

        A network without noise starts from zeros, as it does in `forward`: sqrt(alpha_bar) x0 alone would show it the
        very sample that it is to predict.
        """
        t = torch.randint(1, len(self.schedule) + 1, (len(x0),), generator=generator, device=x0.device)
        noise = self._noise(x0.shape, x0.device, generator)
        return (self.schedule.add_noise(x0, noise, t) if self.noisy else noise), t

    def _noise(self, shape: Sequence[int], device: torch.device, generator: torch.Generator | None) -> Tensor:
        return (
            torch.randn(shape, generator=generator, device=device) if self.noisy else torch.zeros(shape, device=device)
        )

    def predict_x0(self, x: Tensor, t: int | Tensor, embedding: object) -> Tensor:
        """Estimate x0 from x_t, shape (n, action_size)."""
        output = self.denoiser(x, t, embedding)
        a = self.schedule.alpha_bar.to(x.device)[t]
        a = a if a.ndim == 0 else a.unsqueeze(-1)
        return self.bound * torch.tanh(to_x0(self.prediction, output, x, a) / self.bound)

    def trajectory(
        self,
        context: Tensor,
        x: Tensor | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Iterator[Tensor]:
        """Yield x_T, ..., x_0, each (n * draws, action_size).

        Args:
            context: standardised contexts, shape (n, d).
            x: the start of the chain, shape (n * draws, action_size), draws of a context in a row; None for one draw
                a context, of N(0, 1), or zeros (the mode of the noise) when deterministic.
            generator: source of noise; the global one when None.
            deterministic: no noise along the chain (DDIM), so that the same start always gives the same action.
        """
        embedding = self.denoiser.embed(context)
        if x is None:
            shape = (len(context), self.action_size)
            noisy = self.noisy and not deterministic
            x = self._noise(shape, context.device, generator) if noisy else torch.zeros(shape, device=context.device)
        elif len(x) != len(context):
            embedding = self.denoiser.repeat(embedding, len(x) // len(context))
        sampler = ddim if deterministic or not self.noisy else self.sampler
        return sampler(lambda x_t, t: self.predict_x0(x_t, t, embedding), x, self.schedule, generator)

    def forward(
        self,
        context: Tensor,
        x: Tensor | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Tensor:
        """Run the chain to its end: actions (n * draws, action_size). Arguments as `trajectory`."""
        return last(self.trajectory(context, x, generator, deterministic))

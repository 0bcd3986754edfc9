"""What each stage makes small."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel

from netdiffuse.denoising.default_model.classifier import Classifier
from netdiffuse.denoising.default_model.training.pictures import Drawn, tokens

NO_PROMPT = 0.1  # share of pictures whose prompt is empty, for classifier-free guidance (arXiv 2207.12598)
_KL = 1e-5
_EDGES = 1.0
_BLUR = torch.tensor([0.25, 0.5, 0.25])


class AutoencoderLoss:
    """Mean absolute error of the pixels and of their differences, which keeps edges sharp; the latents near N(0, 1).

    Args:
        autoencoder: learns.
        drawn: from these.
        batch: pictures a step.
    """

    def __init__(self, autoencoder: AutoencoderKL, drawn: Drawn, batch: int) -> None:
        self._autoencoder, self._drawn, self._batch = autoencoder, drawn, batch

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, "psnr_db" and "kl" (nats a number of the latent)."""
        pictures, _ = self._drawn.batch(self._batch, generator)
        # In bfloat16 a step takes half the time on a CPU that has it; it is exact enough for pictures of 256 levels.
        with torch.autocast(pictures.device.type, torch.bfloat16):
            posterior = self._autoencoder.encode(pictures).latent_dist
            latents = posterior.sample(generator)
            error = self._autoencoder.decode(latents).sample.float() - pictures
        edges = sum(error.diff(dim=dim).abs().mean() for dim in (2, 3)) / 2
        kl = posterior.kl().mean() / latents[0].numel()
        psnr_db = -10 * (error.detach() / 2).square().mean().log10()
        loss = error.abs().mean() + _EDGES * edges + _KL * latents[0].numel() * kl
        return loss, {"psnr_db": psnr_db, "kl": kl}


class ClassifierLoss:
    """Cross entropy of object, colour and place, on pictures that are moved, blurred, dimmed and noisy.

    Generated pictures are a little soft and smudged; drawn ones are not, and a judge of them must look past that.

    Args:
        classifier: learns.
        drawn: from these.
        batch: pictures a step.
    """

    def __init__(self, classifier: Classifier, drawn: Drawn, batch: int) -> None:
        self._classifier, self._drawn, self._batch = classifier, drawn, batch
        self._labels = drawn.labels()

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, and of each aspect the share that is right."""
        pictures, rows = self._drawn.batch(self._batch, generator)
        logits = self._classifier(worn(pictures, generator))
        labels = {aspect: numbers[rows] for aspect, numbers in self._labels.items()}
        loss = torch.stack([functional.cross_entropy(logits[aspect], labels[aspect]) for aspect in labels]).sum()
        return loss, {aspect: (logits[aspect].argmax(1) == labels[aspect]).float().mean() for aspect in labels}


class DenoiserLoss:
    """Mean squared error of v (arXiv 2202.00512), with one prompt in ten empty.

    Args:
        unet: learns.
        text_encoder: learns.
        scheduler: its noise levels.
        moments: of the latents, as `latents_of` gives them.
        scale: of the latents.
        prompts: as `prompts_of` gives them.
        batch: pictures a step.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        scheduler: DDIMScheduler,
        moments: Tensor,
        scale: float,
        prompts: Tensor,
        batch: int,
    ) -> None:
        self._unet, self._text_encoder, self._alphas = unet, text_encoder, scheduler.alphas_cumprod
        self._moments, self._scale, self._prompts, self._batch = moments, scale, prompts, batch
        self._empty = tokens([""])

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, and nothing else."""
        n = self._batch
        rows = torch.randint(self._moments.shape[1], (n,), generator=generator)
        mirrored = torch.randint(2, (n,), generator=generator)
        wording = torch.randint(self._prompts.shape[1], (n,), generator=generator)
        latents = self._scale * sampled(self._moments[mirrored, rows], generator)
        prompts = self._prompts[rows, wording]
        prompts = torch.where(torch.rand(n, 1, generator=generator) < NO_PROMPT, self._empty, prompts)
        timesteps = torch.randint(len(self._alphas), (n,), generator=generator)
        signal, spread = (a.sqrt().view(n, 1, 1, 1) for a in (self._alphas[timesteps], 1 - self._alphas[timesteps]))
        noise = torch.randn(latents.shape, generator=generator)
        embeds = self._text_encoder(prompts)[0]
        v = self._unet(signal * latents + spread * noise, timesteps, encoder_hidden_states=embeds).sample
        return functional.mse_loss(v, signal * noise - spread * latents), {}


def sampled(moments: Tensor, generator: torch.Generator) -> Tensor:
    """Latents of their mean and logarithmic variance, shape (n, 2 channels, 8, 8) to (n, channels, 8, 8)."""
    mean, log_variance = moments.float().chunk(2, 1)
    return mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)


def worn(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures in [-1, 1], each moved by up to 4 pixels, dimmed or brightened, noisy, and half of them blurred."""
    n = len(pictures)
    padded = functional.pad(pictures, (4, 4, 4, 4), mode="replicate")
    left, top = torch.randint(9, (2, n), generator=generator).tolist()
    size = pictures.shape[-1]
    moved = torch.stack([p[:, y : y + size, x : x + size] for p, x, y in zip(padded, left, top, strict=True)])
    contrast = torch.empty(n, 1, 1, 1).uniform_(0.88, 1.08, generator=generator)
    shift = torch.empty(n, 1, 1, 1).uniform_(-0.06, 0.06, generator=generator)
    noise = torch.empty(n, 1, 1, 1).uniform_(0, 0.12, generator=generator)
    blurred = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    moved = torch.where(blurred, _blur(moved), moved)
    return contrast * moved + shift + noise * torch.randn(moved.shape, generator=generator)


def _blur(pictures: Tensor) -> Tensor:
    """Twice over three pixels each way, of about one pixel's standard deviation."""
    kernel = _BLUR.outer(_BLUR).expand(3, 1, 3, 3)
    for _ in range(2):
        pictures = functional.conv2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return pictures

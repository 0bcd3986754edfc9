"""Stable Diffusion 1.x and 2.x (Rombach et al., CVPR 2022), and models in its format."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from PIL.Image import Image
from torch import Tensor, nn
from typing_extensions import override

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.families.base import Conditioning, Family
from netdiffuse.denoising.schedulers import Scheduler
from netdiffuse.denoising.state import ChainState


class StableDiffusion(Family):
    """A `StableDiffusionPipeline`."""

    name: ClassVar[str] = "stable-diffusion"
    default_guidance: float = 7.5

    @property
    @override
    def network(self) -> nn.Module:
        return self.pipeline.unet

    @property
    @override
    def default_size(self) -> tuple[int, int]:
        size, scale = self.pipeline.unet.config.sample_size, self.pipeline.vae_scale_factor
        high, wide = (size, size) if isinstance(size, int) else size
        return high * scale, wide * scale

    @override
    def latent_shape(self, height: int, width: int) -> tuple[int, ...]:
        scale = self.pipeline.vae_scale_factor
        if height % scale or width % scale:
            raise InvalidValueError(f"height and width must be multiples of {scale}, got {height} and {width}")
        return self.pipeline.unet.config.in_channels, height // scale, width // scale

    @override
    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], guidance_scale: float | None = None, negative_prompt: str = ""
    ) -> Conditioning:
        scale = self.default_guidance if guidance_scale is None else guidance_scale
        guided = self._guided(scale)
        positive, negative = self.pipeline.encode_prompt(
            list(prompts), self.device, 1, guided, [negative_prompt] * len(prompts) if negative_prompt else None
        )
        return Conditioning({"prompt": positive} | ({"negative": negative} if guided else {}), scale)

    def _guided(self, scale: float) -> bool:
        """Whether a step asks the network twice: not where it was distilled to read the scale itself (LCM)."""
        return scale > 1 and self.pipeline.unet.config.time_cond_proj_dim is None

    @override
    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        scheduler.set_timesteps(steps, device=self.device)

    @override
    def predict(
        self, scheduler: Scheduler, latents: Tensor, timestep: Tensor, conditioning: Conditioning, state: ChainState
    ) -> Tensor:
        return guided(self.pipeline.unet, scheduler, latents, timestep, conditioning, {})

    @override
    @torch.no_grad()
    def decode(self, state: ChainState) -> list[Image]:
        pipe = self.pipeline
        decoded = pipe.vae.decode(state.latents.to(self.device) / pipe.vae.config.scaling_factor, return_dict=False)[0]
        decoded, flagged = pipe.run_safety_checker(decoded, self.device, self.dtype)
        keep = [True] * len(decoded) if flagged is None else [not one for one in flagged]
        return pipe.image_processor.postprocess(decoded, output_type="pil", do_denormalize=keep)


def guided(
    unet: Any,
    scheduler: Scheduler,
    latents: Tensor,
    timestep: Tensor,
    conditioning: Conditioning,
    added: dict[str, tuple[Tensor, Tensor]],
) -> Tensor:
    """A UNet's output with classifier-free guidance: both halves in one batch, as the pipelines do.

    Args:
        unet: the network.
        scheduler: scales the input.
        latents: shape (n, c, h, w).
        timestep: a number.
        conditioning: "prompt", and "negative" where there is guidance.
        added: further inputs, each without and with the prompt.
    """
    negative = conditioning.tensors.get("negative")
    embeds = conditioning.tensors["prompt"]
    inputs, further = latents, {name: pair[1] for name, pair in added.items()}
    if negative is not None:
        inputs, embeds = torch.cat([latents] * 2), torch.cat([negative, embeds])
        further = {name: torch.cat(pair) for name, pair in added.items()}
    scale_embedding = None
    if unet.config.time_cond_proj_dim is not None:
        scale_embedding = _scale_embedding(conditioning.guidance_scale, len(latents), unet).to(latents)
    output = unet(
        scheduler.scale_model_input(inputs, timestep),
        timestep,
        encoder_hidden_states=embeds,
        timestep_cond=scale_embedding,
        added_cond_kwargs=further or None,
        return_dict=False,
    )[0]
    if negative is None:
        return output
    without, with_prompt = output.chunk(2)
    return without + conditioning.guidance_scale * (with_prompt - without)


def _scale_embedding(scale: float, n: int, unet: Any) -> Tensor:
    """Sinusoids of the guidance scale, for a network distilled to read it (Meng et al., arXiv 2210.03142)."""
    size = unet.config.time_cond_proj_dim
    half = size // 2
    frequencies = torch.exp(-torch.arange(half, dtype=torch.float32) * (torch.log(torch.tensor(1e4)) / (half - 1)))
    angles = torch.full((n, 1), 1000.0 * (scale - 1)) * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], 1)
    return nn.functional.pad(embedding, (0, size % 2))

"""Stable Diffusion 3 (Esser et al., ICML 2024, arXiv 2403.03206): a transformer over a rectified flow."""

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


class StableDiffusion3(Family):
    """A `StableDiffusion3Pipeline`."""

    name: ClassVar[str] = "sd3"
    flow: ClassVar[bool] = True
    default_guidance: float = 7.0

    @property
    @override
    def network(self) -> nn.Module:
        return self.pipeline.transformer

    @property
    @override
    def default_size(self) -> tuple[int, int]:
        size = self.pipeline.default_sample_size * self.pipeline.vae_scale_factor
        return size, size

    @override
    def latent_shape(self, height: int, width: int) -> tuple[int, ...]:
        scale, patch = self.pipeline.vae_scale_factor, self.pipeline.transformer.config.patch_size
        if height % (scale * patch) or width % (scale * patch):
            raise InvalidValueError(f"height and width must be multiples of {scale * patch}, got {height} and {width}")
        return self.pipeline.transformer.config.in_channels, height // scale, width // scale

    @override
    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], guidance_scale: float | None = None, negative_prompt: str = ""
    ) -> Conditioning:
        scale = self.default_guidance if guidance_scale is None else guidance_scale
        positive, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            negative_prompt=[negative_prompt] * len(prompts) if negative_prompt else None,
            do_classifier_free_guidance=scale > 1,
            device=self.device,
        )
        tensors = {"prompt": positive, "pooled": pooled}
        if scale > 1:
            tensors |= {"negative": negative, "negative_pooled": negative_pooled}
        return Conditioning(tensors, scale)

    @override
    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        patch = self.pipeline.transformer.config.patch_size
        _, high, wide = self.latent_shape(height, width)
        dynamic = scheduler.config.get("use_dynamic_shifting", None)
        shift = {"mu": resolution_shift((high // patch) * (wide // patch), scheduler.config, 1.16)} if dynamic else {}
        scheduler.set_timesteps(steps, device=self.device, **shift)

    @override
    def predict(
        self, scheduler: Scheduler, latents: Tensor, timestep: Tensor, conditioning: Conditioning, state: ChainState
    ) -> Tensor:
        tensors = conditioning.tensors
        inputs, embeds, pooled = latents, tensors["prompt"], tensors["pooled"]
        if "negative" in tensors:
            inputs = torch.cat([latents] * 2)
            embeds = torch.cat([tensors["negative"], embeds])
            pooled = torch.cat([tensors["negative_pooled"], pooled])
        output = self.pipeline.transformer(
            hidden_states=inputs,
            timestep=timestep.expand(len(inputs)),
            encoder_hidden_states=embeds,
            pooled_projections=pooled,
            return_dict=False,
        )[0]
        if "negative" not in tensors:
            return output
        without, with_prompt = output.chunk(2)
        return without + conditioning.guidance_scale * (with_prompt - without)

    @override
    @torch.no_grad()
    def decode(self, state: ChainState) -> list[Image]:
        return decoded(self.pipeline, state.latents.to(self.device))


def decoded(pipeline: Any, latents: Tensor) -> list[Image]:
    """Pictures from latents of shape (n, c, h, w), by a VAE with a shift."""
    vae = pipeline.vae
    latents = latents / vae.config.scaling_factor + vae.config.shift_factor
    return pipeline.image_processor.postprocess(vae.decode(latents, return_dict=False)[0], output_type="pil")


def resolution_shift(tokens: int, config: Any, largest: float) -> float:
    """mu: how far noise levels are shifted for a picture of so many tokens, linear between the two that are set."""
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", largest)
    slope = (high - low) / (many - few)
    return tokens * slope + (low - slope * few)

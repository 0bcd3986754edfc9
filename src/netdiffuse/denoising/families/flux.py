"""Flux.1 (Black Forest Labs, 2024): a transformer over a rectified flow, on latents packed in 2x2 patches."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image
from torch import Tensor, nn
from typing_extensions import override

from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.denoising.families.base import Conditioning, Family
from netdiffuse.denoising.families.sd3 import decoded, resolution_shift
from netdiffuse.denoising.schedulers import Scheduler
from netdiffuse.denoising.state import ChainState


class Flux(Family):
    """A `FluxPipeline`. Guidance is an input of the network, so there is no negative prompt."""

    name: ClassVar[str] = "flux"
    flow: ClassVar[bool] = True
    default_guidance: float = 3.5

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
        patch = 2 * self.pipeline.vae_scale_factor
        if height % patch or width % patch:
            raise InvalidValueError(f"height and width must be multiples of {patch}, got {height} and {width}")
        return (height // patch) * (width // patch), self.pipeline.transformer.config.in_channels

    @override
    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], guidance_scale: float | None = None, negative_prompt: str = ""
    ) -> Conditioning:
        if negative_prompt:
            raise UnsupportedError("flux reads its guidance as a number and knows no negative prompt")
        scale = self.default_guidance if guidance_scale is None else guidance_scale
        embeds, pooled, _ = self.pipeline.encode_prompt(prompt=list(prompts), prompt_2=None, device=self.device)
        return Conditioning({"prompt": embeds, "pooled": pooled}, scale)

    @override
    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        tokens, _ = self.latent_shape(height, width)
        own_sigmas = scheduler.config.get("use_flow_sigmas", False)
        sigmas = {} if own_sigmas else {"sigmas": np.linspace(1.0, 1 / steps, steps)}
        mu = resolution_shift(tokens, scheduler.config, 1.15)
        scheduler.set_timesteps(steps if own_sigmas else None, device=self.device, mu=mu, **sigmas)

    @override
    def noise(self, generators: list[torch.Generator], height: int, width: int) -> Tensor:
        high, wide = self._latent_size(height, width)
        shape = (len(generators), self.pipeline.transformer.config.in_channels // 4, high, wide)
        plain = randn_tensor(shape, generator=generators, device=self.device, dtype=self.dtype)
        return self.pipeline._pack_latents(plain, *shape)

    def _latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a latent before it is packed."""
        return height // self.pipeline.vae_scale_factor, width // self.pipeline.vae_scale_factor

    @override
    def predict(
        self, scheduler: Scheduler, latents: Tensor, timestep: Tensor, conditioning: Conditioning, state: ChainState
    ) -> Tensor:
        network, embeds = self.pipeline.transformer, conditioning.tensors["prompt"]
        high, wide = self._latent_size(state.height, state.width)
        places = self.pipeline._prepare_latent_image_ids(1, high // 2, wide // 2, self.device, latents.dtype)
        scale = None
        if network.config.guidance_embeds:
            scale = torch.full((len(latents),), conditioning.guidance_scale, device=self.device, dtype=torch.float32)
        return network(
            hidden_states=latents,
            timestep=timestep.expand(len(latents)).to(latents.dtype) / 1000,
            guidance=scale,
            pooled_projections=conditioning.tensors["pooled"],
            encoder_hidden_states=embeds,
            txt_ids=torch.zeros(embeds.shape[1], 3, device=self.device, dtype=embeds.dtype),
            img_ids=places,
            return_dict=False,
        )[0]

    @override
    @torch.no_grad()
    def decode(self, state: ChainState) -> list[Image]:
        pipe = self.pipeline
        latents = pipe._unpack_latents(state.latents.to(self.device), state.height, state.width, pipe.vae_scale_factor)
        return decoded(pipe, latents)

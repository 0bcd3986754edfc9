"""Stable Diffusion XL (Podell et al., arXiv 2307.01952)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from PIL.Image import Image
from torch import Tensor
from typing_extensions import override

from netdiffuse.denoising.families.base import Conditioning
from netdiffuse.denoising.families.stable_diffusion import StableDiffusion, guided
from netdiffuse.denoising.schedulers import Scheduler
from netdiffuse.denoising.state import ChainState


class StableDiffusionXL(StableDiffusion):
    """A `StableDiffusionXLPipeline`, without a refiner."""

    name: ClassVar[str] = "sdxl"
    default_guidance: float = 5.0

    @override
    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], guidance_scale: float | None = None, negative_prompt: str = ""
    ) -> Conditioning:
        scale = self.default_guidance if guidance_scale is None else guidance_scale
        is_guided = self._guided(scale)
        positive, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
            prompt=list(prompts),
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=is_guided,
            negative_prompt=[negative_prompt] * len(prompts) if negative_prompt else None,
        )
        tensors = {"prompt": positive, "pooled": pooled}
        if is_guided:
            tensors |= {"negative": negative, "negative_pooled": negative_pooled}
        return Conditioning(tensors, scale)

    @override
    def predict(
        self, scheduler: Scheduler, latents: Tensor, timestep: Tensor, conditioning: Conditioning, state: ChainState
    ) -> Tensor:
        pooled = conditioning.tensors["pooled"]
        size = (state.height, state.width)
        second = self.pipeline.text_encoder_2
        width = pooled.shape[-1] if second is None else second.config.projection_dim
        ids = self.pipeline._get_add_time_ids(
            size, (0, 0), size, dtype=conditioning.tensors["prompt"].dtype, text_encoder_projection_dim=width
        )
        ids = ids.to(self.device).repeat(len(latents), 1)
        added = {
            "text_embeds": (conditioning.tensors.get("negative_pooled", pooled), pooled),
            "time_ids": (ids, ids),
        }
        return guided(self.pipeline.unet, scheduler, latents, timestep, conditioning, added)

    @override
    @torch.no_grad()
    def decode(self, state: ChainState) -> list[Image]:
        pipe = self.pipeline
        vae, latents = pipe.vae, state.latents.to(self.device)
        upcast = vae.dtype == torch.float16 and vae.config.force_upcast  # it overflows in half precision
        if upcast:
            vae.to(dtype=torch.float32)
        try:
            latents = latents.to(vae.dtype)
            mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
            if mean is not None and std is not None:
                latents = latents * torch.tensor(std).view(1, -1, 1, 1).to(latents)
            latents = latents / vae.config.scaling_factor
            if mean is not None and std is not None:
                latents = latents + torch.tensor(mean).view(1, -1, 1, 1).to(latents)
            decoded = vae.decode(latents, return_dict=False)[0]
        finally:
            if upcast:
                vae.to(dtype=torch.float16)
        if pipe.watermark is not None:
            decoded = pipe.watermark.apply_watermark(decoded)
        return pipe.image_processor.postprocess(decoded, output_type="pil")

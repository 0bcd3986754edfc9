"""Tiny pipelines of every family, with random weights: real code, made in a second."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "apple", "lemon", "on", "table", "river", "a", "tree"]
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def tokenizer():
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    inner.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=8, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        eos_token="</s>",
    )  # fmt: skip


def text_config(projection=16):
    return CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, projection_dim=projection, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip


def vae(channels=4, **more):
    return AutoencoderKL(
        block_out_channels=(16, 16), layers_per_block=1, latent_channels=channels, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
    )  # fmt: skip


def unet(**more):
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    )  # fmt: skip


def stable_diffusion(scheduler=None, **more):
    torch.manual_seed(0)
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(),
        unet=unet(cross_attention_dim=16, **more), safety_checker=None, feature_extractor=None,
        scheduler=scheduler or DDIMScheduler(**STABLE, steps_offset=1, clip_sample=False),
        requires_safety_checker=False,
    )  # fmt: skip


def sdxl():
    torch.manual_seed(0)
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config()), tokenizer_2=tokenizer(),
        unet=unet(
            cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        scheduler=PNDMScheduler(**STABLE, skip_prk_steps=True, steps_offset=1),
    )  # fmt: skip


def sd3():
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32, out_channels=4,
        pos_embed_max_size=16,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(shift_factor=0.1),
        text_encoder=CLIPTextModelWithProjection(text_config()), tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config()), tokenizer_2=tokenizer(),
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip


def flux():
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    second = T5EncoderModel(
        T5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4, pad_token_id=0)
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=vae(shift_factor=0.1),
        text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(), text_encoder_2=second,
        tokenizer_2=tokenizer(), transformer=transformer,
    )  # fmt: skip


PIPELINES = {"stable-diffusion": stable_diffusion, "sdxl": sdxl, "sd3": sd3, "flux": flux}

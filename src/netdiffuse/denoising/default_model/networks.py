"""The parts of the small model: what `StableDiffusionPipeline` has, a thousand times smaller."""

from dataclasses import dataclass

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from netdiffuse.denoising.default_model.canvas import SIZE
from netdiffuse.denoising.default_model.tokenizer import END, LENGTH, PAD, START, VOCABULARY, make_tokenizer

LATENT = 8  # height and width of a latent
_HEADS = 4  # of every attention


@dataclass(frozen=True)
class Sizes:
    """How large the networks are.

    Attributes:
        latent_channels: of a latent.
        autoencoder: channels at 64, 32, 16 and 8 pixels; multiples of 8.
        unet: channels at 8 and 4 pixels; multiples of 16.
        text: width of the text encoder, a multiple of 4.
        text_layers: of the text encoder.
    """

    latent_channels: int = 8
    autoencoder: tuple[int, int, int, int] = (16, 32, 64, 96)
    unet: tuple[int, int] = (64, 128)
    text: int = 96
    text_layers: int = 2


def make_autoencoder(sizes: Sizes) -> AutoencoderKL:
    """64x64 pixels in [-1, 1] to latents of 8x8 and back (Rombach et al., CVPR 2022)."""
    blocks = len(sizes.autoencoder)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=sizes.autoencoder,
        layers_per_block=1,
        latent_channels=sizes.latent_channels,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def make_text_encoder(sizes: Sizes) -> CLIPTextModel:
    """A transformer over tokens, trained from scratch with the UNet."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=sizes.text,
            intermediate_size=4 * sizes.text,
            projection_dim=sizes.text,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=_HEADS,
            max_position_embeddings=LENGTH,
            pad_token_id=VOCABULARY.index(PAD),
            bos_token_id=VOCABULARY.index(START),
            eos_token_id=VOCABULARY.index(END),
        )
    )


def make_unet(sizes: Sizes) -> UNet2DConditionModel:
    """The denoiser of the latents, which reads the prompt at 8x8 and once more in its middle."""
    return UNet2DConditionModel(
        sample_size=LATENT,
        in_channels=sizes.latent_channels,
        out_channels=sizes.latent_channels,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=sizes.unet,
        layers_per_block=1,
        cross_attention_dim=sizes.text,
        attention_head_dim=_HEADS,  # by this name diffusers means the number of heads
        norm_num_groups=16,
    )


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise levels, with v-prediction (Salimans and Ho, ICLR 2022, arXiv 2202.00512).

    Steps are spaced "trailing", from the last of the 1000: the chain then begins at the noise level that pure noise
    has (Lin et al., WACV 2024, arXiv 2305.08891), which matters where there are only 20.
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # what the pipeline asks for; nothing follows from it where steps are trailing
        clip_sample=False,
        set_alpha_to_one=True,
    )


def assemble(
    autoencoder: AutoencoderKL, text_encoder: CLIPTextModel, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """The pipeline of trained parts, in evaluation mode."""
    parts: dict[str, nn.Module] = {"vae": autoencoder, "text_encoder": text_encoder, "unet": unet}
    for part in parts.values():
        part.eval()
    return StableDiffusionPipeline(
        **parts,
        tokenizer=make_tokenizer(),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def parameters(network: nn.Module) -> int:
    """How many numbers a network has."""
    return sum(parameter.numel() for parameter in network.parameters())

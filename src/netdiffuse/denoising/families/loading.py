"""Open a model by the name of a hub or of a local folder."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from netdiffuse.common import UnknownNameError, UnsupportedError, checks
from netdiffuse.common.files import read_json
from netdiffuse.denoising.consistency import DTYPES
from netdiffuse.denoising.families.base import Family
from netdiffuse.denoising.families.flux import Flux
from netdiffuse.denoising.families.sd3 import StableDiffusion3
from netdiffuse.denoising.families.sdxl import StableDiffusionXL
from netdiffuse.denoising.families.stable_diffusion import StableDiffusion

DEFAULTS = "defaults.json"  # in a model's folder: what is usual for it, where that is not what is for its family
FAMILIES: dict[str, type[Family]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}


def wrap(pipeline: Any) -> Family:
    """The family of a pipeline.

    Raises:
        UnsupportedError: none is known for its class.
    """
    name = type(pipeline).__name__
    if name not in FAMILIES:
        raise UnsupportedError(f"chains of {name} cannot be split: known are {', '.join(FAMILIES)}")
    return FAMILIES[name](pipeline)


def open_model(
    source: str | Path, *, dtype: str = "float32", device: torch.device | str = "auto", **options: Any
) -> Family:
    """A model by its name on a hub, or from a local folder.

    Args:
        source: as `DiffusionPipeline.from_pretrained` takes it. In a local folder, `defaults.json` may name the
            guidance scale that is usual for the model.
        dtype: "float32", "float16" or "bfloat16"; the hosts that share a chain need the same one.
        device: "auto" for a GPU where there is one.
        **options: further arguments of `from_pretrained`, such as `revision` or `local_files_only`.

    Raises:
        UnknownNameError: an unknown dtype.
        UnsupportedError: the model cannot be opened, or its chains not split.
    """
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    try:
        pipeline = DiffusionPipeline.from_pretrained(str(source), dtype=DTYPES[dtype], **options)
    except (OSError, ValueError) as error:
        raise UnsupportedError(f"the model '{source}' cannot be opened: {error}") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline.set_progress_bar_config(disable=True)
    family = wrap(pipeline.to(device))
    defaults = Path(source) / DEFAULTS
    if defaults.is_file():
        try:
            said = read_json(defaults)
            family.default_guidance = checks.finite("guidance_scale", said["guidance_scale"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnsupportedError(f'{defaults} must read like {{"guidance_scale": 3.0}}: {error}') from error
    return family

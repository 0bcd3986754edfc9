"""Is a chain state consistent in itself? Asked before it is written, and after it was read."""

import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.schedulers import KINDS, check_config, check_memory
from netdiffuse.denoising.state import ChainState, ChainStateError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_state(state: ChainState) -> None:
    """Refuse a state that is not consistent in itself.

    Raises:
        ChainStateError: the message names what is wrong.
    """
    for name in ("family", "revision", "scheduler"):
        if not isinstance(getattr(state, name), str) or not getattr(state, name):
            raise ChainStateError(f"{name} must be a word, got {getattr(state, name)!r}")
    if state.scheduler not in KINDS:
        raise ChainStateError(f"the chain's scheduler is {state.scheduler}; known are {', '.join(KINDS)}")
    if not isinstance(state.config, dict):
        raise ChainStateError(f"config must be a dictionary, got {state.config!r}")
    _check_latents(state)
    timesteps = state.memory.timesteps
    if timesteps.ndim != 1 or not len(timesteps) or not timesteps.double().isfinite().all():
        raise ChainStateError(f"timesteps must be a list of finite numbers, got shape {tuple(timesteps.shape)}")
    _whole("step", state.step, 0, state.steps)
    _whole("height", state.height, 1, 2**16)
    _whole("width", state.width, 1, 2**16)
    for name, low, high in (("guidance_scale", 0.0, 1e3), ("eta", 0.0, 1.0)):
        value = getattr(state, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ChainStateError(f"{name} must be in [{low:g}, {high:g}], got {value!r}")
    try:
        check_config(state.scheduler, state.config)
        check_memory(state.scheduler, state.config, state.memory, state.step, state.latents)
    except InvalidValueError as error:
        raise ChainStateError(f"the chain state is not consistent: {error}") from error
    if len(state.random) not in (0, state.batch):
        raise ChainStateError(f"there must be {state.batch} random states or none, got {len(state.random)}")
    for random in state.random:
        try:
            torch.Generator().set_state(random)
        except (RuntimeError, TypeError) as error:
            raise ChainStateError(f"a random state cannot be used: {error}") from error


def _check_latents(state: ChainState) -> None:
    latents = state.latents
    if state.dtype not in DTYPES:
        raise ChainStateError(f"latents must be of {', '.join(DTYPES)}, got {state.dtype}")
    if latents.ndim < 3 or not latents.numel():
        raise ChainStateError(f"latents must have shape (n, ...), got {tuple(latents.shape)}")
    if not latents.isfinite().all():
        raise ChainStateError(f"latents must be finite, got {int((~latents.isfinite()).sum())} numbers that are not")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ChainStateError(f"{name} must be a whole number in {low}..{high}, got {value!r}")

"""Is a chain state consistent in itself? Asked before it is written, and after it was read."""

import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.schedulers import KINDS, check_config, check_memory, has_sigmas
from netdiffuse.denoising.state import ChainState, ChainStateError

PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction")
MOST_TIMESTEPS = 100_000
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
    _check_course(state)
    for random in state.random:
        try:
            torch.Generator().set_state(random)
        except (RuntimeError, TypeError) as error:
            raise ChainStateError(f"a random state cannot be used: {error}") from error
    wanted = state.batch if KINDS[state.scheduler].draws(state.config, state.eta) else 0
    if len(state.random) != wanted:
        raise ChainStateError(f"{state.scheduler} as set needs {wanted} random states, got {len(state.random)}")


def _check_course(state: ChainState) -> None:
    """Timesteps that the network knows, noise levels where the scheduler reads them, and a known prediction."""
    trained = state.config.get("num_train_timesteps", 0)
    if isinstance(trained, bool) or not isinstance(trained, int) or not 1 <= trained <= MOST_TIMESTEPS:
        raise ChainStateError(f"num_train_timesteps must be in 1..{MOST_TIMESTEPS}, got {trained!r}")
    most = trained if KINDS[state.scheduler].integrates_flow(state.config) else trained - 1
    low, high = float(state.memory.timesteps.min()), float(state.memory.timesteps.max())
    if low < 0 or high > most:
        raise ChainStateError(f"timesteps must be in [0, {most}], got {low:g} to {high:g}")
    if has_sigmas(state.scheduler) != (state.memory.sigmas is not None):
        raise ChainStateError(f"{state.scheduler} needs {'its' if has_sigmas(state.scheduler) else 'no'} sigmas")
    if "prediction_type" in state.config and state.config["prediction_type"] not in PREDICTIONS:
        raise ChainStateError(
            f"prediction_type must be one of {', '.join(PREDICTIONS)}, got {state.config['prediction_type']!r}"
        )


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

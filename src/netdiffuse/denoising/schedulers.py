"""Schedulers of `diffusers` whose chains can go on elsewhere: what they remember between two steps, and nothing else.

A multistep solver looks back at what the network said before, counts its steps, and reads the whole list of timesteps.
All of that is taken out (`Memory`) and put back; a scheduler is never pickled, and its timesteps are never cut short.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias

import diffusers
import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError

Scheduler: TypeAlias = Any  # diffusers' classes share no useful base
Config = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a class of schedulers remembers between two steps.

    Attributes:
        lists: attributes that hold a list of tensors, or None in places.
        tensors: attributes that hold a tensor of the latents' shape, or None.
        counters: attributes that hold a whole number, or None.
        noise: when a step draws noise.
        flow: whether it integrates a flow (velocities over sigmas in [0, 1]): as it is, or if it is set to.
    """

    lists: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    counters: tuple[str, ...] = ("_step_index", "_begin_index")
    noise: Literal["never", "always", "with eta", "as sde"] = "never"
    flow: Literal["never", "always", "if set"] = "never"

    def draws(self, config: Mapping[str, Any], eta: float) -> bool:
        """Whether steps draw noise, with this configuration and eta."""
        sde = str(config.get("algorithm_type", "")).startswith("sde")
        return {"never": False, "always": True, "with eta": eta > 0, "as sde": sde}[self.noise]

    def integrates_flow(self, config: Mapping[str, Any]) -> bool:
        """Whether it integrates a flow, with this configuration."""
        return {"never": False, "always": True, "if set": bool(config.get("use_flow_sigmas"))}[self.flow]


KINDS: dict[str, Kind] = {
    "DDIMScheduler": Kind(counters=(), noise="with eta"),
    "EulerDiscreteScheduler": Kind(),
    "EulerAncestralDiscreteScheduler": Kind(noise="always"),
    "LCMScheduler": Kind(noise="always"),
    "DPMSolverMultistepScheduler": Kind(
        lists=("model_outputs",),
        counters=("_step_index", "_begin_index", "lower_order_nums"),
        noise="as sde",
        flow="if set",
    ),
    "UniPCMultistepScheduler": Kind(
        lists=("model_outputs", "timestep_list"),
        tensors=("last_sample",),
        counters=("_step_index", "_begin_index", "lower_order_nums", "this_order"),
        flow="if set",
    ),
    "FlowMatchEulerDiscreteScheduler": Kind(flow="always"),
}

# Short names, with what they set beside the pipeline's own configuration.
NAMES: dict[str, tuple[str, Config]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),  # latents have no bounds
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-dpm++": ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    "flow-unipc": ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
}


@dataclass(frozen=True)
class Memory:
    """What a scheduler knows in the middle of a chain.

    Attributes:
        timesteps: all of them, shape (T,).
        sigmas: all noise levels, shape (T + 1,), or None where the class has none.
        inference_steps: the number that was asked for.
        history: tensors by name, `model_outputs.0` for an entry of a list; batch first but for `timestep_list`.
        counters: whole numbers, or None, by name.
    """

    timesteps: Tensor
    sigmas: Tensor | None
    inference_steps: int
    history: dict[str, Tensor] = field(default_factory=dict)
    counters: dict[str, int | None] = field(default_factory=dict)


def kind_of(class_name: str) -> Kind:
    """What a class remembers.

    Raises:
        UnsupportedError: its chains cannot be split here.
    """
    if class_name not in KINDS:
        raise UnsupportedError(
            f"chains of {class_name} cannot be split (PNDM and Heun, for instance, take several timesteps for a step): "
            f"use one of {', '.join(NAMES)}"
        )
    return KINDS[class_name]


def configuration(scheduler: Scheduler) -> Config:
    """Every argument that a scheduler is made from, with its value now.

    A pipeline may have changed some after the scheduler was made (Stable Diffusion sets `steps_offset`), and
    `from_config` would drop those that were defaults before; a constructor called with all of this drops nothing.
    """
    names = [name for name in inspect.signature(type(scheduler)).parameters if name != "kwargs"]
    return {name: plain(f"{type(scheduler).__name__}.{name}", scheduler.config[name]) for name in names}


def plain(name: str, value: Any) -> Any:
    """A value of a configuration as JSON keeps it: NumPy's and torch's numbers as Python's, tuples as lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(name, inner) for inner in value]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise InvalidValueError(f"{name} must be plain data to be sent, got {value!r}")
    return value


def make_scheduler(class_name: str, config: Mapping[str, Any]) -> Scheduler:
    """A scheduler of this class and configuration, at its beginning.

    Raises:
        UnsupportedError: an unknown class, or one that draws its noise from torch's global generator.
        InvalidValueError: arguments that the class does not take.
    """
    kind_of(class_name)
    if config.get("stochastic_sampling"):
        raise UnsupportedError("stochastic_sampling draws from torch's global generator, which no state can carry")
    cls = getattr(diffusers, class_name)
    known = inspect.signature(cls).parameters
    for name in config:
        if name not in known:
            raise InvalidValueError(
                f"{class_name} has no setting '{name}': is diffusers {diffusers.__version__} older?"
            )
    try:
        return cls(**config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidValueError(f"{class_name} refuses its configuration: {error}") from error


def named_scheduler(name: str, like: Scheduler) -> Scheduler:
    """The scheduler of a short name, for a model that was trained as the configuration of `like` says.

    What the model's own scheduler leaves at its class's default is left at the new class's default; what was set, by
    the model's authors or by the pipeline, is taken over where the new class has it.

    Raises:
        UnknownNameError: no such name.
    """
    if name not in NAMES:
        raise UnknownNameError("scheduler", name, NAMES)
    class_name, extra = NAMES[name]
    parameters = inspect.signature(getattr(diffusers, class_name)).parameters
    own = inspect.signature(type(like)).parameters
    config = dict(like.config)  # with what an earlier class left in it
    if type(like).__name__ != class_name:
        for key in like.config.get("_use_default_values", ()):
            if key in own and config.get(key) == own[key].default:  # else the pipeline has changed it since
                config.pop(key, None)
    # The same number, which the classes call by two names.
    for theirs, ours in (("shift", "flow_shift"), ("flow_shift", "shift")):
        if theirs in own and ours in parameters and theirs in config:
            config[ours] = config[theirs]
    config = {key: plain(key, value) for key, value in config.items() if key in parameters}
    return make_scheduler(class_name, config | extra)


@cache
def has_sigmas(class_name: str) -> bool:
    """Whether schedulers of a class compute with noise levels of their own."""
    made = make_scheduler(class_name, {})
    made.set_timesteps(2)
    return getattr(made, "sigmas", None) is not None


def recall(scheduler: Scheduler) -> Memory:
    """Take out what a scheduler knows after a step; tensors are not copied, for no scheduler changes one in place."""
    kind = kind_of(type(scheduler).__name__)
    history = {}
    for name in kind.lists:
        for position, value in enumerate(getattr(scheduler, name)):
            if value is not None:
                history[f"{name}.{position}"] = torch.as_tensor(value)
    for name in kind.tensors:
        if getattr(scheduler, name) is not None:
            history[name] = getattr(scheduler, name)
    counters = {name: getattr(scheduler, name, None) for name in kind.counters}
    sigmas = getattr(scheduler, "sigmas", None)
    return Memory(scheduler.timesteps, sigmas, int(scheduler.num_inference_steps), history, counters)


def remind(scheduler: Scheduler, memory: Memory, device: torch.device) -> None:
    """Put back what `recall` took out, on this device.

    Raises:
        InvalidValueError: something that this class does not remember.
    """
    kind = kind_of(type(scheduler).__name__)
    known = {*kind.lists, *kind.tensors}
    for name in memory.history:
        if name.partition(".")[0] not in known:
            raise InvalidValueError(f"{type(scheduler).__name__} remembers no '{name}'")
    if set(memory.counters) != set(kind.counters):
        raise InvalidValueError(
            f"{type(scheduler).__name__} counts {sorted(kind.counters)}, got {sorted(memory.counters)}"
        )
    scheduler.timesteps = memory.timesteps.to(device)
    scheduler.num_inference_steps = memory.inference_steps
    if memory.sigmas is not None:
        scheduler.sigmas = memory.sigmas.cpu()  # where every class keeps them
    for name in kind.lists:
        length = len(getattr(scheduler, name))
        values: list[Tensor | None] = [None] * length
        for key, tensor in memory.history.items():
            if key.partition(".")[0] == name:
                values[_position(key, length)] = tensor.to(device)
        setattr(scheduler, name, values)
    for name in kind.tensors:
        value = memory.history.get(name)
        setattr(scheduler, name, None if value is None else value.to(device))
    for name, count in memory.counters.items():
        setattr(scheduler, name, count)


def _position(key: str, length: int) -> int:
    position = key.partition(".")[2]
    if not position.isdigit() or int(position) >= length:
        raise InvalidValueError(f"'{key}' must name an entry below {length}")
    return int(position)


def is_batched(name: str) -> bool:
    """Whether a tensor of the history has a row for each chain."""
    return not name.startswith("timestep_list.")


def check_config(class_name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that does not say everything, or says more than the class of this `diffusers` knows.

    Raises:
        InvalidValueError: the message names what is missing or unknown.
    """
    known = {name for name in inspect.signature(getattr(diffusers, class_name)).parameters if name != "kwargs"}
    differing = sorted(map(str, known ^ set(config)))
    if differing:
        raise InvalidValueError(
            f"the configuration of {class_name} has too little or too much: {', '.join(differing)}; install the same "
            f"diffusers on both hosts (here {diffusers.__version__})"
        )


def check_memory(class_name: str, config: Mapping[str, Any], memory: Memory, step: int, latents: Tensor) -> None:
    """Refuse what a scheduler cannot know after `step` steps on these latents.

    Raises:
        InvalidValueError: the message names what is wrong.
    """
    kind = kind_of(class_name)
    if isinstance(memory.inference_steps, bool) or not isinstance(memory.inference_steps, int):
        raise InvalidValueError(f"inference_steps must be a whole number, got {memory.inference_steps!r}")
    steps = len(memory.timesteps)
    if memory.inference_steps != steps:
        raise InvalidValueError(f"{memory.inference_steps} steps were asked for, but there are {steps} timesteps")
    sigmas = memory.sigmas
    if sigmas is not None and (sigmas.shape != (steps + 1,) or not sigmas.isfinite().all()):
        raise InvalidValueError(f"sigmas must be {steps + 1} finite numbers, got shape {tuple(sigmas.shape)}")
    order = _solver_order(kind, config)
    counts = _counts(step, order)
    for name in kind.counters:
        allowed = counts[name]
        if not isinstance(memory.counters, Mapping) or memory.counters.get(name, -1) not in allowed:
            raise InvalidValueError(f"{name} must be one of {sorted(map(str, allowed))} after {step} steps")
    if set(memory.counters) != set(kind.counters):
        raise InvalidValueError(f"{class_name} counts {', '.join(kind.counters)}, got {', '.join(memory.counters)}")
    filled = range(order - min(step, order), order)  # the newest is the last
    expected = {f"{name}.{position}" for name in kind.lists for position in filled}
    expected |= set(kind.tensors) if step else set()
    if set(memory.history) != expected:
        raise InvalidValueError(
            f"after {step} steps {class_name} remembers {sorted(expected)}, got {sorted(memory.history)}"
        )
    for name, tensor in memory.history.items():
        shape = latents.shape if is_batched(name) else torch.Size(())
        if tensor.shape != shape or not tensor.double().isfinite().all():
            raise InvalidValueError(f"{name} must be finite and of shape {tuple(shape)}, got {tuple(tensor.shape)}")


def _solver_order(kind: Kind, config: Mapping[str, Any]) -> int:
    if not kind.lists:
        return 0
    order = config.get("solver_order")
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 3:
        raise InvalidValueError(f"solver_order must be in 1..3, got {order!r}")
    return order


def _counts(step: int, order: int) -> dict[str, set[int | None]]:
    """What each counter may say after so many steps."""
    return {
        "_step_index": {step} if step else {None, 0},
        "_begin_index": {None, 0},
        "lower_order_nums": {min(step, order)},
        "this_order": set(range(1, order + 1)) if step else {None},
    }

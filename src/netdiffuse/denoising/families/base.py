"""What a family of image diffusion models must say, so that its chains can be begun, split, gone on with, decoded."""

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image
from torch import Tensor, nn

from netdiffuse.common import InvalidValueError, UnsupportedError, checks
from netdiffuse.denoising.schedulers import (
    KINDS,
    Scheduler,
    configuration,
    kind_of,
    make_scheduler,
    named_scheduler,
    recall,
    remind,
)
from netdiffuse.denoising.state import ChainState, ChainStateError

MOST_STEPS = 1000
# Of a scheduler's configuration, what the network was trained with: a chain that has it otherwise is another model's.
TRAINED_WITH = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True)
class Conditioning:
    """What the network is told, for n prompts.

    Attributes:
        tensors: by name, the first axis of each n long.
        guidance_scale: weight of classifier-free guidance (Ho and Salimans, arXiv 2207.12598); 1 or less for none,
            where a family knows it.
    """

    tensors: dict[str, Tensor]
    guidance_scale: float

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def evaluations(self) -> int:
        """Evaluations of the network that a step of one chain takes: 2 with classifier-free guidance, else 1."""
        return 2 if "negative" in self.tensors else 1

    def select(self, rows: Sequence[int]) -> "Conditioning":
        """Some of the prompts, in this order; one may be taken several times."""
        index = torch.as_tensor(list(rows))
        tensors = {name: tensor[index.to(tensor.device)] for name, tensor in self.tensors.items()}
        return dataclasses.replace(self, tensors=tensors)

    def mean(self) -> "Conditioning":
        """One conditioning that is the mean of all."""
        return dataclasses.replace(self, tensors={k: t.mean(0, keepdim=True) for k, t in self.tensors.items()})


class Family(ABC):
    """A pipeline of `diffusers`, unmodified, as a chain of steps that can be cut anywhere.

    The pipeline's own scheduler only says how the model was trained: each chain has a scheduler of its own, so several
    chains may be under way at once.

    Args:
        pipeline: of a class that the family knows.
    """

    name: ClassVar[str]
    flow: ClassVar[bool] = False
    default_guidance: float

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        for component in pipeline.components.values():
            if isinstance(component, nn.Module):
                component.eval()  # a text encoder's dropout would make no two hosts agree
        self.revision = fingerprint(self.network)

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The denoiser."""

    @abstractmethod
    def encode(
        self, prompts: Sequence[str], guidance_scale: float | None = None, negative_prompt: str = ""
    ) -> Conditioning:
        """Read prompts.

        Args:
            prompts: one or more.
            guidance_scale: weight of the prompt; what is usual for the family unless told.
            negative_prompt: what guidance leads away from.
        """

    @abstractmethod
    def latent_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Shape of one picture's latent, without the batch axis."""

    @abstractmethod
    def set_timesteps(self, scheduler: Scheduler, steps: int, height: int, width: int) -> None:
        """Resolve the timesteps as the family's pipeline does."""

    @abstractmethod
    def predict(
        self, scheduler: Scheduler, latents: Tensor, timestep: Tensor, conditioning: Conditioning, state: ChainState
    ) -> Tensor:
        """The network's output, guidance included, of the shape of the latents."""

    @abstractmethod
    def decode(self, state: ChainState) -> list[Image]:
        """Pictures from the latents, finished or not."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's weights."""
        return next(self.network.parameters()).dtype

    @property
    @abstractmethod
    def default_size(self) -> tuple[int, int]:
        """Height and width of pictures unless told."""

    @torch.no_grad()
    def begin(
        self,
        seeds: Sequence[int],
        steps: int,
        *,
        scheduler: str | None = None,
        height: int | None = None,
        width: int | None = None,
        guidance_scale: float | None = None,
        eta: float = 0.0,
    ) -> ChainState:
        """Chains of pure noise, with nothing done yet.

        Args:
            seeds: of each chain's random generator; a chain is the same in any batch, up to rounding.
            steps: of the whole chain.
            scheduler: a name of `schedulers.NAMES`; the pipeline's own unless told.
            height: of the pictures, in pixels; what the model was made for unless told.
            width: likewise.
            guidance_scale: as `encode` has it; what `finish` uses unless told.
            eta: share of DDPM's noise in DDIM, in [0, 1].

        Raises:
            InvalidValueError: no seeds, or a size that the model cannot make.
            UnsupportedError: a scheduler whose chains cannot be split, or that does not suit the family.
        """
        if not seeds:
            raise InvalidValueError("seeds must name one chain or more")
        checks.integer("steps", steps, maximum=MOST_STEPS)
        high, wide = self.default_size
        height, width = height or high, width or wide
        own = self.scheduler(scheduler)
        try:
            self.set_timesteps(own, steps, height, width)
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidValueError(f"{type(own).__name__} has no chain of {steps} steps: {error}") from error
        if hasattr(own, "set_begin_index"):
            own.set_begin_index(0)
        generators = [torch.Generator().manual_seed(checks.seed("seed", seed)) for seed in seeds]
        noise = self.noise(generators, height, width)
        state = ChainState(
            family=self.name,
            revision=self.revision,
            step=0,
            latents=noise * getattr(own, "init_noise_sigma", 1.0),
            scheduler=type(own).__name__,
            config=configuration(own),
            memory=recall(own),
            height=height,
            width=width,
            guidance_scale=self.default_guidance
            if guidance_scale is None
            else checks.non_negative("guidance_scale", guidance_scale),
            eta=checks.fraction("eta", eta),
        )
        return dataclasses.replace(state, random=_random(state, generators))

    def noise(self, generators: list[torch.Generator], height: int, width: int) -> Tensor:
        """N(0, 1) latents of one picture a generator, shape (n, *latent_shape)."""
        shape = (len(generators), *self.latent_shape(height, width))
        return randn_tensor(shape, generator=generators, device=self.device, dtype=self.dtype)

    def scheduler(self, name: str | None) -> Scheduler:
        """A new scheduler of this name, or like the pipeline's own.

        Raises:
            UnsupportedError: it does not suit the family, or its chains cannot be split.
        """
        like = self.pipeline.scheduler
        made = make_scheduler(type(like).__name__, configuration(like)) if name is None else named_scheduler(name, like)
        unsuited = self._unsuited(type(made).__name__, made.config)
        if unsuited:
            raise UnsupportedError(unsuited)
        return made

    def _unsuited(self, class_name: str, config: Mapping[str, Any]) -> str | None:
        """Why a scheduler does not suit the family, or None."""
        if kind_of(class_name).integrates_flow(config) == self.flow:
            return None
        wanted = (
            "a flow (flow-euler, flow-dpm++, flow-unipc)" if self.flow else "noise (ddim, euler, dpm++, unipc, lcm)"
        )
        return f"{self.name} needs a scheduler of {wanted}, and {class_name} as it is set is none"

    @torch.no_grad()
    def run(self, state: ChainState, conditioning: Conditioning, until: int | None = None) -> Iterator[ChainState]:
        """Go on with chains, and yield them after each step.

        Args:
            state: where they stand.
            conditioning: of each chain, or one for all.
            until: the step after which to stop, in state.step..T; the last unless told.

        Raises:
            ChainStateError: the chains do not fit this model.
            InvalidValueError: `until` lies behind, or there is neither one prompt nor one a chain.
        """
        self.check(state)
        until = (
            state.steps if until is None else checks.integer("until", until, minimum=state.step, maximum=state.steps)
        )
        if len(conditioning) == 1 and state.batch > 1:
            conditioning = conditioning.select([0] * state.batch)
        if len(conditioning) != state.batch:
            raise InvalidValueError(f"there are {state.batch} chains and {len(conditioning)} prompts: give one each")
        scheduler = make_scheduler(state.scheduler, state.config)
        remind(scheduler, state.memory, self.device)
        generators = [torch.Generator() for _ in state.random]
        for generator, random in zip(generators, state.random, strict=True):
            generator.set_state(random)
        extra: dict[str, Any] = {"generator": generators} if generators else {}
        if state.scheduler == "DDIMScheduler":
            extra["eta"] = state.eta
        latents = state.latents.to(self.device)
        for step in range(state.step, until):
            timestep = scheduler.timesteps[step]
            output = self.predict(scheduler, latents, timestep, conditioning, state)
            latents = scheduler.step(output, timestep, latents, **extra, return_dict=False)[0]
            yield dataclasses.replace(
                state, step=step + 1, latents=latents, memory=recall(scheduler), random=_states(generators)
            )

    def advance(self, state: ChainState, conditioning: Conditioning, until: int | None = None) -> ChainState:
        """Go on with chains to a step, the last unless told; arguments and errors as `run`."""
        end = state
        for after in self.run(state, conditioning, until):
            end = after
        return end

    def check(self, state: ChainState) -> None:
        """Refuse chains that this model cannot go on with.

        Raises:
            ChainStateError: the message says what differs.
        """
        if state.family != self.name:
            raise ChainStateError(f"the chain is of a {state.family} model, this one is {self.name}")
        if state.revision != self.revision:
            raise ChainStateError(
                f"the chain's model has revision {state.revision}, this one {self.revision}: load the same weights, in "
                "the same dtype, on both hosts"
            )
        try:
            shape = self.latent_shape(state.height, state.width)
        except InvalidValueError as error:
            raise ChainStateError(str(error)) from error
        if tuple(state.latents.shape[1:]) != shape:
            raise ChainStateError(
                f"latents of a picture of {state.height}x{state.width} must have shape {shape}, got "
                f"{tuple(state.latents.shape[1:])}"
            )
        if state.latents.dtype != self.dtype:
            raise ChainStateError(f"the chain's latents are {state.dtype}, this model computes in {self.dtype}")
        unsuited = self._unsuited(state.scheduler, state.config)
        if unsuited:
            raise ChainStateError(unsuited)
        own = configuration(self.pipeline.scheduler)
        for name in TRAINED_WITH:
            if self.flow and name == "prediction_type":
                continue  # FlowMatchEuler has none, and those that integrate a flow are known by it already
            if name in state.config and name in own and state.config[name] != own[name]:
                raise ChainStateError(
                    f"the chain's scheduler has {name} {state.config[name]!r}, this model was trained with "
                    f"{own[name]!r}"
                )


def fingerprint(network: nn.Module) -> str:
    """Sixteen hexadecimal digits that name a network's configuration and weights.

    Of each tensor, the name, dtype, shape and up to 64 numbers spread over it are taken: enough to tell any two
    trainings apart, and a thousand times faster than to read billions of them.
    """
    config = {key: value for key, value in dict(getattr(network, "config", {})).items() if not key.startswith("_")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().flatten()
        count = min(len(flat), 64)
        places = torch.arange(count) * (len(flat) - 1) // max(count - 1, 1)  # whole numbers: float32 ends at 2^24
        taken = flat[places.to(flat.device)]
        digest.update(taken.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _states(generators: Sequence[torch.Generator]) -> tuple[Tensor, ...]:
    return tuple(generator.get_state() for generator in generators)


def _random(state: ChainState, generators: Sequence[torch.Generator]) -> tuple[Tensor, ...]:
    """The generators' states where steps draw noise; else none, which spares five kilobytes a chain."""
    return _states(generators) if KINDS[state.scheduler].draws(state.config, state.eta) else ()

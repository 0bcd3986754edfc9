"""`ChainState`: all that a half-finished denoising chain needs to go on elsewhere."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from netdiffuse.common import NetdiffuseError
from netdiffuse.common.files import atomic_path
from netdiffuse.denoising.schedulers import Config, Memory, is_batched

MOST_BYTES = 2**28
"""256 MiB: the state of eight pictures of SDXL in single precision, history and all, is a twentieth of that."""


class ChainStateError(NetdiffuseError, ValueError):
    """Bytes that are no whole, consistent chain state, or one that does not fit the model that is to go on with it."""


@dataclass(frozen=True)
class ChainState:
    """A batch of denoising chains after k of T steps.

    The prompt is not in it: whoever goes on does so with a prompt of their own.

    Attributes:
        family: family of models, such as "stable-diffusion".
        revision: fingerprint of the denoiser's weights and configuration.
        step: k, the number of steps done, in 0..T; the next one is at `memory.timesteps[k]`.
        latents: shape (n, ...), after k steps.
        scheduler: class of the scheduler, of `diffusers`.
        config: every argument it was made from.
        memory: what the scheduler remembers.
        random: state of each chain's random generator, a byte tensor each; empty where no further noise is drawn.
        height, width: of the pictures, in pixels.
        guidance_scale: weight of classifier-free guidance, where the one that goes on asks for no other.
        eta: share of DDPM's noise in DDIM, in [0, 1].
    """

    family: str
    revision: str
    step: int
    latents: Tensor
    scheduler: str
    config: Config
    memory: Memory
    random: tuple[Tensor, ...] = ()
    height: int = 0
    width: int = 0
    guidance_scale: float = 1.0
    eta: float = 0.0

    @property
    def steps(self) -> int:
        """T, the number of steps of the whole chain."""
        return len(self.memory.timesteps)

    @property
    def batch(self) -> int:
        """Number of chains."""
        return len(self.latents)

    @property
    def dtype(self) -> str:
        """Of the latents, such as "float16"."""
        return str(self.latents.dtype).removeprefix("torch.")

    def select(self, rows: Sequence[int]) -> "ChainState":
        """Some of the chains, in this order; one may be taken several times.

        Raises:
            ChainStateError: a row that is not there.
        """
        if not rows or not all(0 <= row < self.batch for row in rows):
            raise ChainStateError(f"rows must be in 0..{self.batch - 1}, at least one, got {list(rows)}")
        index = torch.as_tensor(list(rows))
        history = {
            name: tensor[index.to(tensor.device)] if is_batched(name) else tensor
            for name, tensor in self.memory.history.items()
        }
        return dataclasses.replace(
            self,
            latents=self.latents[index.to(self.latents.device)],
            memory=dataclasses.replace(self.memory, history=history),
            random=tuple(self.random[row] for row in rows) if self.random else (),
        )

    def map(self, change: Callable[[Tensor], Tensor]) -> "ChainState":
        """The chains with each tensor of the latents' shape changed: the latents, and what the solver remembers."""
        history = {name: change(tensor) if is_batched(name) else tensor for name, tensor in self.memory.history.items()}
        memory = dataclasses.replace(self.memory, history=history)
        return dataclasses.replace(self, latents=change(self.latents), memory=memory)

    def to_bytes(self, codec: str | None = None) -> bytes:
        """The wire format (see `netdiffuse.denoising.wire`).

        Args:
            codec: "fp16", "uint8" or "int4", to send fewer bits: what arrives is then close to what was sent, and going
                on with it is no longer the same bit for bit. Exact unless told.

        Raises:
            ChainStateError: a state that could not be read back.
            UnknownNameError: an unknown codec.
        """
        from netdiffuse.denoising.wire import write_state

        return write_state(self, codec)

    @classmethod
    def from_bytes(cls, data: bytes, most_bytes: int = MOST_BYTES) -> "ChainState":
        """Read the wire format.

        Args:
            data: as `to_bytes` gave it.
            most_bytes: refuse more than this unread.

        Raises:
            ChainStateError: too long, cut short, damaged, of another version, or not consistent in itself.
        """
        from netdiffuse.denoising.wire import read_state

        return read_state(data, most_bytes)

    def save(self, path: str | Path) -> Path:
        """Write the wire format to a file, whole or not at all."""
        data = self.to_bytes()
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "ChainState":
        """Read a file that `save` wrote.

        Raises:
            ChainStateError: it cannot be read, or is no chain state.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ChainStateError(f"{path} cannot be read: {error.strerror}") from error
        return cls.from_bytes(data)


def stack(states: Sequence[ChainState]) -> ChainState:
    """Several chains as one batch, to be stepped together.

    Raises:
        ChainStateError: none, or they differ in more than their latents, history and random states.
    """
    if not states:
        raise ChainStateError("there are no chain states to stack")
    first = states[0]
    for other in states[1:]:
        difference = _difference(first, other)
        if difference:
            raise ChainStateError(f"chains of one batch must be alike, but their {difference} differ")
    history = {
        name: torch.cat([state.memory.history[name] for state in states]) if is_batched(name) else tensor
        for name, tensor in first.memory.history.items()
    }
    return dataclasses.replace(
        first,
        latents=torch.cat([state.latents for state in states]),
        memory=dataclasses.replace(first.memory, history=history),
        random=tuple(state for one in states for state in one.random),
    )


def _difference(one: ChainState, other: ChainState) -> str | None:
    """The first thing in which two chains differ so that they cannot share a batch."""
    for name in (
        "family",
        "revision",
        "step",
        "scheduler",
        "config",
        "height",
        "width",
        "guidance_scale",
        "eta",
        "dtype",
    ):
        if getattr(one, name) != getattr(other, name):
            return f"{name} ({getattr(one, name)!r} and {getattr(other, name)!r})"
    a, b = one.memory, other.memory
    if a.inference_steps != b.inference_steps or a.counters != b.counters or set(a.history) != set(b.history):
        return "places in the chain"
    if one.latents.shape[1:] != other.latents.shape[1:] or bool(one.random) != bool(other.random):
        return "shapes"
    if not torch.equal(a.timesteps, b.timesteps) or (a.sigmas is None) != (b.sigmas is None):
        return "timesteps"
    return "sigmas" if a.sigmas is not None and b.sigmas is not None and not torch.equal(a.sigmas, b.sigmas) else None

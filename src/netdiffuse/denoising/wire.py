"""The wire format of chain states.

A safetensors file with one entry of metadata, JSON: the version, a header (JSON again, as text), and the SHA-256 of
header and tensors. Nothing in it is code, so bytes from a network can be read without trusting their sender; whatever
is wrong with them gives one error. With a codec, a tensor of the latents' shape is replaced by two of bytes, its
`|body` and its `|ranges`, and the header says of which shape and type it was.
"""

import hashlib
import json
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from netdiffuse.denoising.codec import Encoded, make_codec
from netdiffuse.denoising.consistency import DTYPES, check_state
from netdiffuse.denoising.schedulers import Memory, is_batched
from netdiffuse.denoising.state import MOST_BYTES, ChainState, ChainStateError

FORMAT = "netdiffuse.chain-state"
VERSION = 1
NAMES = ("family", "revision", "step", "scheduler", "config", "height", "width", "guidance_scale", "eta")
_LATENTS, _TIMESTEPS, _SIGMAS, _HISTORY, _RANDOM = "latents", "timesteps", "sigmas", "history/", "random/"
_BODY, _RANGES = "|body", "|ranges"


def write_state(state: ChainState, codec: str | None = None) -> bytes:
    """The bytes of a state; errors as `ChainState.to_bytes`."""
    check_state(state)
    tensors = {_LATENTS: state.latents, _TIMESTEPS: state.memory.timesteps}
    if state.memory.sigmas is not None:
        tensors[_SIGMAS] = state.memory.sigmas
    tensors |= {_HISTORY + name: tensor for name, tensor in state.memory.history.items()}
    tensors |= {f"{_RANDOM}{row}": random for row, random in enumerate(state.random)}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header: dict[str, Any] = {name: getattr(state, name) for name in NAMES}
    header |= {"inference_steps": state.memory.inference_steps, "counters": state.memory.counters, "packed": {}}
    if codec is not None:
        header["codec"] = codec
        for name in [n for n in tensors if n == _LATENTS or (n.startswith(_HISTORY) and is_batched(_plain(n)))]:
            header["packed"][name] = _pack(tensors, name, codec)
    text = json.dumps(header, sort_keys=True)
    said = {"version": VERSION, "header": text, "checksum": checksum(text, tensors)}
    return safetensors.torch.save(tensors, {FORMAT: json.dumps(said)})  # one key: several come in any order


def read_state(data: bytes, most_bytes: int = MOST_BYTES) -> ChainState:
    """The state of bytes; errors as `ChainState.from_bytes`."""
    if len(data) > most_bytes:
        raise ChainStateError(f"a chain state of {len(data):,} bytes is more than the {most_bytes:,} allowed")
    said = _metadata(data)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise ChainStateError(f"the chain state is damaged or cut short: {error}") from error
    text = said.get("header")
    if not isinstance(text, str) or said.get("checksum") != checksum(text, tensors):
        raise ChainStateError("the chain state was damaged on its way: its checksum does not fit; ask for it again")
    try:
        state = _assemble(json.loads(text), tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        if isinstance(error, ChainStateError):
            raise
        raise ChainStateError(f"the chain state lacks something or has it wrong: {error!r}") from error
    check_state(state)
    return state


def checksum(header: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the header and of every tensor with its name, dtype and shape."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(name: str) -> str:
    return name.removeprefix(_HISTORY)


def _pack(tensors: dict[str, Tensor], name: str, codec: str) -> dict[str, Any]:
    """Replace a tensor by its bytes, and say what it was."""
    tensor = tensors.pop(name)
    encoded = make_codec(codec).encode(tensor)
    for suffix, part in ((_BODY, encoded.body), (_RANGES, encoded.header)):
        tensors[name + suffix] = torch.frombuffer(bytearray(part), dtype=torch.uint8)
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _unpack(tensors: dict[str, Tensor], name: str, was: dict[str, Any], codec: str) -> None:
    """Put a tensor back that was replaced by its bytes."""
    body, ranges = (tensors.pop(name + suffix).numpy().tobytes() for suffix in (_BODY, _RANGES))
    shape = tuple(int(size) for size in was["shape"])
    if min(shape, default=0) < 1:
        raise ChainStateError(f"{name} must have a shape, got {shape}")
    tensors[name] = make_codec(codec).decode(Encoded(shape, ranges, body)).to(DTYPES[was["dtype"]])


def _assemble(header: dict[str, Any], tensors: dict[str, Tensor]) -> ChainState:
    for name, was in header["packed"].items():
        _unpack(tensors, name, was, header["codec"])
    history = {_plain(n): t for n, t in tensors.items() if n.startswith(_HISTORY)}
    rows = sum(name.startswith(_RANDOM) for name in tensors)
    random = tuple(tensors[f"{_RANDOM}{row}"] for row in range(rows))
    expected = {_LATENTS, _TIMESTEPS, _SIGMAS} | {_HISTORY + name for name in history}
    unknown = set(tensors) - expected - {f"{_RANDOM}{row}" for row in range(rows)}
    if unknown:
        raise ChainStateError(f"the chain state holds unknown tensors: {', '.join(sorted(unknown))}")
    memory = Memory(tensors[_TIMESTEPS], tensors.get(_SIGMAS), header["inference_steps"], history, header["counters"])
    return ChainState(latents=tensors[_LATENTS], memory=memory, random=random, **{name: header[name] for name in NAMES})


def _metadata(data: bytes) -> dict[str, Any]:
    """What a safetensors file says of itself, if it is of our format and version."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ChainStateError(f"these {len(data):,} bytes are no chain state, or one that was cut short")
    try:
        said = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][FORMAT])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChainStateError(f"these {len(data):,} bytes are no chain state: their header cannot be read") from error
    if not isinstance(said, dict) or said.get("version") != VERSION:
        version = said.get("version") if isinstance(said, dict) else None
        raise ChainStateError(
            f"the chain state is of version {version}, this netdiffuse reads version {VERSION}: "
            "install the same netdiffuse on both hosts"
        )
    return said

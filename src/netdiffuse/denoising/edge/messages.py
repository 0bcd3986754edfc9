"""What a device and the edge server say to each other."""

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


def noise_seed(request_id: str) -> int:
    """Seed of a request's noise: the same on the server, after a restart, and on a device that goes on alone."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:4], "little")


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"\S")]
Status = Literal["accepted", "ready", "failed"]


class Ask(BaseModel):
    """A device asks for shared steps.

    Attributes:
        id: chosen by the device; asking again with the same id is the same request.
        prompt: what the user wants to see.
        revision: of the device's model; another than the server's is refused at once.
        most_local_steps: how many steps the device can do itself; all unless told. The server does the others, the last
            of them by the device's own prompt.
        codec: in how many bits the chain is to be sent; exact unless told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    prompt: Prompt
    revision: str = Field(max_length=64)
    most_local_steps: int | None = Field(default=None, ge=1, le=1000)
    codec: Literal["fp16", "uint8", "int4"] | None = None


class Answer(BaseModel):
    """Where a request stands.

    Attributes:
        id: of the request.
        status: "accepted", then "ready" or "failed".
        shared_steps: k, once it is ready.
        waiting: requests that are not ready yet, this one included.
        error: why it failed.
        done, of: while its window runs, how many of the window's steps are done, and how many there are.
    """

    id: str
    status: Status
    shared_steps: int | None = None
    waiting: int = 0
    error: str | None = None
    done: int | None = None
    of: int | None = None


class ModelCard(BaseModel):
    """What a device needs to know to go on with the server's chains, or to make the same picture alone."""

    family: str
    revision: str
    steps: int
    scheduler: str | None
    guidance_scale: float
    height: int
    width: int

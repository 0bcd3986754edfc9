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


class Report(BaseModel):
    """What a device says of itself and of its user, for a policy that decides by it.

    Attributes:
        gain_db: power gain of its channel, path loss and all, in dB.
        frequency_ghz: of its processor.
        battery: what its battery holds, as a share of a full one.
        persona: the user's name among personas.
        wants: the user's numbers, in the order and in the ranges of `netdiffuse.users.persona.COLUMNS`; average unless
            told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gain_db: float | None = Field(default=None, ge=-250, le=0)
    frequency_ghz: float | None = Field(default=None, ge=0.05, le=100)
    battery: float = Field(default=1.0, ge=0, le=1)
    persona: str | None = Field(default=None, min_length=1, max_length=64)
    wants: tuple[float, ...] | None = Field(default=None, max_length=64)


class Grant(BaseModel):
    """What a policy has given to a request.

    Attributes:
        shared_steps: k, the steps of the request's chain that the server does; 0 for no hand-off.
        power_w: transmit power of the hand-off.
        bandwidth_hz: its bandwidth.
        policy: version of the policy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    shared_steps: int = Field(ge=0)
    power_w: float = Field(ge=0)
    bandwidth_hz: float = Field(ge=0)
    policy: str = Field(max_length=200)


class Decision(BaseModel):
    """A policy's decision about one request, with all that learning from its rating needs.

    Attributes:
        grant: what the request was given.
        session: the same for all requests that were decided together; None where the request's rating does not judge
            the policy, for the server had to do steps that the device cannot.
        user: which row of the observation is this request's.
        observation: of all users of the session, a row each, shape (n, features).
        action: what was done with all users, as the policy's problem lays it out.
        server_j: joules that the server spends for this request.
        settings: of the policy's problem, without which an action means nothing: what was divided, say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    grant: Grant
    session: str | None
    user: int = Field(ge=0)
    observation: tuple[tuple[float, ...], ...]
    action: tuple[float, ...]
    server_j: float = Field(ge=0)
    settings: dict[str, float] = Field(default_factory=dict)


class Ask(BaseModel):
    """A device asks for shared steps.

    Attributes:
        id: chosen by the device; asking again with the same id is the same request.
        prompt: what the user wants to see.
        revision: of the device's model; another than the server's is refused at once.
        most_local_steps: how many steps the device can do itself; all unless told. The server does the others, the last
            of them by the device's own prompt.
        codec: in how many bits the chain is to be sent; exact unless told.
        report: what a policy may decide by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    prompt: Prompt
    revision: str = Field(max_length=64)
    most_local_steps: int | None = Field(default=None, ge=1, le=1000)
    codec: Literal["fp16", "uint8", "int4"] | None = None
    report: Report | None = None


class Answer(BaseModel):
    """Where a request stands.

    Attributes:
        id: of the request.
        status: "accepted", then "ready" or "failed".
        shared_steps: k, once it is ready.
        waiting: requests that are not ready yet, this one included.
        error: why it failed.
        done, of: while its window runs, how many of the window's steps are done, and how many there are.
        grant: what a policy has given it, once that is decided.
    """

    id: str
    status: Status
    shared_steps: int | None = None
    waiting: int = 0
    error: str | None = None
    done: int | None = None
    of: int | None = None
    grant: Grant | None = None


class ModelCard(BaseModel):
    """What a device needs to know to go on with the server's chains, or to make the same picture alone.

    Attributes:
        family, revision: of the model.
        steps, scheduler, guidance_scale, height, width: of its chains.
        keeps_ratings: whether the server keeps what users say of their pictures; None where it does not tell.
    """

    family: str
    revision: str
    steps: int
    scheduler: str | None
    guidance_scale: float
    height: int
    width: int
    keeps_ratings: bool | None = None


class Opinion(BaseModel):
    """What a user says of a request's picture, and what the device measured.

    Attributes:
        rating: 1 (bad) to 5 (excellent).
        reason: in words.
        quality: how well the picture shows the prompt, in [0, 1].
        delay_s: seconds from the request to the picture.
        energy_share: share of what the battery held that the picture drew, in [0, 1].
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rating: float = Field(ge=1, le=5)
    reason: str | None = Field(default=None, max_length=1000)
    quality: float | None = Field(default=None, ge=0, le=1)
    delay_s: float | None = Field(default=None, ge=0)
    energy_share: float | None = Field(default=None, ge=0, le=1)


class Rated(BaseModel):
    """A rating that an edge server keeps, as it tells it.

    Attributes:
        number: counts ratings; those before it are on the next page.
        request: id of the request.
        time: in seconds since 1970.
        rating, reason, quality, delay_s, energy_share: as `Opinion`.
        persona: the user's name among personas, where it is known.
        policy: version of the policy that decided, where one did.
    """

    number: int
    request: str
    time: float
    rating: float
    reason: str | None = None
    quality: float | None = None
    delay_s: float | None = None
    energy_share: float | None = None
    persona: str | None = None
    policy: str | None = None

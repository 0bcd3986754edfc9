"""A user's device: has the edge server do the shared steps, does its own, and makes the picture whatever happens."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx
from PIL.Image import Image
from torch import Tensor

from netdiffuse.common import NetdiffuseError, checks
from netdiffuse.denoising.calls import LEAST_WAIT_S, Call, Caller, EdgeServerError, RefusedTokenError
from netdiffuse.denoising.edge.access import check_token
from netdiffuse.denoising.edge.messages import Answer, Ask, Grant, ModelCard, Opinion, Report, noise_seed
from netdiffuse.denoising.families import Family
from netdiffuse.denoising.state import MOST_BYTES, ChainState, ChainStateError

UNUSABLE = (NetdiffuseError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
Progress = Callable[[str, int, int], None]
"""Told whose steps are being done, and how many of how many are: "shared", the server's, of all who ask at the same
time; then "own", this device's."""


@dataclass(frozen=True)
class Outcome:
    """What a device ends with.

    Attributes:
        picture: always there.
        latents: it was decoded from, shape (1, ...).
        source: "shared" with the server, or "alone".
        shared_steps: k, steps that the server did; 0 alone.
        own_steps: steps that the device did.
        reason: why the device went on alone, or None.
        refused: whether that was because the server wants another token.
        tries: HTTP calls that were made.
        bytes_received: size of the chain state.
        waited_s: seconds until the state was there, or was given up.
        own_s: seconds of the device's own steps and of decoding.
        request_id: of the request, by which the server knows it.
        grant: what a policy gave, where one decides and the server has helped.
        keeps_ratings: whether the server that has helped keeps what users say; None where it does not tell.
    """

    picture: Image
    latents: Tensor
    source: Literal["shared", "alone"]
    shared_steps: int
    own_steps: int
    reason: str | None
    refused: bool
    tries: int
    bytes_received: int
    waited_s: float
    own_s: float
    request_id: str = ""
    grant: Grant | None = None
    keeps_ratings: bool | None = None


@dataclass(frozen=True)
class Chain:
    """The chain that a device makes where there is no server: what `Family.begin` takes."""

    steps: int = 20
    scheduler: str | None = None
    guidance_scale: float | None = None


class EdgeDevice:
    """Finishes chains that an edge server has begun.

    Args:
        model: the same model as the server's.
        url: of the server, such as "http://127.0.0.1:8000"; None for a device that is always alone.
        token: the server's bearer token, visible ASCII.
        patience_s: how long the device waits for the server in all, before it goes on alone.
        tries: how often in a row it tries again after an error or a state that is damaged.
        backoff_s: seconds before the second try; doubled with each further one, and spread at random.
        most_local_steps: how many steps the device can do; all unless told.
        codec: "fp16", "uint8" or "int4", to receive fewer bits; exact unless told.
        alone: the chain that it makes without the server, where not even the server's settings are known.
        report: what it says of itself and of its user, for a server whose policy decides by it.
        transport: of the connection, for tests.

    Raises:
        InvalidValueError: an address that is none, a number outside its range, or a token that no header can carry.
    """

    def __init__(
        self,
        model: Family,
        url: str | None,
        *,
        token: str | None = None,
        patience_s: float = 60.0,
        tries: int = 5,
        backoff_s: float = 0.2,
        most_local_steps: int | None = None,
        codec: Literal["fp16", "uint8", "int4"] | None = None,
        alone: Chain | None = None,
        report: Report | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.model = model
        self.patience_s = checks.positive("patience_s", patience_s)
        self.tries = checks.integer("tries", tries)
        self.backoff_s = checks.non_negative("backoff_s", backoff_s)
        if most_local_steps is not None:
            checks.integer("most_local_steps", most_local_steps)
        self.most_local_steps, self.codec = most_local_steps, codec
        self.alone, self.report = alone or Chain(), report
        check_token(token)
        self._server = None if url is None else Caller(url, token, tries, backoff_s, transport)
        self._card: ModelCard | None = None

    def make(self, prompt: str, *, request_id: str | None = None, progress: Progress | None = None) -> Outcome:
        """Make a picture, with the server if it can, alone if it must.

        Args:
            prompt: what to see.
            request_id: of the request; the same one again is the same request. A new one unless told.
            progress: told how far it is.
        """
        request_id = request_id or uuid.uuid4().hex
        call = Call(self.patience_s)
        began = time.perf_counter()
        received, reason, refused, size, grant = None, None, False, 0, None
        try:
            received, size, grant = self._from_server(call, prompt, request_id, progress)
        except EdgeServerError as error:
            reason, refused = str(error), isinstance(error, RefusedTokenError)
        waited = time.perf_counter() - began
        end = None
        if received is not None:
            try:
                end = self._finish(received, prompt, progress)
            except UNUSABLE as error:  # consistent, and yet this model cannot go on with it
                reason, received, grant = f"the server's chain cannot be run: {error!r}", None, None
        end = end or self._finish(self._begin(request_id), prompt, progress)
        (picture,) = self.model.decode(end)
        k = 0 if received is None else received.step
        return Outcome(
            picture,
            end.latents,
            "alone" if received is None else "shared",
            k,
            end.steps - k,
            reason,
            refused,
            call.made,
            size,
            waited,
            time.perf_counter() - began - waited,
            request_id,
            grant,
            None if received is None or self._card is None else self._card.keeps_ratings,
        )

    def rate(self, request_id: str, opinion: Opinion) -> None:
        """Tell the server what the user thinks of a request's picture.

        Raises:
            EdgeServerError: there is no server, it keeps no ratings, does not know the request, has a rating of it
                already, or does not answer.
        """
        if self._server is None:
            raise EdgeServerError("there is no server to rate")
        self._server.rate(request_id, opinion, self.patience_s)

    def _finish(self, state: ChainState, prompt: str, progress: Progress | None) -> ChainState:
        """The device's own steps."""
        conditioning = self.model.encode([prompt], state.guidance_scale)
        k, end = state.step, state
        for after in self.model.run(state, conditioning):
            end = after
            if progress is not None:
                progress("own", end.step - k, end.steps - k)
        return end

    def _begin(self, request_id: str) -> ChainState:
        """A chain of its own: the server's kind, where that is known and this netdiffuse has it."""
        seed = noise_seed(request_id)
        if self._card is not None:
            card = self._card
            try:
                return self.model.begin(
                    [seed], card.steps, scheduler=card.scheduler, guidance_scale=card.guidance_scale
                )
            except NetdiffuseError:  # a server of another version: its chain would not be known here
                pass
        own = self.alone
        return self.model.begin([seed], own.steps, scheduler=own.scheduler, guidance_scale=own.guidance_scale)

    def _from_server(
        self, call: Call, prompt: str, request_id: str, progress: Progress | None
    ) -> tuple[ChainState, int, Grant | None]:
        if self._server is None:
            raise EdgeServerError("there is no server")
        card = self._card or self._server.card(call)
        if (card.family, card.revision) != (self.model.name, self.model.revision):
            raise EdgeServerError(
                f"the server's model is {card.family} {card.revision}, this one {self.model.name} {self.model.revision}"
            )
        self._card = card
        try:
            ask = Ask(
                id=request_id,
                prompt=prompt,
                revision=card.revision,
                most_local_steps=self.most_local_steps,
                codec=self.codec,
                report=self.report,
            )
        except ValueError as error:  # a prompt that is too long, for one
            raise EdgeServerError(f"no server takes this request: {error}") from error
        for failures in range(self.tries):
            self._server.send(call, "POST", "/v1/requests", json=ask.model_dump(exclude_none=True))
            try:
                return self._collect(call, request_id, progress)
            except ChainStateError as error:  # damaged on its way: the server still has it
                call.pause(self.backoff_s, failures, str(error))
        raise EdgeServerError(f"{self.tries} chain states in a row were damaged")

    def _collect(self, call: Call, request_id: str, progress: Progress | None) -> tuple[ChainState, int, Grant | None]:
        """Wait for the state. Raises ChainStateError where it is damaged, EdgeServerError where there will be none."""
        assert self._server is not None
        patient = 20.0 if progress is None else 1.0  # who shows progress asks for it every second
        while True:
            wait = min(patient, call.left)
            response = self._server.send(
                call, "GET", f"/v1/requests/{request_id}/state", params={"wait": f"{wait:.2f}"}
            )
            if response.status_code == 200:
                state = ChainState.from_bytes(response.content, MOST_BYTES)
                self.model.check(state)
                if state.batch != 1:
                    raise ChainStateError(f"one chain was asked for, {state.batch} have come")
                return state, len(response.content), _grant(response)
            if progress is not None and (done := _done(response)) is not None:
                progress("shared", *done)
            call.pause(LEAST_WAIT_S, 0, "the state is not ready")

    def close(self) -> None:
        """Close the connection."""
        if self._server is not None:
            self._server.close()


def _done(response: httpx.Response) -> tuple[int, int] | None:
    """How many shared steps of how many are done, where an answer says so."""
    try:
        answer = Answer.model_validate_json(response.content)
    except ValueError:  # a server that says nothing of it
        return None
    return None if answer.done is None or answer.of is None else (answer.done, answer.of)


def _grant(response: httpx.Response) -> Grant | None:
    """What a policy gave, where the server says so."""
    try:
        return Grant.model_validate_json(response.headers.get("X-Grant", ""))
    except ValueError:  # no policy decides there, or a server of another version
        return None

"""Calls to an edge server: tried again where that may help, and never longer than patience lasts."""

import json
import random
import time
from typing import Any
from urllib.parse import quote

import httpx

from netdiffuse.common import NetdiffuseError, checks
from netdiffuse.common.addresses import check_url
from netdiffuse.common.http import retry_after_s
from netdiffuse.denoising.edge.access import check_token
from netdiffuse.denoising.edge.messages import ModelCard, Opinion
from netdiffuse.denoising.state import MOST_BYTES

ENCODED = ("content-encoding", "content-length", "transfer-encoding")  # no longer true of a body that was read
LEAST_WAIT_S = 0.05  # between two tries, whatever the server allows


class EdgeServerError(NetdiffuseError):
    """The edge server could not help: why a device went on alone."""


class RefusedTokenError(EdgeServerError):
    """The edge server wants another token."""


class Call:
    """One picture's patience, and how many calls were made for it."""

    def __init__(self, patience_s: float) -> None:
        self.end = time.monotonic() + patience_s
        self.made = 0

    @property
    def left(self) -> float:
        """Seconds of patience that are left."""
        return max(self.end - time.monotonic(), 0.0)

    def pause(self, seconds: float, failures: int, reason: str) -> None:
        """Wait before the next try, longer after each failure, and not in step with other devices."""
        wait = seconds * 2**failures * random.uniform(0.8, 1.2)
        if wait >= self.left:
            raise EdgeServerError(f"{reason}; patience is at an end")
        time.sleep(wait)


class Caller:
    """A connection to an edge server.

    Args:
        url: of the server.
        token: its bearer token, visible ASCII.
        tries: how often in a row it tries again after an error.
        backoff_s: seconds before the second try; doubled with each further one, and spread at random.
        transport: of the connection, for tests.

    Raises:
        InvalidValueError: an address that is none, a number outside its range, or a token that no header can carry.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        tries: int = 5,
        backoff_s: float = 0.2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.tries = checks.integer("tries", tries)
        self.backoff_s = checks.non_negative("backoff_s", backoff_s)
        check_token(token)
        check_url("the server's address", url)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=url, headers=headers, transport=transport)

    def card(self, call: Call) -> ModelCard:
        """What the server says of itself.

        Raises:
            EdgeServerError: it is no edge server, refuses, or does not answer.
        """
        response = self.send(call, "GET", "/v1/model")
        try:
            return ModelCard.model_validate_json(response.content)
        except ValueError as error:
            raise EdgeServerError(f"this is no edge server: {error}") from error

    def rate(self, request_id: str, opinion: Opinion, patience_s: float = 60.0) -> None:
        """Tell the server what the user thinks of a request's picture.

        Raises:
            EdgeServerError: it keeps no ratings, does not know the request, has a rating of it already, or does not
                answer.
        """
        path = f"/v1/requests/{quote(request_id, safe='')}/rating"
        try:
            self.send(Call(patience_s), "POST", path, json=opinion.model_dump(exclude_none=True))
        except EdgeServerError as error:
            if str(error).endswith("404: Not Found"):  # there is no such place: of a request that is not known it tells
                raise EdgeServerError("the server keeps no ratings: start it with --ratings FILE") from error
            raise

    def send(self, call: Call, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send, and try again where that may help: no answer, too much to do, a server that starts anew.

        Raises:
            EdgeServerError: the server refuses, or patience is at an end.
        """
        failures = 0
        while True:
            call.made += 1
            try:
                response = self._receive(call, method, path, arguments)
            except httpx.HTTPError as error:
                said = f"{type(error).__name__}: {error}"
                reason, wait = f"no answer from the server at {self.client.base_url} ({said}): is it running?", None
            else:
                if response.status_code < 300:
                    return response
                reason = f"the server says {response.status_code}: {_detail(response)}"
                if response.status_code == 401:
                    raise RefusedTokenError(reason)
                if response.status_code not in (429, 500, 502, 503, 504):
                    raise EdgeServerError(reason)
                wait = retry_after_s(response.headers.get("Retry-After"))
            failures += 1
            if failures >= self.tries and wait is None:
                raise EdgeServerError(reason if failures == 1 else f"{reason} (tried {failures} times)")
            call.pause(
                self.backoff_s if wait is None else max(wait, LEAST_WAIT_S),
                0 if wait is not None else failures - 1,
                reason,
            )

    def _receive(self, call: Call, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        """One answer, read piece by piece: neither one that trickles nor one without end outlasts patience."""
        body = bytearray()
        with self.client.stream(method, path, timeout=min(call.left, 30.0) + 1.0, **arguments) as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise EdgeServerError(f"the server's answer has more than {MOST_BYTES} bytes")
                if call.left == 0:
                    raise EdgeServerError("the server's answer takes too long; patience is at an end")
        plain = [(name, value) for name, value in response.headers.items() if name.lower() not in ENCODED]
        return httpx.Response(response.status_code, headers=plain, content=bytes(body))

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])[:200]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
        return response.reason_phrase

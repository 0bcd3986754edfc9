"""What an edge server does not put up with: strangers, floods, and bodies that are too long."""

import hmac
import math
import threading
import time
from collections import OrderedDict

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENTS = 10_000  # remembered at most: an attacker with many addresses must not fill the memory


class RateLimit:
    """A token bucket a client.

    Args:
        rate: requests a second, in the long run; 0 for no limit.
        burst: requests at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()  # requests are answered in several threads

    def wait(self, client: str) -> float:
        """Take a token; 0 where there was one, else the seconds until there will be."""
        if self.rate == 0:
            return 0.0
        with self._lock:
            now = time.monotonic()
            tokens, last = self._buckets.pop(client, (float(self.burst), now))
            tokens = min(self.burst, tokens + (now - last) * self.rate)
            missing = 1 - tokens
            self._buckets[client] = (tokens if missing > 0 else tokens - 1, now)
            if len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
        return max(missing, 0.0) / self.rate


def client_of(connection: HTTPConnection) -> str:
    """The address that a connection comes from."""
    return connection.client.host if connection.client else ""


def allowed(connection: HTTPConnection, token: str | None) -> bool:
    """Whether a connection shows the bearer token; compared in constant time."""
    if token is None:
        return True
    scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to come again."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


class BodyLimit:
    """Refuses longer bodies with 413, before they are read; also those that come without saying how long they are.

    Args:
        app: what is protected.
        most_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it is short enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.most_bytes:
            await _refuse(send, self.most_bytes)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.most_bytes:
                await _refuse(send, self.most_bytes)
                return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self.app(scope, replay, send)


async def _refuse(send: Send, most_bytes: int) -> None:
    body = f'{{"detail":"the body must have at most {most_bytes} bytes"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})

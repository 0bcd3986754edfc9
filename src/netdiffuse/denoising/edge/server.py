"""The edge server over HTTP: accepts requests, runs shared steps once, hands out chain states."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.edge.access import check_token
from netdiffuse.denoising.edge.dispatcher import Dispatcher
from netdiffuse.denoising.edge.engine import Engine
from netdiffuse.denoising.edge.journal import ConflictError, FullError, Journal
from netdiffuse.denoising.edge.limits import BodyLimit, RateLimit, allowed, client_of, retry_after
from netdiffuse.denoising.edge.messages import Answer, Ask, ModelCard
from netdiffuse.denoising.edge.metrics import Metrics
from netdiffuse.denoising.edge.rating_routes import rating_routes
from netdiffuse.denoising.edge.ratings import RatingStore

LOG = logging.getLogger(__name__)
FORGET_EVERY_S = 60.0


@dataclass(frozen=True)
class ServerSettings:
    """What may be set of an edge server.

    Attributes:
        window_s: how long the first request of a window waits for others, in seconds.
        most_in_window: requests that are planned together, at most.
        enough_in_window: requests that a window does not wait beyond; `most_in_window` unless told.
        most_waiting: requests that may wait; beyond, devices are sent away with 429 and told when to come again.
        rate: requests a second a client may send, in the long run; 0 for no limit.
        burst: requests that a client may send at once.
        call_rate: calls of any kind a second a client may make, questions and events included, strangers' too; 0 for
            no limit. Only /healthz has none.
        call_burst: calls that a client may make at once.
        most_body_bytes: of a request.
        keep_s: how long a state is kept for its device, in seconds.
        token: that devices have to show, visible ASCII; None for none.

    Raises:
        InvalidValueError: a number outside its range, or a token that is none.
    """

    window_s: float = 0.2
    most_in_window: int = 64
    enough_in_window: int | None = None
    most_waiting: int = 1000
    rate: float = 20.0
    burst: int = 40
    call_rate: float = 100.0
    call_burst: int = 400
    most_body_bytes: int = 16_384
    keep_s: float = 3600.0
    token: str | None = None

    def __post_init__(self) -> None:
        checks.non_negative("window_s", self.window_s)
        checks.non_negative("rate", self.rate)
        checks.non_negative("call_rate", self.call_rate)
        checks.positive("keep_s", self.keep_s)
        for name in ("most_in_window", "most_waiting", "burst", "call_burst", "most_body_bytes"):
            checks.integer(name, getattr(self, name))
        if self.enough_in_window is not None:
            checks.integer("enough_in_window", self.enough_in_window, maximum=self.most_in_window)
        check_token(self.token)


def make_server(
    engine: Engine,
    journal: Journal,
    settings: ServerSettings | None = None,
    ratings: RatingStore | None = None,
    check: Callable[[Ask], None] | None = None,
) -> FastAPI:
    """The server as an ASGI application, for `uvicorn` or another.

    Args:
        engine: runs the shared steps.
        journal: keeps what was accepted.
        settings: limits and times.
        ratings: keeps what users say; None where it is not asked for.
        check: raises an `InvalidValueError` for a request that cannot be decided about, which is refused with 422.
    """
    own = settings or ServerSettings()
    metrics, limit = Metrics(), RateLimit(own.rate, own.burst)
    calls = RateLimit(own.call_rate, own.call_burst)
    draining = False

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal draining
        dispatcher = Dispatcher(engine, journal, metrics, own.window_s, own.most_in_window, own.enough_in_window)
        app.state.dispatcher, app.state.loop = dispatcher, asyncio.get_running_loop()
        dispatcher.start()
        forgetting = asyncio.create_task(_forget(journal, own.keep_s))
        yield
        draining = True
        forgetting.cancel()
        await dispatcher.drain()  # what was accepted is finished, and kept in the journal
        journal.close()
        if ratings is not None:
            ratings.close()

    # Its description is for those who show the token; the pages that would show it load scripts from elsewhere.
    app = FastAPI(title="netdiffuse edge server", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, most_bytes=own.most_body_bytes)
    app.state.metrics = metrics

    def known(request: Request) -> None:
        seconds = calls.wait(client_of(request))
        if seconds > 0:
            metrics.refused.labels("rate").inc()
            raise HTTPException(429, f"more than {own.call_rate:g} calls a second", retry_after(seconds))
        if not allowed(request, own.token):
            metrics.refused.labels("token").inc()
            raise HTTPException(
                401, "show the server's token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
            )

    def entry_of(request_id: str) -> Answer:
        entry = journal.entry(request_id)
        if entry is None:
            raise HTTPException(404, f"there is no request '{request_id}': ask anew")
        running = app.state.dispatcher.done(request_id) if entry.status == "accepted" else None
        done, of = running or (None, None)
        return Answer(
            id=request_id,
            status=entry.status,
            shared_steps=entry.shared_steps,
            waiting=journal.count() if entry.status == "accepted" else 0,
            error=entry.error,
            done=done,
            of=of,
            grant=None if entry.decision is None else entry.decision.grant,
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        """What is wrong, without the body, which may be no text at all."""
        wrong = [{"where": list(one["loc"]), "what": one["msg"]} for one in error.errors()]
        return JSONResponse({"detail": wrong}, status_code=422)

    @app.get("/healthz")
    def health(request: Request) -> JSONResponse:
        """Whether the server is there, and runs what it accepts."""
        if not draining and not request.app.state.dispatcher.running:
            return JSONResponse({"status": "stopped"}, status_code=503)
        return JSONResponse({"status": "draining" if draining else "ok"})

    @app.get("/metrics", dependencies=[Depends(known)])
    def measures() -> Response:
        """Counters in Prometheus' format."""
        metrics.waiting.set(journal.count())
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/openapi.json", dependencies=[Depends(known)], include_in_schema=False)
    def description() -> JSONResponse:
        """What may be asked, in OpenAPI's format."""
        return JSONResponse(app.openapi())

    @app.get("/v1/model", dependencies=[Depends(known)])
    def model() -> ModelCard:
        """What devices need to know."""
        return engine.card.model_copy(update={"keeps_ratings": ratings is not None})

    @app.post("/v1/requests", status_code=202, dependencies=[Depends(known)])
    def ask(request: Request, body: Ask, response: Response) -> Answer:
        """Accept a request; the same id again is the same request."""
        if draining or not request.app.state.dispatcher.running:
            raise HTTPException(503, "the server is shutting down", retry_after(5))
        seconds = limit.wait(client_of(request))
        if seconds > 0:
            metrics.refused.labels("rate").inc()
            raise HTTPException(429, f"more than {own.rate:g} requests a second", retry_after(seconds))
        if body.revision != engine.card.revision:
            metrics.refused.labels("revision").inc()
            raise HTTPException(
                409, f"the server's model has revision {engine.card.revision}, the device's {body.revision}"
            )
        try:
            if check is not None:
                check(body)
            new = journal.accept(body, own.most_waiting)
        except InvalidValueError as error:
            metrics.refused.labels("invalid").inc()
            raise HTTPException(422, str(error)) from error
        except FullError as error:
            metrics.refused.labels("full").inc()
            raise HTTPException(429, str(error), retry_after(2)) from error
        except ConflictError as error:
            metrics.refused.labels("conflict").inc()
            raise HTTPException(409, str(error)) from error
        (metrics.accepted if new else metrics.repeated).inc()
        if not new:
            response.status_code = 200
        request.app.state.loop.call_soon_threadsafe(request.app.state.dispatcher.wake)
        return entry_of(body.id)

    @app.get("/v1/requests/{request_id}", dependencies=[Depends(known)])
    def status(request_id: str) -> Answer:
        """Where a request stands."""
        return entry_of(request_id)

    @app.get("/v1/requests/{request_id}/state", dependencies=[Depends(known)])
    async def state(request: Request, request_id: str, wait: float = Query(0.0, ge=0, le=60)) -> Response:
        """The chain state of a request, as bytes; with `wait`, once it is ready or so many seconds have passed."""
        answer = await _settled(request.app.state.dispatcher, entry_of, request_id, wait)
        if answer.status == "failed":
            raise HTTPException(410, f"the request failed: {answer.error}")
        data = await asyncio.to_thread(journal.collect, request_id) if answer.status == "ready" else None
        if data is None:
            return JSONResponse(answer.model_dump(), status_code=202, headers=retry_after(1))
        metrics.collected.inc()
        metrics.bytes.inc(len(data))
        headers = {"X-Shared-Steps": str(answer.shared_steps)}
        if answer.grant is not None:
            headers["X-Grant"] = answer.grant.model_dump_json()
        return Response(data, media_type="application/octet-stream", headers=headers)

    @app.websocket("/v1/requests/{request_id}/events")
    async def events(socket: WebSocket, request_id: str) -> None:
        """Progress as JSON, then the chain state as bytes."""
        if calls.wait(client_of(socket)) > 0:
            metrics.refused.labels("rate").inc()
            await socket.close(4429, f"more than {own.call_rate:g} calls a second")
            return
        if not allowed(socket, own.token):
            await socket.close(4401, "show the server's token")
            return
        await socket.accept()
        dispatcher: Dispatcher = socket.app.state.dispatcher
        queue = dispatcher.listen(request_id)
        gone = asyncio.create_task(_left(socket))
        try:
            answer = entry_of(request_id)
            if answer.done is not None:
                await socket.send_json({"done": answer.done, "of": answer.of})
            while answer.status == "accepted":
                event = await _unless(gone, queue)
                if event is None:
                    return  # its state waits in the journal
                await socket.send_json(event)
                if "status" in event:
                    answer = entry_of(request_id)
            data = await asyncio.to_thread(journal.collect, request_id) if answer.status == "ready" else None
            if data is None:
                await socket.close(4410, (answer.error or "failed")[:100])
                return
            metrics.collected.inc()
            metrics.bytes.inc(len(data))
            await socket.send_bytes(data)
            await socket.close()
        except HTTPException as error:
            await socket.close(4404, str(error.detail)[:100])
        except WebSocketDisconnect:
            pass  # the device has gone; its state waits in the journal
        finally:
            gone.cancel()
            dispatcher.leave(request_id, queue)

    if ratings is not None:
        app.include_router(rating_routes(journal, ratings, metrics), dependencies=[Depends(known)])
    return app


async def _settled(dispatcher: Dispatcher, look: Callable[[str], Answer], request_id: str, wait_s: float) -> Answer:
    """Where a request stands once it is ready or has failed, or after so many seconds."""
    end = time.monotonic() + wait_s
    queue = dispatcher.listen(request_id)
    try:
        answer = look(request_id)
        while answer.status == "accepted" and (left := end - time.monotonic()) > 0:
            try:
                event = await asyncio.wait_for(queue.get(), left)
            except TimeoutError:
                break
            if "status" in event:
                answer = look(request_id)
        return answer
    finally:
        dispatcher.leave(request_id, queue)


async def _left(socket: WebSocket) -> None:
    """Return when the client has left; what it says is not heard."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _unless(gone: "asyncio.Task[None]", queue: "asyncio.Queue[dict[str, Any]]") -> dict[str, Any] | None:
    """The next event, or None where `gone` is done before there is one."""
    event = asyncio.create_task(queue.get())
    await asyncio.wait((event, gone), return_when=asyncio.FIRST_COMPLETED)
    if event.done():
        return event.result()
    event.cancel()
    return None


async def _forget(journal: Journal, keep_s: float, every_s: float = FORGET_EVERY_S) -> None:
    """Now and then, delete what no device will ask for any more; a disk that is full now may not be the next time."""
    while True:
        try:
            await asyncio.to_thread(journal.forget, keep_s)
        except sqlite3.Error:
            LOG.exception("what is old could not be deleted from the journal %s", journal.path)
        await asyncio.sleep(every_s)

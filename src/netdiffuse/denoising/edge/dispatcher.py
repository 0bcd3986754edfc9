"""Gathers requests for an arrival window, and has the engine run each window."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from netdiffuse.denoising.edge.engine import Engine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Ask
from netdiffuse.denoising.edge.metrics import Metrics

LOG = logging.getLogger(__name__)
MOST_ATTEMPTS = 3  # a request in whose run the server died so often is given up


class Dispatcher:
    """Takes what the journal has waiting, window after window.

    Args:
        engine: runs a window.
        journal: what was accepted.
        metrics: counts what is done.
        window_s: how long the first request of a window waits for others, in seconds.
        most: requests in a window, at most.
        enough: requests that a window does not wait beyond; `most` unless told.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        metrics: Metrics,
        window_s: float = 0.2,
        most: int = 64,
        enough: int | None = None,
    ) -> None:
        self.engine, self.journal, self.metrics = engine, journal, metrics
        self.window_s, self.most = window_s, most
        self.enough = most if enough is None else min(enough, most)
        self._arrived = asyncio.Event()
        self._listeners: dict[str, set[asyncio.Queue[dict[str, Any]]]] = {}
        self._done: dict[str, tuple[int, int]] = {}  # of requests under way: steps of their window
        self._task: asyncio.Task[None] | None = None
        self._draining = False

    def start(self) -> None:
        """Begin, with what an earlier server has left waiting."""
        self._arrived.set()
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Say that a request has come in."""
        self._arrived.set()

    @property
    def running(self) -> bool:
        """Whether windows are run; no longer where not even the journal can be written."""
        return self._task is not None and not self._task.done()

    async def drain(self) -> None:
        """Finish all that is waiting, and stop."""
        self._draining = True
        self._arrived.set()
        if self.running and self._task is not None:
            await self._task

    def listen(self, request_id: str) -> asyncio.Queue[dict[str, Any]]:
        """A queue of what happens to a request: `{"done": 3, "of": 12}`, and at last `{"status": "ready"}`.

        The steps are those of its window, of all requests in it.
        """
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listeners.setdefault(request_id, set()).add(queue)
        return queue

    def leave(self, request_id: str, queue: asyncio.Queue[dict[str, Any]]) -> None:
        """Listen no longer."""
        listeners = self._listeners.get(request_id, set())
        listeners.discard(queue)
        if not listeners:
            self._listeners.pop(request_id, None)

    def done(self, request_id: str) -> tuple[int, int] | None:
        """How many steps of how many the window of a request has done; None where it is not under way."""
        return self._done.get(request_id)

    def _tell(self, request_ids: Sequence[str], event: dict[str, Any]) -> None:
        for request_id in request_ids:
            for queue in self._listeners.get(request_id, ()):
                queue.put_nowait(event)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while waiting := await asyncio.to_thread(self.journal.waiting):
                if len(waiting) < self.enough:
                    waiting = await self._gather()
                await self._window(waiting[: self.most])
            if self._draining:
                return

    async def _gather(self) -> list[Ask]:
        """Wait for others until the window ends or enough have come."""
        end = time.monotonic() + self.window_s
        while True:
            self._arrived.clear()  # before looking, so that nobody comes unseen in between
            waiting = await asyncio.to_thread(self.journal.waiting)
            left = end - time.monotonic()
            if left <= 0 or len(waiting) >= self.enough or self._draining:
                return waiting
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)

    async def _window(self, asks: list[Ask]) -> None:
        """Run one window. Requests that a server died with before are run apart: one of them may have been why."""
        began = time.perf_counter()
        tried = [await asyncio.to_thread(self.journal.attempts, ask.id) for ask in asks]
        if fresh := [ask for ask, times in zip(asks, tried, strict=True) if times == 0]:
            await self._attempt(fresh)
        for ask, times in zip(asks, tried, strict=True):
            if times >= MOST_ATTEMPTS:
                await self._fail(ask, f"the server died {times} times while it ran this request")
            elif times > 0:
                await self._attempt([ask])
        self.metrics.windows.observe(time.perf_counter() - began)
        self.metrics.window_size.observe(len(asks))

    async def _fail(self, ask: Ask, reason: str) -> None:
        await asyncio.to_thread(self.journal.fail, ask.id, reason)
        self._tell([ask.id], {"status": "failed"})
        self.metrics.failed.inc()

    async def _attempt(self, asks: list[Ask]) -> None:
        """Run requests together; one that cannot be run fails, and no other does."""
        loop = asyncio.get_running_loop()
        ids = [ask.id for ask in asks]
        delivered: set[str] = set()

        def deliver(request_id: str, state: bytes, step: int) -> None:
            self.journal.finish(request_id, state, step)
            delivered.add(request_id)
            loop.call_soon_threadsafe(self._tell, [request_id], {"status": "ready", "shared_steps": step})

        def progress(done: int, total: int) -> None:
            self.metrics.server_steps.inc()
            loop.call_soon_threadsafe(advance, done, total)

        def advance(done: int, total: int) -> None:
            left = [request_id for request_id in ids if request_id not in delivered]
            self._done |= dict.fromkeys(left, (done, total))
            self._tell(left, {"done": done, "of": total})

        await asyncio.to_thread(self.journal.begin, ids)
        try:
            await asyncio.to_thread(self.engine.run, asks, deliver, progress, self.journal.decide)
        except Exception as error:  # whatever it is, it must not end the server
            LOG.exception("a window of %d requests failed", len(asks))
            left = [ask for ask in asks if ask.id not in delivered]
            if len(asks) > 1:  # one of them may be at fault: each on its own
                for ask in left:
                    await self._attempt([ask])
            else:
                for ask in left:
                    await self._fail(ask, str(error) or type(error).__name__)
        finally:
            for request_id in ids:
                self._done.pop(request_id, None)
        self.metrics.ready.inc(len(delivered))

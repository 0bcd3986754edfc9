"""The clock of a run: seconds of training, stopped while anything else happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class TrainingClock:
    """A stopwatch that counts training alone.

    Args:
        elapsed: seconds that an earlier part of the run has used.
    """

    def __init__(self, elapsed: float = 0.0) -> None:
        self._before = elapsed
        self._started: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self._before + (0.0 if self._started is None else time.perf_counter() - self._started)

    def start(self) -> None:
        """Start, or go on."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop; a stopped clock stays stopped."""
        self._before, self._started = self.elapsed, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop for the length of a block."""
        running = self._started is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()


def warm_up() -> None:
    """Take one gradient step on a toy, because torch's first one imports modules for a second or more."""
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([parameter])
    parameter.square().sum().backward()
    optimizer.step()

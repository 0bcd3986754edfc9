"""Asking a training to stop, once, however often it is asked for; and once more to stop at once.

Whom was told what stands on disk beside the jobs, so that another tab, or the next studio, does not tell it again.
"""

import os
import signal
from pathlib import Path
from urllib.parse import quote, unquote

from netdiffuse.common import RunError
from netdiffuse.common.files import Holder

AT_ONCE = "-at-once"


class Stopping:
    """The processes that were told to stop.

    Args:
        folder: where it is kept; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tell(self, run: str, process: Holder, at_once: bool = False) -> bool:
        """Have a process stop with everything saved.

        Args:
            run: that it trains.
            process: it.
            at_once: whether it is to leave out what it does after it was told: the final evaluation.

        Returns:
            Whether it was told now; False where it was told before.

        Raises:
            RunError: it runs on another machine.
        """
        if not process.is_here or process.pid is None:
            raise RunError(f"'{run}' is trained on {process.host or 'another machine'}: stop it there")
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = self._mark(run, process.pid, at_once)
        try:
            mark.touch(exist_ok=False)  # before the signal, and by one alone: two clicks at once are one
        except FileExistsError:
            return False
        try:
            os.kill(process.pid, signal.SIGINT)
        except ProcessLookupError:  # it has just ended
            return False
        except OSError:
            mark.unlink(missing_ok=True)
            raise
        return True

    def was_told(self, run: str, process: Holder, at_once: bool = False) -> bool:
        """Whether this process was told; with `at_once`, whether it was told that."""
        return process.pid is not None and self._mark(run, process.pid, at_once).exists()

    def runs(self) -> set[str]:
        """Those of which a process was told."""
        return {_run(mark) for mark in self._marks()}

    def forget(self, run: str) -> None:
        """Forget what was told to a run's processes, once none is left: their numbers may come again."""
        for mark in self._marks():
            if _run(mark) == run:
                mark.unlink(missing_ok=True)

    def _marks(self) -> list[Path]:
        return list(self.folder.glob("[0-9]*.*"))

    def _mark(self, run: str, pid: int, at_once: bool) -> Path:
        return self.folder / f"{pid}{AT_ONCE if at_once else ''}.{quote(run, safe='')}"


def _run(mark: Path) -> str:
    return unquote(mark.name.split(".", 1)[1])

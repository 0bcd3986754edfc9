"""The command line in processes of its own, which stop when they are told to, or when this process dies."""

import _thread
import os
import signal
import subprocess
import sys
import threading
from typing import Self

from netdiffuse.common import RunError

_PROGRAM = """
from netdiffuse.experiments.children import interrupt_when_input_ends
interrupt_when_input_ends()
from netdiffuse.cli import main
main()
"""


def interrupt_when_input_ends() -> None:
    """Take the end of standard input for a Ctrl-C.

    The process that started this one holds the other end: it closes it to have this one stop, and the system closes
    it when that process dies, whatever it dies of.
    """

    def watch() -> None:
        os.read(0, 1)  # not through Python's buffer, whose lock would be held at exit
        _thread.interrupt_main()  # on any system; it comes through at the next step of Python

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent may have ignored it
    threading.Thread(target=watch, daemon=True).start()


class Children:
    """Trainings in processes of their own. Leaving the block by an error has them stop and save."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with self._lock:
                self._stopped = True
                for process in self._running:
                    assert process.stdin is not None
                    process.stdin.close()  # see interrupt_when_input_ends

    def run(self, *words: str) -> None:
        """Run the command line, and wait for it.

        Raises:
            KeyboardInterrupt: it was stopped.
            RunError: it failed.
        """
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                process_group=0,  # a terminal's Ctrl-C comes to this process alone, which passes it on once
            )
            self._running.add(process)
        with process:
            assert process.stderr is not None
            said = process.stderr.read()
        with self._lock:
            self._running.remove(process)
        if process.returncode in (130, -signal.SIGINT):
            raise KeyboardInterrupt
        if process.returncode != 0:
            lines = said.strip().splitlines() or ["it said nothing"]
            raise RunError(f"netdiffuse {' '.join(words)} failed: {lines[-1]}")


def environment() -> dict[str, str]:
    """A child's variables: it imports what this process would import, and not what lies in the working directory."""
    places = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}

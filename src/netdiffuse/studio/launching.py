"""The process of a training: it outlives the studio, and holds a lock as long as it lives."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from netdiffuse.common.files import write_holder
from netdiffuse.experiments.children import environment

_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # the studio may run where it is ignored
from netdiffuse.cli import main
main()
"""


def launched(words: Sequence[str], log: Path, lock: Path) -> subprocess.Popen[bytes]:
    """Start a process of the command line.

    Args:
        words: of the command line, after `netdiffuse`.
        log: file for what it says, written over.
        lock: file whose lock it holds to its end, and which says that it does.
    """
    import fcntl

    with open(log, "wb") as said, open(lock, "a", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # goes over to the process, and ends with it
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,  # neither a Ctrl-C nor a closed terminal reaches it
            pass_fds=(held.fileno(),),
        )
        write_holder(held, child.pid)
    return child

"""One server for a journal: two would both do what waits in it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from netdiffuse.common import RunError
from netdiffuse.common.files import holder, locked


@contextmanager
def only_server(journal: Path) -> Iterator[None]:
    """Keep a journal from other servers for the length of a block; a server that is killed lets go of it.

    Args:
        journal: file of the journal; its folder is made, and a file .lock beside it.

    Raises:
        RunError: another server has it.
    """
    journal.parent.mkdir(parents=True, exist_ok=True)
    path = journal.with_name(f"{journal.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except BlockingIOError as error:
            other = holder(path)
            who = "" if other is None or other.pid is None else f", process {other.pid} on {other.host}"
            raise RunError(
                f"another server has the journal {journal}{who}: end it, or choose another --journal"
            ) from error
        yield

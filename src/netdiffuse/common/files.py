"""Files that are either whole or absent: write beside the target, flush to disk, then rename."""

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from netdiffuse.common.errors import InvalidValueError

LOCK_ATTEMPTS = 10


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, renamed to `path` if the block succeeds.

    Else it is removed, with the folders that were made for it.
    """
    path = Path(path)
    made = [folder for folder in path.parents if not folder.exists()]  # innermost first
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else has put something there
            for folder in made:
                folder.rmdir()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically; NaN and infinities are refused, for other programs cannot read them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        json.JSONDecodeError: the file is not JSON.
        OSError: the file cannot be read.
    """
    return json.loads(Path(path).read_text(encoding="utf-8"))


def check_entries(value: object, types: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Return an object of a JSON file, refusing one that lacks an entry or holds something else there.

    Args:
        value: what was read.
        types: name of each entry that is needed to the types it may have.

    Raises:
        InvalidValueError: this is no such object.
    """
    if not isinstance(value, dict):
        raise InvalidValueError(f"it must hold an object, got {type(value).__name__}")
    for name, wanted in types.items():
        if name not in value:
            raise InvalidValueError(f"it has no '{name}'")
        if not isinstance(value[name], wanted):
            raise InvalidValueError(f"'{name}' has the wrong type: {type(value[name]).__name__}")
    return value


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        pid: the process; None where it did not say.
        host: its machine; None likewise.
    """

    pid: int | None
    host: str | None

    @property
    def is_here(self) -> bool:
        """Whether the process runs on this machine, and can be sent a signal."""
        return self.pid is not None and self.host == socket.gethostname()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file, which is made for it, for the length of a block; it ends with the process at the latest.

    The file says who holds it; see `holder`.

    Raises:
        BlockingIOError: another process, or another block, holds it.
    """
    if sys.platform == "win32":  # has no flock: there it is up to the user
        yield
        return
    import fcntl

    with open(path, "a+", encoding="utf-8") as file:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_ATTEMPTS - 1:
                    raise
                time.sleep(0.01)  # somebody may only look whether it is held
            except OSError:  # a file system without locks
                break
        write_holder(file, os.getpid())
        yield


def write_holder(file: TextIO, pid: int) -> None:
    """Have a file that is locked say by whom: a process of this machine."""
    file.truncate(0)
    file.write(json.dumps({"pid": pid, "host": socket.gethostname()}))
    file.flush()


def holder(path: Path) -> Holder | None:
    """Who holds the lock on a file; None where nobody does, or where there are no locks (Windows)."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _written(file.read())
    except OSError:  # it is not there, may not be read, or its file system has no locks
        pass
    return None


def last_holder(path: Path) -> Holder | None:
    """Who holds the lock on a file, or held it last; None where nobody has said."""
    try:
        return _written(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _written(text: str) -> Holder:
    try:
        entries = check_entries(json.loads(text), {"pid": int, "host": str})
    except ValueError:  # it is being written, or a version that did not write it holds the lock
        return Holder(None, None)
    return Holder(entries["pid"], entries["host"])


def unused(path: Path) -> Path:
    """The path, with a number at the end of its name where it exists: `picture.png`, then `picture-2.png`."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def claim_unused(path: Path) -> Path:
    """`unused`, and an empty file there at once, so that nobody else who asks at the same time gets it too."""
    while True:
        found = unused(path)
        try:
            found.touch(exist_ok=False)
        except FileExistsError:  # somebody was quicker
            continue
        return found


def new_folder(given: Path | None, usual: Path) -> Path:
    """The folder to write results to: the one given, or the usual one, numbered where that exists.

    Raises:
        InvalidValueError: the one given holds something already, or is a file.
    """
    if given is None:
        return unused(usual)
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        raise InvalidValueError(f"{given} already exists and is not empty: choose another --out")
    return given

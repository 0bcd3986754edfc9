"""A file of an edge server: SQLite, opened with care, written in whole transactions."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from netdiffuse.common import RunError


class Database:
    """An SQLite file with one main table, which survives a process that is killed and may be used by several threads.

    Subclasses say what is in it.

    Args:
        path: of the file; its folder is made.

    Attributes:
        noun, short: what the file is, in messages.
        option: what names another one on the command line.
        version: of the schema, in the file as its user_version; 0 is a file from before it was written down.
        schema: the statements that make it.
        table: the main table; a file that has tables and not this one is another's.
        later: columns of it that earlier versions lack, with their types.

    Raises:
        RunError: the file is no such file, or one of a later netdiffuse.
    """

    noun: ClassVar[str]
    short: ClassVar[str]
    option: ClassVar[str]
    version: ClassVar[int]
    schema: ClassVar[str]
    table: ClassVar[str]
    later: ClassVar[Mapping[str, str]] = {}

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            names = [row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if names and self.table not in names:
                raise sqlite3.DatabaseError(f"it has the tables {', '.join(names)}")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version <= self.version:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")  # what was accepted outlives a power cut
                self._db.executescript(self.schema)
                columns = [row[1] for row in self._db.execute(f"PRAGMA table_info({self.table})")]
                for column, kind in self.later.items():
                    if column not in columns:
                        self._db.execute(f"ALTER TABLE {self.table} ADD COLUMN {column} {kind}")
                self._db.execute(f"PRAGMA user_version = {self.version}")
        except sqlite3.DatabaseError as error:
            raise RunError(f"{self.path} is no {self.noun} ({error}): choose another {self.option}") from error
        if version > self.version:
            self._db.close()
            raise RunError(
                f"{self.path} is a {self.short} of version {version}, this netdiffuse reads version {self.version}: "
                f"choose another {self.option}, or the netdiffuse that wrote it"
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has undone it by itself where the disk was full
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

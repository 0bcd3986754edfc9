"""The journal of an edge server: every request that it accepted, on disk before the device is told so."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netdiffuse.common import RunError, checks
from netdiffuse.denoising.edge.database import Database
from netdiffuse.denoising.edge.messages import Ask, Decision, Status

VERSION = 2  # of the schema
MOST_BYTES = 2**30
SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    ask TEXT NOT NULL,
    status TEXT NOT NULL,
    shared_steps INTEGER,
    state BLOB,
    error TEXT,
    accepted REAL NOT NULL,
    ready REAL,
    collected REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    decision TEXT
);
CREATE INDEX IF NOT EXISTS by_status ON requests (status, accepted);
"""


class ConflictError(RunError):
    """An id that was used before, for another request."""


class FullError(RunError):
    """A journal that takes no further request for now."""


@dataclass(frozen=True)
class Entry:
    """A request as the journal has it; times in seconds since 1970."""

    ask: Ask
    status: Status
    shared_steps: int | None
    error: str | None
    accepted: float
    ready: float | None
    decision: Decision | None = None


class Journal(Database):
    """Requests in an SQLite file, which survives a server that is killed.

    Args:
        path: of the file; its folder is made.
        most_bytes: of the states in it. Beyond, states that devices have fetched go first, the oldest before others; as
            long as that is not enough, no request is accepted. What was accepted before may still go over it.

    Raises:
        RunError: the file is no journal, or one of a later netdiffuse.
    """

    noun, short, option, version, table = "journal of an edge server", "journal", "--journal", VERSION, "requests"
    schema, later = SCHEMA, {"attempts": "INTEGER NOT NULL DEFAULT 0", "decision": "TEXT"}

    def __init__(self, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = checks.integer("most_bytes", most_bytes)
        super().__init__(path)
        self._bytes = self._weigh()

    def accept(self, ask: Ask, most_waiting: int | None = None) -> bool:
        """Write a request down; False where it stands there already.

        Args:
            ask: the request.
            most_waiting: requests that may wait, this one included; no limit unless told.

        Raises:
            ConflictError: its id stands there with another request.
            FullError: so many wait already, or states that are not fetched yet fill the journal.
        """
        with self._transaction() as db:
            row = db.execute("SELECT ask FROM requests WHERE id = ?", (ask.id,)).fetchone()
            if row is not None:
                if Ask.model_validate_json(row[0]) != ask:
                    raise ConflictError(f"the id '{ask.id}' was used for another request: choose a new one")
                return False
            if most_waiting is not None and _waiting(db) >= most_waiting:
                raise FullError(f"{most_waiting} requests are waiting already")
            if not self._room(db):
                raise FullError(f"states that devices have not fetched yet fill the journal ({self._bytes} bytes)")
            db.execute(
                "INSERT INTO requests (id, ask, status, accepted) VALUES (?, ?, 'accepted', ?)",
                (ask.id, ask.model_dump_json(), time.time()),
            )
        return True

    def finish(self, request_id: str, state: bytes, shared_steps: int) -> None:
        """Keep the state that a device is to go on from."""
        with self._transaction() as db:
            db.execute(
                "UPDATE requests SET status = 'ready', state = ?, shared_steps = ?, ready = ? WHERE id = ?",
                (state, shared_steps, time.time(), request_id),
            )
            self._bytes += len(state)
            self._room(db)

    def fail(self, request_id: str, error: str) -> None:
        """Write down that a request cannot be served."""
        with self._transaction() as db:
            db.execute(
                "UPDATE requests SET status = 'failed', error = ?, ready = ? WHERE id = ?",
                (error, time.time(), request_id),
            )

    def begin(self, request_ids: Sequence[str]) -> None:
        """Write down that requests are about to be run, so that it is known after a server has died of one."""
        with self._transaction() as db:
            db.executemany("UPDATE requests SET attempts = attempts + 1 WHERE id = ?", [(one,) for one in request_ids])

    def attempts(self, request_id: str) -> int:
        """How often a request was begun."""
        with self._lock:
            row = self._db.execute("SELECT attempts FROM requests WHERE id = ?", (request_id,)).fetchone()
        return 0 if row is None else int(row[0])

    def waiting(self) -> list[Ask]:
        """Requests that are accepted and neither ready nor failed, the oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT ask FROM requests WHERE status = 'accepted' ORDER BY accepted").fetchall()
        return [Ask.model_validate_json(row[0]) for row in rows]

    def count(self) -> int:
        """How many are waiting."""
        with self._lock:
            return _waiting(self._db)

    def decide(self, decisions: Mapping[str, Decision]) -> None:
        """Keep what a policy has decided about requests, by their ids; the last decision counts."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE requests SET decision = ? WHERE id = ?",
                [(decision.model_dump_json(), request_id) for request_id, decision in decisions.items()],
            )

    def entry(self, request_id: str) -> Entry | None:
        """A request, or None where there is none of this id."""
        with self._lock:
            row = self._db.execute(
                "SELECT ask, status, shared_steps, error, accepted, ready, decision FROM requests WHERE id = ?",
                (request_id,),
            ).fetchone()
        if row is None:
            return None
        decision = None if row[6] is None else Decision.model_validate_json(row[6])
        status, shared_steps, error, accepted, ready = row[1:6]
        return Entry(Ask.model_validate_json(row[0]), status, shared_steps, error, accepted, ready, decision)

    def collect(self, request_id: str) -> bytes | None:
        """The state of a request that is ready; it may be collected again, for an answer can be lost."""
        with self._transaction() as db:
            row = db.execute("SELECT state FROM requests WHERE id = ? AND status = 'ready'", (request_id,)).fetchone()
            if row is None:
                return None
            db.execute("UPDATE requests SET collected = ? WHERE id = ?", (time.time(), request_id))
        return bytes(row[0])

    def collected(self) -> int:
        """How many were handed out at least once."""
        with self._lock:
            return int(self._db.execute("SELECT COUNT(*) FROM requests WHERE collected IS NOT NULL").fetchone()[0])

    def uncollected(self) -> int:
        """How many have not been handed out yet and may still be."""
        query = "SELECT COUNT(*) FROM requests WHERE collected IS NULL AND status != 'failed'"
        with self._lock:
            return int(self._db.execute(query).fetchone()[0])

    def forget(self, older_than_s: float) -> int:
        """Delete what was done longer ago than this, and say how many."""
        with self._transaction() as db:
            gone = db.execute(
                "DELETE FROM requests WHERE status != 'accepted' AND ready < ?", (time.time() - older_than_s,)
            )
            self._bytes = self._weigh()
            return gone.rowcount

    def _weigh(self) -> int:
        """Bytes of all states."""
        return int(self._db.execute("SELECT COALESCE(SUM(LENGTH(state)), 0) FROM requests").fetchone()[0])

    def _room(self, db: sqlite3.Connection) -> bool:
        """Whether there is room for a state, after what fetched states had to go, the first fetched first."""
        if self._bytes < self.most_bytes:
            return True
        self._bytes = self._weigh()
        fetched = "SELECT id, LENGTH(state) FROM requests WHERE collected IS NOT NULL ORDER BY collected"
        for request_id, weight in db.execute(fetched).fetchall():
            if self._bytes < self.most_bytes:
                break
            db.execute("DELETE FROM requests WHERE id = ?", (request_id,))
            self._bytes -= weight
        return self._bytes < self.most_bytes


def _waiting(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COUNT(*) FROM requests WHERE status = 'accepted'").fetchone()[0])

"""Answers on disk: a training run asks each question once, and repeats exactly offline."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from netdiffuse.common import RunError
from netdiffuse.users.experience import Opinion

SCHEMA = """
CREATE TABLE IF NOT EXISTS opinions (
    key TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    opinion TEXT NOT NULL,
    source TEXT NOT NULL,
    made REAL NOT NULL
);
"""
KEEP = """
INSERT INTO opinions VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET opinion = excluded.opinion, source = excluded.source, made = excluded.made
WHERE opinions.source = 'fallback' AND excluded.source <> 'fallback';
"""


class AnswerCache:
    """Opinions in an SQLite file, by question; several processes may share it.

    A question is all that decides the answer: model, messages (persona, memory, stimulus) and sampling. It stands
    beside the opinion in plain JSON, pictures as fingerprints. What the fallback answered is kept too, with "fallback"
    as its source, for a run that is repeated has to meet it again; an answer of the model takes its place.

    Args:
        path: of the file; its folder is made.

    Raises:
        RunError: the file is no such cache; of any method too, where it cannot be read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        with self._reporting():
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(SCHEMA)

    def get(self, key: str) -> Opinion | None:
        """The opinion of a question, or None where it was never asked."""
        with self._reporting():
            row = self._db.execute("SELECT opinion FROM opinions WHERE key = ?", (key,)).fetchone()
            return None if row is None else Opinion(**json.loads(row[0]))

    def put(self, key: str, question: str, opinion: Opinion) -> Opinion:
        """Keep an opinion, and return the one that holds.

        That is the first, where another process was quicker; but the model's before any of the fallback's.
        """
        row = (key, question, json.dumps(asdict(opinion)), opinion.source, time.time())
        with self._reporting():
            self._db.execute(KEEP, row)
        return self.get(key) or opinion

    def __len__(self) -> int:
        with self._reporting():
            return int(self._db.execute("SELECT COUNT(*) FROM opinions").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """One thread at a time, and errors that name the file."""
        try:
            with self._lock:
                yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise RunError(f"the cache of answers {self.path} cannot be used ({error}): choose another file") from error

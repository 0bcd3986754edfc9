"""What users said of what they were given: ratings in a file, each with the decision that it judges."""

import json
import time
from dataclasses import dataclass
from typing import Any

from netdiffuse.denoising.edge.database import Database
from netdiffuse.denoising.edge.journal import ConflictError
from netdiffuse.denoising.edge.messages import Decision, Opinion, Rated

SCHEMA = """
CREATE TABLE IF NOT EXISTS ratings (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL UNIQUE,
    time REAL NOT NULL,
    rating REAL NOT NULL,
    reason TEXT,
    quality REAL,
    delay_s REAL,
    energy_share REAL,
    persona TEXT,
    policy TEXT,
    session TEXT,
    user INTEGER,
    observation TEXT,
    action TEXT,
    server_j REAL,
    settings TEXT
);
"""
_SAID = "number, request, time, rating, reason, quality, delay_s, energy_share, persona, policy"


@dataclass(frozen=True)
class Rating:
    """A rating as it is kept.

    Attributes:
        request: id of the request.
        opinion: what its user said, and what the device measured.
        persona: the user's name among personas, where it is known.
        decision: what is judged; None where no policy decided.
    """

    request: str
    opinion: Opinion
    persona: str | None = None
    decision: Decision | None = None


class RatingStore(Database):
    """Ratings in an SQLite file.

    The columns `observation` (of all users of the session, a row each), `action` and `settings` (of the policy's
    problem) hold JSON; `session` is the same for requests that were decided together, NULL where a rating does not
    judge a policy, and `user` is the row of the one that is rated. `time` is in seconds since 1970.

    Args:
        path: of the file; its folder is made.

    Raises:
        RunError: the file holds something else, or is of a later netdiffuse.
    """

    noun, short, option, version, table = "file of ratings", "file of ratings", "--ratings", 2, "ratings"
    schema, later = SCHEMA, {"settings": "TEXT"}

    def add(self, rating: Rating) -> None:
        """Write a rating down, whole or not at all.

        Raises:
            ConflictError: the request has been rated.
        """
        said, decision = rating.opinion, rating.decision
        row: dict[str, Any] = {
            "request": rating.request,
            "time": time.time(),
            **said.model_dump(),
            "persona": rating.persona,
        }
        if decision is not None:
            row |= {
                "policy": decision.grant.policy,
                "session": decision.session,
                "user": decision.user,
                "observation": json.dumps(decision.observation),
                "action": json.dumps(decision.action),
                "server_j": decision.server_j,
                "settings": json.dumps(decision.settings),
            }
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM ratings WHERE request = ?", (rating.request,)).fetchone() is not None:
                raise ConflictError(f"the request '{rating.request}' has been rated: there is one rating a request")
            places = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO ratings ({', '.join(row)}) VALUES ({places})", tuple(row.values()))

    def page(self, limit: int = 50, before: int | None = None) -> list[Rated]:
        """Ratings, the newest first.

        Args:
            limit: how many, at most.
            before: only those with a smaller number, for the next page.
        """
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_SAID} FROM ratings WHERE number < ? ORDER BY number DESC LIMIT ?",
                (2**62 if before is None else before, limit),
            ).fetchall()
        names = _SAID.split(", ")
        return [Rated(**dict(zip(names, row, strict=True))) for row in rows]

    def count(self) -> int:
        """How many there are."""
        with self._lock:
            return int(self._db.execute("SELECT COUNT(*) FROM ratings").fetchone()[0])

"""A training that waits, runs or has ended, as its file tells of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netdiffuse.common import InvalidValueError, RunError
from netdiffuse.common.files import check_entries, holder, read_json

JobState = Literal["queued", "running", "ended"]


@dataclass(frozen=True)
class Job:
    """A training that waits, runs or has ended.

    Attributes:
        id: sorts by its place in the queue.
        run: name of the run's folder below the runs folder.
        words: of the command line, after `netdiffuse`.
        state: "queued", "running" or "ended".
    """

    id: str
    run: str
    words: tuple[str, ...]
    state: JobState


def read_job(path: Path) -> Job | None:
    """The job of a file; None where it was just removed.

    Raises:
        RunError: the file is damaged.
    """
    try:
        entry = check_entries(read_json(path), {"run": str, "words": list, "started": bool})
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{path} is damaged, remove it: {error}") from error
    state: JobState = "ended" if entry["started"] else "queued"
    if holder(path.with_suffix(".lock")) is not None:
        state = "running"
    return Job(path.stem, entry["run"], tuple(map(str, entry["words"])), state)


def checked_id(id_: str) -> str:
    """Refuse what is no job's id with an `InvalidValueError`: a file is named after it."""
    if not re.fullmatch(r"\d{20}", id_):
        raise InvalidValueError(f"a job's id has 20 digits, got {id_!r}")
    return id_

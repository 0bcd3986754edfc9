"""Ratings that an edge server has kept, and a training whose simulated users are corrected by them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from netdiffuse.common import DataFileError, RunError, UnsupportedError
from netdiffuse.common.files import read_json, write_json
from netdiffuse.experiments.run import Run
from netdiffuse.problems.shared_denoising.experience import Expected, expected
from netdiffuse.problems.shared_denoising.rating import CalibratedRating
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings, make_settings
from netdiffuse.users import Calibration
from netdiffuse.users.calibration import MOST
from netdiffuse.users.qoe import CEILING, FLOOR

PROBLEM = "shared-denoising"
RATINGS = "ratings.json"  # in a run's folder: what it learns from
LARGEST = 3600.0  # in an observation: seconds that anyone is patient, its largest number
COLUMNS = "session, user, observation, action, rating, settings"

Array = NDArray[np.float64]


class Rated(NamedTuple):
    """What people have rated, arrays of shape (n,), of people (n, 12), the last last; as `Calibration` takes them."""

    people: Array
    quality: Array
    delay_s: Array
    energy_share: Array
    ratings: Array


def read_ratings(path: str | Path) -> Rated:
    """The last 1,000 ratings of a file that judge a policy's decision, with what the users went through.

    What that was follows from what the policy saw and what was done, by the model of the environment; so the simulator
    is corrected for whatever it gets wrong on the way to a rating, not for the users' taste alone.

    Args:
        path: the file, as `netdiffuse denoise serve --ratings` writes it.

    Raises:
        DataFileError: the file is missing, damaged or no file of ratings, or none in it judges a policy's decision.
    """
    path = Path(path)
    rows = _rows(path)
    sessions: dict[str, tuple[tuple[Any, ...], Expected]] = {}
    found = []
    for session, user, *decided, rating, under in rows:
        try:
            decision = (*decided, under)
            if session not in sessions:
                sessions[session] = (decision, _expected(*decision))
            before, got = sessions[session]
            if decision != before:
                raise ValueError("its ratings have different observations, actions or settings")
            if not 0 <= user < got.quality.shape[1]:
                raise ValueError(f"user {user} of {got.quality.shape[1]}")
            if not FLOOR <= rating <= CEILING:
                raise ValueError(f"a rating must be in [1, 5], got {rating}")
            found.append((got.people[0, user], *(float(values[0, user]) for values in got[:3]), float(rating)))
        except (TypeError, ValueError, LookupError) as error:
            raise DataFileError(f"{path}: session {session} is damaged or of another policy: {error}") from error
    if not found:
        raise DataFileError(f"{path} has no rating of a policy's decision: serve with --allocator RUN")
    people, *others = zip(*found, strict=True)
    return Rated(np.stack(people), *(np.array(values) for values in others))


def session_settings(run: Run) -> SharedDenoisingSettings:
    """The arguments of the sessions that a run was trained on.

    Raises:
        UnsupportedError: it was trained on something else.
    """
    if run.config.problem != PROBLEM:
        raise UnsupportedError(
            f"{run.path} was trained on {run.config.problem}: an edge server's policy and its ratings need a run on "
            f"{PROBLEM} (netdiffuse train {PROBLEM})"
        )
    return make_settings(run.config.problem_args)


def learn_from_ratings(
    run: Run, model: BaseAlgorithm, state: dict[str, Any] | None, path: str | Path | None = None
) -> dict[str, Any] | None:
    """Correct the simulated users whom a model learns from by people's ratings.

    They are kept in the run, which goes on with them from now on; a new file takes their place. Evaluations stay with
    the parametric rater. Transitions that were rewarded otherwise are forgotten: to mix them would teach neither.

    Args:
        run: the model's, on shared denoising.
        model: in training.
        state: of the checkpoint that it was loaded from.
        path: a file of ratings, as `netdiffuse denoise serve --ratings` writes it; those kept in the run unless told.

    Returns:
        What it learns from: `file`, `sha256` of what was rated, and `Calibration.to_dict`. None where the run has never
        learned from any.

    Raises:
        UnsupportedError: a run on something else, or one whose users a language model plays.
        DataFileError: as `read_ratings`.
        RunError: the ratings that the run has kept are damaged.
        MissingExtraError: as `Calibration`.
    """
    kept = run.path / RATINGS
    if path is None and not kept.exists():
        return None
    settings = session_settings(run)
    if run.config.rater is not None:
        raise UnsupportedError(f"{run.path} has a language model for its users, which ratings cannot correct")
    file, rated = kept_ratings(run) if path is None else (str(Path(path).resolve()), read_ratings(path))
    calibration = Calibration(*rated)
    if path is not None:
        write_json(kept, {"file": file} | {name: values.tolist() for name, values in rated._asdict().items()})
    env = model.get_env()
    assert env is not None
    env.get_attr("simulator", 0)[0].rating = CalibratedRating(calibration, settings.noisy)
    if state is not None and _learned(state) != calibration.digest and isinstance(model, OffPolicyAlgorithm):
        assert model.replay_buffer is not None
        model.replay_buffer.reset()
    return {"file": file, "sha256": calibration.digest, **calibration.to_dict()}


def kept_ratings(run: Run) -> tuple[str, Rated]:
    """What a run learns from: the file that it came from, and the ratings.

    Raises:
        RunError: they are missing or damaged.
    """
    path = run.path / RATINGS
    try:
        said = read_json(path)
        return str(said["file"]), Rated(*(np.array(said[name], np.float64) for name in Rated._fields))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise RunError(f"{path} is damaged ({error}): give the file of ratings again with --ratings") from error


def _learned(state: dict[str, Any]) -> str | None:
    """The digest of the ratings by which the environments of a checkpoint were rewarded."""
    found: str | None = state["environment"]["env"]["simulator"]["rating"].get("calibration")
    return found


def _rows(path: Path) -> list[tuple[Any, ...]]:
    """The last ratings of decisions, the oldest first, from a file that is only read."""
    if not path.is_file():
        raise DataFileError(f"there is no file of ratings {path}: netdiffuse denoise serve --ratings {path} writes one")
    query = f"SELECT {COLUMNS} FROM ratings WHERE session IS NOT NULL ORDER BY number DESC LIMIT {MOST}"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()[::-1]
    except sqlite3.Error as error:
        raise DataFileError(f"{path} is no file of ratings, or damaged: {error}") from error


def _expected(seen: str, taken: str, under: str) -> Expected:
    """What the users of a session went through, arrays of shape (1, users)."""
    observation, action = (np.array(json.loads(text), np.float32)[None] for text in (seen, taken))
    users = observation.shape[1]
    if action.shape != (1, 3 * users):
        raise ValueError(f"the action of {users} users must have shape ({3 * users},)")
    if not ((np.abs(observation) <= LARGEST).all() and (np.abs(action) <= 1).all()):  # NaN is neither
        raise ValueError(f"observations must be in [-{LARGEST:g}, {LARGEST:g}], and actions in [-1, 1]")
    return expected(observation, action, make_settings(dict(json.loads(under))))

"""Ratings that an edge server has kept, and a training whose simulated users are corrected by them."""

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from netdiffuse.common import DataFileError, InvalidValueError, RunError, UnsupportedError
from netdiffuse.common.files import read_json, write_json
from netdiffuse.experiments.budget import Budget
from netdiffuse.experiments.checkpoints import checkpoint_dir, load_state
from netdiffuse.experiments.rewards import rate_by
from netdiffuse.experiments.run import Run
from netdiffuse.problems.shared_denoising.expected import Expected, expected
from netdiffuse.problems.shared_denoising.observation import features
from netdiffuse.problems.shared_denoising.rating import CalibratedRating
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings, make_settings
from netdiffuse.users import Calibration, persona_of
from netdiffuse.users.calibration import MOST
from netdiffuse.users.persona import LONGEST_S  # the largest number in an observation
from netdiffuse.users.qoe import CEILING, FLOOR

PROBLEM = "shared-denoising"
RATINGS = "ratings.json"  # in a run's folder: what it learns from
SELECTED = "session, user, observation, action, rating, settings"

Array = NDArray[np.float64]


class Rated(NamedTuple):
    """What people have rated, arrays of shape (n,), of people (n, 12), the last last; as `Calibration` takes them.

    `left_out` ratings among them judge no policy, or one that did not see who the users are, or are of times when a
    file did not tell under which settings was decided.
    """

    people: Array
    quality: Array
    delay_s: Array
    energy_share: Array
    ratings: Array
    left_out: int = 0


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
    sessions: dict[str, tuple[tuple[Any, ...], Expected]] = {}
    found: list[tuple[Any, ...]] = []
    left_out = 0
    with closing(_newest_first(path)) as rows:
        for session, user, *decided, rating, under in rows:
            try:
                decision = (*decided, under)
                if session is None or under is None or _sees_nobody(decided[0]):
                    left_out += 1
                    continue
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
            if len(found) == MOST:
                break
    if not found:
        raise DataFileError(
            f"{path} has no rating of a decision by a policy that sees who the users are ({left_out} of others): serve "
            "with --allocator RUN, of a run that was not trained with show_personas=False"
        )
    people, *others = zip(*reversed(found), strict=True)
    quality, delay_s, energy_share, ratings = (np.array(values) for values in others)
    return Rated(np.stack(people), quality, delay_s, energy_share, ratings, left_out)


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
    run: Run, model: BaseAlgorithm, state: dict[str, Any] | None, budget: Budget, path: str | Path | None = None
) -> dict[str, Any] | None:
    """Correct the simulated users whom a model learns from by people's ratings.

    They are kept in the run, which goes on with them from now on; a new file takes their place. Evaluations stay with
    the parametric rater. Transitions that were rewarded otherwise are forgotten: to mix them would teach neither.

    Args:
        run: the model's, on shared denoising.
        model: in training.
        state: of the checkpoint that it was loaded from.
        budget: until when it trains.
        path: a file of ratings, as `netdiffuse denoise serve --ratings` writes it; those kept in the run unless told.

    Returns:
        What it learns from: `file`, `sha256` of what was rated, and `Calibration.to_dict`. None where the run has never
        learned from any.

    Raises:
        UnsupportedError: a run on something else, or one whose users a language model plays.
        InvalidValueError: a budget of timesteps that ends before anything is learned from corrected users.
        DataFileError: as `read_ratings`.
        RunError: the ratings that the run has kept are missing or damaged.
        MissingExtraError: as `Calibration`.
    """
    if path is None and run.config.problem != PROBLEM:
        return None
    settings, kept = session_settings(run), run.path / RATINGS
    before = None if state is None else _learned(state)
    if path is None and not kept.exists():
        if before is not None:
            raise RunError(f"{kept}, from which the run has learned, is missing: give the file again with --ratings")
        return None
    if run.config.rater is not None:
        raise UnsupportedError(f"{run.path} has a language model for its users, which ratings cannot correct")
    file, rated = kept_ratings(run) if path is None else (str(Path(path).resolve()), read_ratings(path))
    calibration = calibrated(rated, kept if path is None else path)
    if isinstance(model, OffPolicyAlgorithm):
        if state is not None and before != calibration.digest:
            assert model.replay_buffer is not None
            model.replay_buffer.reset()
            # Not from a handful of transitions; and as the run was asked, however often ratings have come before.
            usual = getattr(model, "usual_learning_starts", model.learning_starts)
            model.usual_learning_starts = usual  # type: ignore[attr-defined] # which is saved with the model
            model.learning_starts = model.num_timesteps + usual
        if budget.timesteps is not None and budget.timesteps <= model.learning_starts:
            raise InvalidValueError(
                f"{run.path} would learn nothing from ratings within {budget.timesteps} timesteps in all: it has taken "
                f"{model.num_timesteps} and begins to learn after {model.learning_starts} (learning_starts); ask for "
                f"{model.learning_starts + 1} at least, better many more"
            )
    if path is not None:
        arrays = {name: np.asarray(values).tolist() for name, values in rated._asdict().items()}
        write_json(kept, {"file": file} | arrays)
    rate_by(model, CalibratedRating(calibration, settings.noisy))
    return {"file": file, "sha256": calibration.digest, **calibration.to_dict(), "left_out": rated.left_out}


def calibrated(rated: Rated, path: str | Path) -> Calibration:
    """The correction by the ratings of a file.

    Raises:
        DataFileError: they cannot be learned from.
        MissingExtraError: as `Calibration`.
    """
    try:
        return Calibration(*rated[:5])
    except InvalidValueError as error:
        raise DataFileError(f"{path} cannot be learned from: {error}") from error


def kept_ratings(run: Run) -> tuple[str, Rated]:
    """What a run learns from: the file that it came from, and the ratings.

    Raises:
        RunError: they are missing or damaged.
    """
    path = run.path / RATINGS
    try:
        said = read_json(path)
        people, quality, delay_s, energy_share, rated = (np.array(said[name], np.float64) for name in Rated._fields[:5])
        for numbers in people.tolist():
            persona_of("user", numbers)
        return str(said["file"]), Rated(people, quality, delay_s, energy_share, rated, int(said["left_out"]))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise RunError(f"{path} is damaged ({error}): give the file of ratings again with --ratings") from error


def has_learned(run: Run) -> bool:
    """Whether a run's checkpoint has learned from people's ratings; those that it keeps may still wait to be.

    Raises:
        RunError: its checkpoint is missing or damaged.
    """
    return (run.path / RATINGS).exists() and _learned(load_state(checkpoint_dir(run.path))) is not None


def _learned(state: dict[str, Any]) -> str | None:
    """The digest of the ratings by which the environments of a checkpoint were rewarded."""
    found: str | None = state["environment"]["env"]["simulator"]["rating"].get("calibration")
    return found


def _newest_first(path: Path) -> Generator[tuple[Any, ...], None, None]:
    """The ratings of a file that is only read."""
    if not path.is_file():
        raise DataFileError(f"there is no file of ratings {path}: netdiffuse denoise serve --ratings {path} writes one")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            columns = {row[1] for row in db.execute("PRAGMA table_info(ratings)")}
            if columns and "settings" not in columns:
                raise DataFileError(
                    f"{path} is of an earlier version, which did not keep under which settings was decided: netdiffuse "
                    f"denoise serve --ratings {path} brings it up to date, and what is rated from then on counts"
                )
            yield from db.execute(f"SELECT {SELECTED} FROM ratings ORDER BY number DESC")
    except sqlite3.Error as error:
        raise DataFileError(f"{path} is no file of ratings, or damaged: {error}") from error


def _sees_nobody(seen: str) -> bool:
    """Whether an observation has the columns of a policy that does not see who the users are."""
    rows = json.loads(seen)
    return (
        isinstance(rows, list)
        and bool(rows)
        and all(isinstance(row, list) and len(row) == len(features(show_personas=False)) for row in rows)
    )


def _expected(seen: str, taken: str, under: str) -> Expected:
    """What the users of a session went through, arrays of shape (1, users)."""
    observation, action = (np.array(json.loads(text), np.float32)[None] for text in (seen, taken))
    users = observation.shape[1]
    if action.shape != (1, 3 * users):
        raise ValueError(f"the action of {users} users must have shape ({3 * users},)")
    if not ((np.abs(observation) <= LONGEST_S).all() and (np.abs(action) <= 1).all()):  # NaN is neither
        raise ValueError(f"observations must be in [-{LONGEST_S:g}, {LONGEST_S:g}], and actions in [-1, 1]")
    got = expected(observation, action, make_settings(dict(json.loads(under))))
    for numbers in got.people[0].tolist():
        persona_of("user", numbers)  # as the server has them checked
    return got

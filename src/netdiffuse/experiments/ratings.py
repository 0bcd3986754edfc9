"""Ratings that an edge server has kept, as transitions to learn from."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from netdiffuse.algorithms import GDDPG
from netdiffuse.algorithms.common.offline import OfflineData
from netdiffuse.common import DataFileError, UnsupportedError
from netdiffuse.experiments.run import Run
from netdiffuse.problems.shared_denoising.allocator import physics
from netdiffuse.problems.shared_denoising.observation import features
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings, make_settings
from netdiffuse.problems.shared_denoising.vector_env import feasible_set
from netdiffuse.users.qoe import CEILING, FLOOR

PROBLEM = "shared-denoising"
SHARE = 0.25  # of a gradient batch
COLUMNS = "session, user, observation, action, rating, server_j, settings"
MOST = 3600.0  # in an observation: seconds that anyone is patient, its largest number


def read_ratings(path: str | Path, settings: SharedDenoisingSettings) -> OfflineData:
    """Transitions of the sessions in a file of ratings, an episode of one step each.

    A session is the users that were decided together. Its observation and its action are those of all of them; a user's
    part of the reward is rating - 1 - energy_weight x the joules that the server spent for the user, NaN where the user
    has not rated. What a decision does to later windows (batteries) is not in the file, so every session ends at once.

    Sessions of another number of users than the settings', and ratings that judge no policy's decision, are left out.

    Args:
        path: the file, as `netdiffuse denoise serve --ratings` writes it.
        settings: of the sessions that the policy was trained on.

    Raises:
        DataFileError: the file is missing, damaged or no file of ratings, was written for observations of other
            columns or for other power, bandwidth or batteries, or nothing in it can be learned from.
        UnsupportedError: sessions of more than one slot, whose values are of another kind.
    """
    if settings.slots != 1:
        raise UnsupportedError(
            f"ratings judge one window each, but the run's sessions have {settings.slots} slots, and its critics value "
            "all that follows: train with --problem-set slots=1"
        )
    path = Path(path)
    sessions: dict[str, list[tuple[Any, ...]]] = {}
    rated = 0
    sizes: set[int] = set()
    for row in _rows(path):
        rated += 1
        if row[0] is not None:
            sessions.setdefault(row[0], []).append(row)
    observations, actions, rewards = [], [], []
    for name, rows in sessions.items():
        try:
            observation, action, reward = _session(rows, settings)
        except (TypeError, ValueError, LookupError) as error:
            raise DataFileError(f"{path}: session {name} is damaged or of another policy: {error}") from error
        sizes.add(len(observation))
        if len(observation) == settings.users:
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
    if not observations:
        found = f"its sessions have {', '.join(map(str, sorted(sizes)))} users" if sizes else "they judge no policy's"
        raise DataFileError(
            f"{path} has {rated} ratings, none of a session of {settings.users} users as the run was trained with "
            f"({found}): serve with --allocator RUN --enough {settings.users}"
        )
    feasible = feasible_set(settings.users, settings.power_w, settings.bandwidth_hz)
    taken = torch.from_numpy(np.stack(actions))
    canonical = feasible.encode_nearest(feasible.decode(taken)).numpy()  # the only actions that critics know
    return OfflineData(np.stack(observations), canonical, np.stack(rewards))


def digest(data: OfflineData) -> str:
    """SHA-256 of transitions: whether two files, or one at two times, teach the same."""
    found = hashlib.sha256()
    for values in (data.observations, data.actions, data.rewards):
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


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
    model: BaseAlgorithm, path: str | Path, settings: SharedDenoisingSettings, share: float = SHARE
) -> dict[str, Any]:
    """Let a model learn from a file of ratings too.

    Args:
        model: in training.
        path: the file.
        settings: of the sessions that it is trained on.
        share: of every gradient batch, in (0, 1].

    Returns:
        What it learns from, for the run's records: `file`, `sha256` of its transitions, `sessions` of which it learns,
        `partly_rated` ones among them, `share`, and `timesteps`, after which it began.

    Raises:
        UnsupportedError: an algorithm that cannot, or as `read_ratings`.
        DataFileError: as `read_ratings`.
        InvalidValueError: a share outside its range; or no session that all users have rated, where critics do not
            value users apart.
    """
    if not isinstance(model, GDDPG):
        raise UnsupportedError(f"{type(model).__name__} cannot learn from --ratings: train with --algorithm gddpg")
    data = read_ratings(path, settings)
    used = model.add_offline_data(data, share)
    return {
        "file": str(Path(path).resolve()),
        "sha256": digest(data),
        "sessions": len(used),
        "partly_rated": int(np.isnan(used.rewards).any(1).sum()),
        "share": share,
        "timesteps": model.num_timesteps,
    }


def _rows(path: Path) -> list[tuple[Any, ...]]:
    """The ratings, the oldest first, from a file that is only read."""
    if not path.is_file():
        raise DataFileError(f"there is no file of ratings {path}: netdiffuse denoise serve --ratings {path} writes one")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT {COLUMNS} FROM ratings ORDER BY number").fetchall()
    except sqlite3.Error as error:
        raise DataFileError(f"{path} is no file of ratings, or damaged: {error}") from error


def _session(
    rows: list[tuple[Any, ...]], settings: SharedDenoisingSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Observation (users, features), action (3 users,) and each user's part of the reward, (users,)."""
    _, _, seen, taken, _, _, under = rows[0]
    if any((row[2], row[3], row[6]) != (seen, taken, under) for row in rows):
        raise ValueError("its ratings have different observations, actions or settings")
    was = dict(json.loads(under))
    for name, value in physics(settings).items():
        if (found := was.get(name)) != value:
            raise ValueError(f"it was decided with {name}={found}, and the run was trained with {value:g}")
    observation, action = (np.array(json.loads(text), np.float32) for text in (seen, taken))
    columns = len(features(settings.show_personas))
    if observation.ndim != 2 or observation.shape[1] != columns:
        raise ValueError(f"observations must have shape (users, {columns}), got {observation.shape}")
    if action.shape != (3 * len(observation),):
        raise ValueError(f"the action of {len(observation)} users must have shape ({3 * len(observation)},)")
    if not ((np.abs(observation) <= MOST).all() and (np.abs(action) <= 1).all()):  # NaN is neither
        raise ValueError(f"observations must be in [-{MOST:g}, {MOST:g}], and actions in [-1, 1]")
    reward = np.full(len(observation), np.nan)
    for _, user, _, _, rating, server_j, _ in rows:
        if not 0 <= user < len(reward):
            raise ValueError(f"user {user} of {len(reward)}")
        if not (FLOOR <= rating <= CEILING and 0 <= server_j < np.inf):
            raise ValueError(f"a rating must be in [1, 5] and joules finite, at least 0, got {rating} and {server_j}")
        reward[user] = rating - FLOOR - settings.energy_weight * server_j
    return observation, action, reward.astype(np.float32)

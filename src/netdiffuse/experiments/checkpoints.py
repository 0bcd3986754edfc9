"""Checkpoints: everything that training needs to go on as if it had never stopped.

A checkpoint is a folder, written beside its place and renamed when it is whole and on disk. The one before is
kept, so that a process killed at any moment leaves at least one that loads.
"""

import os
import pickle
import shutil
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from netdiffuse.common import NetdiffuseError, RunError
from netdiffuse.common.seeding import random_state, set_random_state

CURRENT, PREVIOUS, NEW = "checkpoint", "checkpoint-previous", ".checkpoint-new"
MODEL, BUFFER, STATE = "model.zip", "replay_buffer.pkl", "state.pt"
_CUT = (FileNotFoundError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)
# As Stable-Baselines3 and torch find that they can make nothing of a file: it may be damaged, or of another problem,
# another algorithm or another version of a class.
_FAILURES = (
    *(OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AssertionError),
    *(ImportError, AttributeError, pickle.UnpicklingError, zipfile.BadZipFile),
)


def save_checkpoint(run_dir: Path, model: BaseAlgorithm, progress: dict[str, Any]) -> None:
    """Write a checkpoint, atomically.

    It must be taken at a rollout boundary (after the gradient steps, before the next environment step), where
    nothing is in flight. What Stable-Baselines3's save file holds: parameters, target networks, optimizers,
    counters, the last observations. Beside it: the replay buffer, all random states, the environments' state
    and `progress`.

    Args:
        run_dir: the run's folder.
        model: the model in training.
        progress: what the run itself has to remember.
    """
    new, current, previous = run_dir / NEW, run_dir / CURRENT, run_dir / PREVIOUS
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    model.save(new / MODEL, exclude=["_update_current_progress_remaining"])
    state: dict[str, Any] = {"progress": progress, "random": random_state()}
    state["action_space"] = model.action_space.np_random.bit_generator.state
    state["action_noise"] = getattr(model, "action_noise", None)
    if model.env is not None and hasattr(model.env, "state_dict"):
        state["environment"] = model.env.state_dict()
    if hasattr(model, "checkpoint_state"):
        state["model"] = model.checkpoint_state()
    elif isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(new / BUFFER)
    torch.save(state, new / STATE)
    for path in (*new.iterdir(), new):
        _flush(path)
    shutil.rmtree(previous, ignore_errors=True)
    if current.exists():
        current.rename(previous)
    new.rename(current)
    _flush(run_dir)


def checkpoint_dir(run_dir: Path) -> Path:
    """The newest whole checkpoint of a run.

    Raises:
        RunError: there is none.
    """
    for name in (CURRENT, PREVIOUS):
        if (run_dir / name).is_dir():
            return run_dir / name
    raise RunError(f"{run_dir} has no checkpoint: its training was stopped before the first one; train it anew")


def load_model(
    checkpoint: Path, cls: type[BaseAlgorithm], env: VecEnv | None = None, device: str = "auto"
) -> BaseAlgorithm:
    """Load the model of a checkpoint, to decide with it or to go on training in `env`.

    Only load what you trust: the file holds pickled Python objects.

    Raises:
        RunError: a missing or damaged file, or one of another problem or algorithm.
    """
    try:
        return cls.load(checkpoint / MODEL, env=env, device=device, force_reset=False)
    except NetdiffuseError:
        raise
    except _FAILURES as error:
        raise _unusable(checkpoint / MODEL, error) from error


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Load what a checkpoint remembers beside the model.

    Raises:
        RunError: a missing or damaged file.
    """
    try:
        # Random states are NumPy arrays and tuples, which torch's restricted loader refuses.
        state: dict[str, Any] = torch.load(checkpoint / STATE, weights_only=False, map_location="cpu")
    except _FAILURES as error:
        raise _unusable(checkpoint / STATE, error) from error
    return state


def restore_buffer(checkpoint: Path, model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Give a loaded model its replay buffer, and what else it keeps by itself.

    Raises:
        RunError: a missing or damaged file.
    """
    if "model" in state:
        model.load_checkpoint_state(state["model"])  # type: ignore[attr-defined]
    elif isinstance(model, OffPolicyAlgorithm):
        try:
            model.load_replay_buffer(checkpoint / BUFFER)
        except _FAILURES as error:
            raise _unusable(checkpoint / BUFFER, error) from error


def restore_moment(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Restore random states and environments; the last thing, as setting up draws numbers."""
    if "environment" in state and model.env is not None:
        model.env.load_state_dict(state["environment"])  # type: ignore[attr-defined]
    if state["action_noise"] is not None:
        model.action_noise = state["action_noise"]
    model.action_space.np_random.bit_generator.state = state["action_space"]
    set_random_state(state["random"])


def _unusable(path: Path, error: Exception) -> RunError:
    said = textwrap.shorten(f"{type(error).__name__}: {error}", 400)
    whole = path.suffix == ".pkl" or zipfile.is_zipfile(path)
    if whole and not isinstance(error.__cause__ or error, _CUT):
        return RunError(f"{path} cannot be used here ({said})")  # nor can the checkpoint before
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({said})"
    other = path.parent.parent / PREVIOUS
    remedy = f"; move {path.parent} aside to use {other.name}" if other.is_dir() and other != path.parent else ""
    return RunError(f"{path} {reason}{remedy}")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

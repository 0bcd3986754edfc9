"""A run: a folder that holds all that is needed to repeat, resume, judge and use one training."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import cloudpickle
import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.common import InvalidValueError, RunError, UnsupportedError
from netdiffuse.common.files import atomic_path, check_entries, locked, read_json, write_json
from netdiffuse.experiments.budget import Budget
from netdiffuse.experiments.checkpoints import checkpoint_dir, load_model
from netdiffuse.experiments.config import Config, check_device
from netdiffuse.experiments.evaluation import MEASURES, SEED
from netdiffuse.experiments.policies import LearnedPolicy
from netdiffuse.experiments.tasks import AnyTask, OneShotTask, SequentialTask, make_task
from netdiffuse.problems.base import Problem

CONFIG, SUMMARY, PROGRESS, FIGURES, OWN_PROBLEM, LOCK = (
    "config.json",
    "summary.json",
    "progress.csv",
    "figures",
    "problem.pkl",
    ".lock",
)
NOT_JUDGED = "evaluation_interrupted"  # in summary.json: its evaluation is the last one of the training
LEVEL = "baseline/"  # begins the names of rules in progress.csv
_SUMMARY_TYPES: dict[str, type | tuple[type, ...]] = {
    "problem": str,
    "algorithm": str,
    "seed": int,
    "timesteps": int,
    "train_seconds": (int, float),
    "evaluation": dict,
}


class Run:
    """A run's folder, read when it is asked for.

    Args:
        path: the folder.
        problem: the problem, for a run on an object that cannot be loaded again by itself.

    Attributes:
        path: the folder.
        config: what was asked for.

    Raises:
        RunError: the folder is missing, or is no run.
    """

    def __init__(self, path: str | Path, problem: Problem | None = None) -> None:
        self.path = Path(path)
        self._problem = problem
        if not self.path.is_dir():
            raise RunError(f"there is no run {self.path}")
        if not (self.path / CONFIG).is_file():
            raise RunError(f"{self.path} is not a run: it has no {CONFIG}")
        try:
            self.config = Config(**read_json(self.path / CONFIG))
            self.budget = Budget(**self.config.budget)
        except (TypeError, ValueError) as error:
            raise RunError(f"{self.path / CONFIG} is damaged: {error}") from error

    @classmethod
    def create(cls, path: Path, config: Config, problem: Problem | None = None) -> "Run":
        """Make the folder of a run that has not begun.

        Args:
            path: a folder that does not exist or is empty, but for what a killed process left of this.
            config: what is asked for.
            problem: an object of one's own, which is pickled beside the config.

        Raises:
            RunError: there is something in the folder.
            UnsupportedError: the object cannot be pickled.
        """
        refuse_occupied(path)
        for leftover in _leftovers(path):
            leftover.unlink()
        if problem is not None:
            try:
                pickled = cloudpickle.dumps(problem)
            except (TypeError, AttributeError, RuntimeError) as error:
                raise UnsupportedError(f"{config.problem} cannot be pickled into the run: {error}") from error
            with atomic_path(path / OWN_PROBLEM) as temporary:
                temporary.write_bytes(pickled)
        write_json(path / CONFIG, config.as_dict())
        return cls(path, problem)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder from other trainings for the length of a block.

        Raises:
            RunError: there is one.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path / LOCK))
            except BlockingIOError as error:
                raise RunError(f"{self.path} is being trained by another process") from error
            yield

    @cached_property
    def task(self) -> AnyTask:
        """What was trained on."""
        if self._problem is not None:
            return OneShotTask(self.config.problem, self._problem)
        pickled = self.path / OWN_PROBLEM
        if pickled.is_file():
            try:
                return OneShotTask(self.config.problem, cloudpickle.loads(pickled.read_bytes()))
            except (
                ImportError,
                AttributeError,
                EOFError,
                TypeError,
                ValueError,
                LookupError,
                UnpicklingError,
            ) as error:
                raise RunError(
                    f"{self.config.problem} cannot be loaded again ({error}): use load(run_dir, problem=...)"
                ) from error
        return make_task(self.config.problem, self.config.problem_args)

    @property
    def problem(self) -> Problem:
        """The problem.

        Raises:
            UnsupportedError: the run is on a sequential environment.
        """
        if isinstance(self.task, SequentialTask):
            raise UnsupportedError(f"{self.config.problem} is a sequential environment, not a one-shot problem")
        return self.task.problem

    @cached_property
    def model(self) -> BaseAlgorithm:
        """The trained model, from the last checkpoint; carried over to the problem given to `load`, if of another size.

        Raises:
            RunError: there is no checkpoint, or it is damaged.
            UnsupportedError: the run's device cannot be used here.
        """
        from netdiffuse.experiments.methods import method_class

        device = check_device(self.config.device)
        _ = self.task  # imports the user's file, where classes that the model holds may be written
        model = load_model(checkpoint_dir(self.path), method_class(self.config.algorithm), device=device)
        if isinstance(model, DiffusionAlgorithm) and isinstance(self.task, OneShotTask):
            if model.observation_space.shape != self.problem.context_shape:
                return model.transfer(self.problem)  # a problem of another size, given to load
            model.set_env(self.problem)  # whose utility may choose among candidates
        return model

    @cached_property
    def policy(self) -> LearnedPolicy:
        """Contexts to decisions."""
        return LearnedPolicy(self.model, self.problem)

    def decide(self, contexts: Tensor) -> Tensor:
        """Decisions in physical units, shape (n, *decision_shape), for contexts of shape (n, *context_shape).

        Raises:
            InvalidValueError: contexts of the wrong shape or outside the problem's range.
        """
        return self.policy(torch.as_tensor(contexts, dtype=torch.float32))

    def evaluate(self, contexts: int | None = None, seed: int = SEED) -> dict[str, Any]:
        """Judge the policy on fresh contexts (or episodes); see `Evaluation` for what is returned."""
        task = self.task
        return task.score(task.samples if contexts is None else contexts, seed)(self.model)

    @property
    def summary(self) -> dict[str, Any] | None:
        """summary.json, or None where training has not come to a stop yet.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / SUMMARY
        if not path.is_file():
            return None
        try:
            return _checked_summary(read_json(path))
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from error

    @property
    def finished(self) -> bool:
        """Whether the whole budget has been used, and what was learned was judged."""
        summary = self.summary
        if summary is None or summary.get(NOT_JUDGED):
            return False
        return self.budget.fraction(summary["train_seconds"], summary["timesteps"]) >= 1

    @property
    def curve(self) -> pd.DataFrame:
        """Evaluations during training: `seconds`, `timesteps` and the measures of an evaluation.

        Raises:
            RunError: the file is missing or damaged.
        """
        table = self.progress
        return table[[column for column in table.columns if "/" not in column]]

    @property
    def curve_levels(self) -> dict[str, float]:
        """The rules' values that the curve is to be held against: on its own episodes, where it knows them.

        Else those of the final evaluation; none before there is one.

        Raises:
            RunError: a file is missing or damaged.
        """
        last = self.progress.iloc[-1]
        known = [str(name) for name in last.index if str(name).startswith(LEVEL) and pd.notna(last[name])]
        own = {name.removeprefix(LEVEL): float(last[name]) for name in known}
        summary = self.summary
        return own or (dict(summary["evaluation"]["baselines"]) if summary is not None else {})

    @property
    def progress(self) -> pd.DataFrame:
        """The whole of progress.csv, a row an evaluation: as `curve`, then losses and others, such as `critic/loss`.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / PROGRESS
        if not path.is_file():
            raise RunError(f"{self.path} has no {PROGRESS}: training has not begun")
        try:
            table = pd.read_csv(path)
            names = {"time/train_seconds": "seconds", "time/total_timesteps": "timesteps"}
            table.columns = [names.get(column, column.removeprefix("eval/")) for column in map(str, table.columns)]
            numbers = {column for column in table if is_numeric_dtype(table[column])}
            if table.empty or not {"seconds", "timesteps"} <= numbers or numbers.isdisjoint(MEASURES):
                raise InvalidValueError("it has no rows of seconds, timesteps and a measure")
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from error
        return table


def _checked_summary(value: object) -> dict[str, Any]:
    """Refuse what is no summary with an `InvalidValueError`."""
    summary = check_entries(value, _SUMMARY_TYPES)
    evaluation = check_entries(summary["evaluation"], {"baselines": dict})
    measure = next((name for name in MEASURES if evaluation.get(name) is not None), None)
    if measure is None:
        raise InvalidValueError(f"'evaluation' has none of {', '.join(MEASURES)}")
    check_entries(evaluation, {measure: (int, float)})
    check_entries(evaluation["baselines"], dict.fromkeys(evaluation["baselines"], (int, float)))
    return summary


def _leftovers(path: Path) -> list[Path]:
    """What a training has left that was killed before its config.json was whole, where there is none."""
    return [p for pattern in (".config-*.json", ".problem-*.pkl", OWN_PROBLEM) for p in path.glob(pattern)]


def refuse_occupied(path: Path) -> None:
    """Refuse to train into a folder that holds something, but for what a killed process left of `Run.create`.

    Raises:
        RunError: there is something in the folder, or it is a file.
    """
    if (path / CONFIG).exists():
        raise RunError(f"{path} already holds a run: go on with --resume {path}, or choose another --out")
    if path.exists() and (not path.is_dir() or set(path.iterdir()) - set(_leftovers(path))):
        raise RunError(f"{path} already exists and is not empty: choose another --out")


def load(run_dir: str | Path, problem: Problem | None = None) -> Run:
    """Open a run: `.model`, `.problem`, `.decide(contexts)`, `.evaluate(contexts=, seed=)`.

    Args:
        run_dir: the run's folder.
        problem: the problem, for a run on an object of one's own whose class is not importable here.

    Raises:
        RunError: the folder is missing, or is no run, or its files are damaged.
    """
    return Run(run_dir, problem)

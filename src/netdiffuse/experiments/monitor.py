"""What happens at the rollout boundaries of a training: evaluate, log, checkpoint, report, stop."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from netdiffuse.experiments.budget import Budget
from netdiffuse.experiments.checkpoints import restore_moment, save_checkpoint
from netdiffuse.experiments.clock import TrainingClock
from netdiffuse.experiments.interrupts import interrupts_held
from netdiffuse.experiments.logs import make_logger
from netdiffuse.experiments.policies import undisturbed
from netdiffuse.experiments.tasks import Score

CHECKPOINT_SHARE = 0.05  # of the wall clock, at most
EVALUATION_SHARE = 0.2  # of the training time, at most, in runs by the clock
REPORT_SECONDS = 0.2


class TrainingStopped(Exception):  # noqa: N818 (a signal, not an error)
    """Leaves `learn` at a rollout boundary, where nothing is in flight."""


@dataclass(frozen=True)
class Report:
    """How far a training is.

    Attributes:
        fraction: share of the budget used, in [0, 1].
        seconds: seconds of training.
        seconds_left: an estimate, or None before there is one.
        timesteps: environment steps.
        steps_per_second: timesteps a second of training.
        evaluation: the latest evaluation.
        fresh: whether the evaluation is a new one.
    """

    fraction: float
    seconds: float
    seconds_left: float | None
    timesteps: int
    steps_per_second: float
    evaluation: dict[str, Any]
    fresh: bool


class Monitor(BaseCallback):
    """Evaluate, log, checkpoint, report and stop a training; the training clock stands still meanwhile.

    Args:
        run_dir: the run's folder.
        budget: when to stop.
        clock: counts the seconds of training.
        score: a model to its evaluation.
        evaluations: how many there are, the closer together the earlier.
        state: what a checkpoint remembers, to go on from; None at the beginning.
        checkpoint_seconds: wall-clock seconds between checkpoints, at least; more where one takes long.
        stop: set from elsewhere, stops the training at the next rollout boundary.
        report: told how far the training is.
        counters: further numbers that stand in every row, by name; none unless told.
    """

    def __init__(
        self,
        run_dir: Path,
        budget: Budget,
        clock: TrainingClock,
        score: Score,
        *,
        evaluations: int,
        state: dict[str, Any] | None,
        checkpoint_seconds: float,
        stop: threading.Event,
        report: Callable[[Report], None],
        counters: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        super().__init__()
        self.run_dir, self.budget, self.clock, self.score = run_dir, budget, clock, score
        self.stop, self.report, self.counters = stop, report, counters
        self._evaluations = evaluations
        self._state = state
        self._interval = self._wait = checkpoint_seconds
        progress = state["progress"] if state else {}
        self._rows: list[dict[str, Any]] = progress.get("rows", [])
        self._evaluation: dict[str, Any] = progress.get("evaluation", {})
        self._evaluated_at: int = progress.get("evaluated_at", -1)
        self._next_evaluation: float = progress.get("next_evaluation", 0.0)
        self._reported = -math.inf

    def _on_training_start(self) -> None:
        self.model.set_logger(make_logger(self.run_dir, self._rows, self.model.num_timesteps))
        if self._state is not None:
            restore_moment(self.model, self._state)
            if self._state["progress"].get("budget") != self.budget.as_dict():
                self._next_evaluation = self._after(self._fraction())  # what is saved is a share of the old budget
        else:
            self._checkpoint()  # so that a run can always be resumed
        self._saved = time.monotonic()
        self.clock.start()

    def _on_rollout_start(self) -> None:
        with self.clock.paused():
            fraction = self._fraction()
            if fraction >= 1 or self.stop.is_set():
                raise TrainingStopped
            fresh = fraction >= self._next_evaluation
            if fresh:
                self._evaluate(fraction)
            if fresh or time.monotonic() - self._reported > REPORT_SECONDS:
                self._report(fraction, fresh)
            if time.monotonic() - self._saved > self._wait:
                self._checkpoint()

    def _on_step(self) -> bool:
        return True

    def finish(self) -> None:
        """Stop the clock and save, after a last evaluation at the end of the budget, or where there was none.

        Raises:
            KeyboardInterrupt: Ctrl-C ended that evaluation; all is saved but for it, where there was one before.
        """
        self.clock.stop()
        due = self._fraction() >= 1 or not self._rows
        interrupt = None
        if due and self._evaluated_at != self.model.num_timesteps:
            try:
                self._evaluate(self._fraction())
            except KeyboardInterrupt as raised:
                if not self._evaluation:
                    raise
                interrupt = raised
        self._report(self._fraction(), True)
        self._checkpoint()
        self.model.logger.close()
        if interrupt is not None:
            raise interrupt

    @property
    def evaluation(self) -> dict[str, Any]:
        """The latest one."""
        return self._evaluation

    def _fraction(self) -> float:
        return self.budget.fraction(self.clock.elapsed, self.model.num_timesteps)

    def _after(self, fraction: float) -> float:
        """The share of the budget at which the next evaluation is due: denser at the start, where curves rise."""
        passed = math.floor(math.sqrt(fraction) * self._evaluations + 1e-9)
        return float(((passed + 1) / self._evaluations) ** 2)

    def _evaluate(self, fraction: float) -> None:
        began = time.monotonic()
        with undisturbed():
            self._evaluation = self.score(self.model, baselines=False)
        self._evaluated_at = self.model.num_timesteps
        self._next_evaluation = self._after(fraction)
        if self.budget.seconds is not None:  # where evaluations are dear, fewer of them
            spared = (time.monotonic() - began) / EVALUATION_SHARE / self.budget.seconds
            self._next_evaluation = max(self._next_evaluation, fraction + spared)
        for name, value in self._evaluation.items():
            if isinstance(value, (int, float)) and name not in ("contexts", "episodes"):
                self.logger.record(f"eval/{name}", value)
        for rule, level in self._evaluation["baselines"].items():  # of the episodes that the curve is of
            self.logger.record(f"eval/baseline/{rule}", level)
        for name, count in self.counters().items():
            self.logger.record(name, count)
        self.logger.record("time/train_seconds", round(self.clock.elapsed, 6))
        self.logger.dump(self.model.num_timesteps)

    def _report(self, fraction: float, fresh: bool) -> None:
        seconds, timesteps = self.clock.elapsed, self.model.num_timesteps
        left = seconds * (1 - fraction) / fraction if fraction > 0.005 else self.budget.seconds
        speed = timesteps / seconds if seconds > 0 else 0.0
        self.report(Report(fraction, seconds, left, timesteps, speed, self._evaluation, fresh))
        self._reported = time.monotonic()

    def _checkpoint(self) -> None:
        began = time.monotonic()
        progress = {
            "elapsed": self.clock.elapsed,
            "rows": self._rows,
            "evaluation": self._evaluation,
            "evaluated_at": self._evaluated_at,
            "next_evaluation": self._next_evaluation,
            "budget": self.budget.as_dict(),
        }
        with interrupts_held():
            save_checkpoint(self.run_dir, self.model, progress)
        self._saved = time.monotonic()
        self._wait = max(self._interval, (self._saved - began) / CHECKPOINT_SHARE)

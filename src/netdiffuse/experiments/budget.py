"""How long a run trains: in seconds of training or in timesteps."""

from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.experiments.clock import TrainingClock

UNLIMITED = 2**62  # timesteps: more than any run takes


@dataclass(frozen=True)
class Budget:
    """Seconds of training or timesteps; exactly one of the two.

    Raises:
        InvalidValueError: none or both are given, or one is not positive.
    """

    seconds: float | None = None
    timesteps: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.timesteps is None):
            raise InvalidValueError("give either seconds or timesteps to train for, not both or none")
        if self.seconds is not None:
            checks.positive("seconds", self.seconds)
        if self.timesteps is not None:
            checks.integer("timesteps", self.timesteps)

    def fraction(self, seconds: float, timesteps: int) -> float:
        """Share of the budget that is used, in [0, 1]."""
        used = seconds / self.seconds if self.seconds is not None else timesteps / (self.timesteps or 1)
        return min(used, 1.0)

    def as_dict(self) -> dict[str, float | int | None]:
        """As it is written in config.json."""
        return {"seconds": self.seconds, "timesteps": self.timesteps}


class TimeBudget(BaseCallback):
    """Make schedules follow the share of the training *time* that has passed.

    Stable-Baselines3's schedules are functions of the progress that remains, counted in timesteps. After each
    step this sets the total to `timesteps / share of the time`, so that they reach their end when the time
    does, on a machine of any speed. On-policy algorithms keep the total in a local variable of `learn`; there
    the progress itself is set.

    Args:
        seconds: the budget.
        clock: counts the seconds of training.
    """

    def __init__(self, seconds: float, clock: TrainingClock) -> None:
        super().__init__()
        self.seconds = checks.positive("seconds", seconds)
        self.clock = clock

    def _on_training_start(self) -> None:
        def follow_time(*_: Any) -> None:
            self.model._current_progress_remaining = 1.0 - self._fraction()

        self.model._update_current_progress_remaining = follow_time  # type: ignore[method-assign,assignment]

    def _on_step(self) -> bool:
        self.model._total_timesteps = round(self.model.num_timesteps / max(self._fraction(), 1e-9))
        return True

    def _fraction(self) -> float:
        return min(self.clock.elapsed / self.seconds, 1.0)


def release(model: BaseAlgorithm) -> None:
    """Give a model its own progress back after a `TimeBudget`."""
    vars(model).pop("_update_current_progress_remaining", None)

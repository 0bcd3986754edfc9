"""What can be trained on and judged."""

from collections.abc import Callable
from typing import Any, Protocol

from stable_baselines3.common.vec_env import VecEnv

Score = Callable[..., dict[str, Any]]
"""`(model, baselines=True) -> evaluation`"""


class Task(Protocol):
    """Something to train on and to be judged by.

    Attributes:
        name: as in summary.json.
        one_shot: whether episodes last one step.
        batched: whether training environments are stepped all at once, and can be saved.
        samples: how many contexts (or episodes) an evaluation has unless told.
        quick_samples: how many the evaluations during training have.
        evaluations: how many of those there are, the closer together the earlier.
        policy: the recommended policy.
    """

    name: str
    one_shot: bool
    batched: bool
    samples: int
    quick_samples: int
    evaluations: int
    policy: str

    def training_env(self, n_envs: int, seed: int) -> VecEnv:
        """Environments to train in."""

    def score(self, samples: int, seed: int) -> Score:
        """A function `(model, baselines=True) -> evaluation` on fixed contexts (or episodes)."""

    def score_rule(self, rule: str, seed: int) -> dict[str, Any]:
        """The evaluation of a rule that does not learn."""

"""Users whom a language model plays, as the reward of a training.

The training environments alone are rated by it. Evaluations, and what algorithms measure of an environment before they
learn, are left to the parametric rater: they are to be comparable, and to cost nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.experiments.config import Config
from netdiffuse.experiments.tasks import AnyTask, BatchedTask
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.rater_rating import RaterRating
from netdiffuse.problems.shared_denoising.rating import Rating
from netdiffuse.users.llm import LLMRater, LLMRewardOptions
from netdiffuse.users.llm.trial import check_answers

REMEDY = "--rater-url; --rater-offline repeats a training from its --rater-cache alone"


class Reward:
    """A language model that rates the users of a training.

    Where it gives no answer the parametric rater stands in; `LLMRater` tells how long that holds. So:

    - A new training asks the model anew for what the fallback answered in the cache that it is given.
    - A training that goes on keeps what the fallback answered up to its checkpoint, as if it had never stopped; what
      a killed process was told after it is asked anew.
    - With `offline` a finished training repeats bit for bit from the answers that it left, its fallbacks among them.
    - Fallbacks count as `fallbacks` alone, also those that are replayed, and never as `from_cache`.

    Args:
        options: how it is reached and asked.
        seed: of the training, and of the sampling.
        folder: of the run, where answers are kept unless told otherwise.

    Raises:
        InvalidValueError, MissingExtraError: as `LLMRewardOptions.endpoint` and `cache_path`.
        RunError: the answers cannot be read.
    """

    def __init__(self, options: LLMRewardOptions, seed: int, folder: Path) -> None:
        self.model = _model(options)
        endpoint = options.endpoint()
        self.cache = options.open_cache(folder)
        self.rater = LLMRater(
            self.model,
            endpoint,
            memory=options.memory,
            sampling=options.sampling(seed),
            cache=self.cache,
            ledger=options.ledger(),
        )

    def attach(self, model: BaseAlgorithm) -> None:
        """Rate the environments that a model learns in."""
        rate_by(model, RaterRating(self.rater))

    def counters(self) -> dict[str, float]:
        """What it has come to so far, by names such as `rater/questions` and `rater/faults/timeout`."""
        found: dict[str, float] = {}
        for name, value in self.rater.ledger.to_dict().items():
            if isinstance(value, dict):
                found |= {f"rater/{name}/{kind}": count for kind, count in value.items()}
            elif isinstance(value, (int, float)):
                found[f"rater/{name}"] = value
        return found

    def summary(self) -> dict[str, Any]:
        """What it came to, for summary.json: the model's name, and `Ledger.to_dict`."""
        return {"model": self.model, **self.rater.ledger.to_dict()}

    def close(self) -> None:
        """Close the file of answers."""
        self.cache.close()


def rate_by(model: BaseAlgorithm, rating: Rating) -> None:
    """Let someone else rate the users of the environments that a model learns in."""
    env = model.get_env()
    assert env is not None
    env.get_attr("simulator", 0)[0].rating = rating


@contextmanager
def rewarding(config: Config, folder: Path, model: BaseAlgorithm) -> Iterator[Reward | None]:
    """The reward of a run, attached to its model for the length of a block; None where it is the problem's own.

    Raises:
        InvalidValueError, MissingExtraError, RunError: as `Reward`.
    """
    if config.rater is None:
        yield None
        return
    reward = Reward(LLMRewardOptions.from_dict(config.rater), config.seed, folder)
    try:
        reward.attach(model)
        yield reward
    finally:
        reward.close()


def check_reward(task: AnyTask, options: LLMRewardOptions, seed: int, folder: Path) -> None:
    """Refuse a rater that cannot serve, before anything is written.

    One question is asked beforehand, whatever answers there are already: a training whose every new answer would be the
    fallback's teaches nothing of the language model, and how much of what it will ask is in a cache cannot be known.
    With `offline` none is asked: that is for repeating a training from the answers that it left.

    Args:
        task: what is trained on.
        options: how the model is reached and asked.
        seed: of the sampling.
        folder: of the run.

    Raises:
        UnsupportedError: nobody rates in this problem.
        InvalidValueError, MissingExtraError: as `Reward`.
        RatingError: the model does not answer.
    """
    if not (isinstance(task, BatchedTask) and isinstance(task.make(1), SharedDenoisingVectorEnv)):
        raise UnsupportedError(f"nobody rates anything in {task.name}: leave out --rater, or train shared-denoising")
    model = _model(options)
    options.cache_path(folder)  # refuses what is missing
    check_answers(model, options, seed, REMEDY)


def _model(options: LLMRewardOptions) -> str:
    if options.model is None or not options.model.strip():
        raise InvalidValueError("--rater llm needs a --rater-model, by its name at the endpoint")
    return options.model

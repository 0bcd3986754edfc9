"""A sequential Gymnasium environment, of anybody's."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from sb3_contrib.common.maskable.evaluation import evaluate_policy as masked_evaluate_policy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from netdiffuse.common import InvalidValueError, NetdiffuseError, UnsupportedError, checks
from netdiffuse.experiments.policies import undisturbed, wants_masks
from netdiffuse.experiments.tasks.base import Score

PARALLEL = 10  # evaluation episodes at a time
MOST_SEQUENTIAL_ENVS = 4096  # each is an object of its own


class SequentialTask:
    """A Gymnasium environment by its id, which is made and stepped once to see that it works with its arguments.

    Raises:
        UnsupportedError: it does not.
    """

    one_shot = False
    batched = False
    samples = 20
    quick_samples = 5
    evaluations = 20
    policy = "MlpPolicy"

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        self.arguments = dict(arguments)
        try:
            with undisturbed():
                env = gymnasium.make(name, **self.arguments)
                env.reset(seed=0)
                env.action_space.seed(0)
                env.step(env.action_space.sample())
                env.close()
        except NetdiffuseError:  # of our own environments, which name what is wrong
            raise
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
            raise UnsupportedError(f"environment '{name}' needs more packages: {error}") from error
        except gymnasium.error.Error as error:
            raise UnsupportedError(f"environment '{name}' cannot be made: {error}") from error
        except Exception as error:
            if not self.arguments:  # an error in the environment itself is its author's to see
                raise
            raise UnsupportedError(f"environment '{name}' refuses its arguments {arguments}: {error}") from error

    def training_env(self, n_envs: int, seed: int) -> VecEnv:
        """Environments that are stepped one after another."""
        checks.integer("n_envs", n_envs, maximum=MOST_SEQUENTIAL_ENVS)
        return make_vec_env(self.name, n_envs, seed=seed, env_kwargs=self.arguments)

    def score(self, samples: int, seed: int) -> Score:
        """Score a model by `samples` episodes.

        The first ones begin in the same states each time; later ones too, where the environment draws nothing random
        while it is stepped.
        """
        checks.integer("episodes", samples, maximum=checks.MOST_SAMPLES)
        checks.seed("seed", seed)

        def returns(model: Any) -> list[float]:
            with undisturbed():
                env = make_vec_env(self.name, min(samples, PARALLEL), seed=seed, env_kwargs=self.arguments)
                judge = masked_evaluate_policy if wants_masks(model) else evaluate_policy
                result, _ = judge(model, env, samples, return_episode_rewards=True)
                env.close()
            return list(result)  # type: ignore[arg-type]

        def score(model: BaseAlgorithm, baselines: bool = True) -> dict[str, Any]:
            found = returns(model)
            return {
                "episodes": samples,
                "return_mean": float(np.mean(found)),
                "return_std": float(np.std(found)),
                "baselines": {"random": float(np.mean(returns(self._random(seed))))} if baselines else {},
            }

        return score

    def score_rule(self, rule: str, seed: int) -> dict[str, Any]:  # noqa: ARG002
        """No rule is known for environments of others.

        Raises:
            InvalidValueError: always.
        """
        raise InvalidValueError(f"'{rule}' is a rule for problems of netdiffuse; {self.name} is an environment")

    def _random(self, seed: int) -> Any:
        space = gymnasium.make(self.name, **self.arguments).action_space
        space.seed(seed)

        class RandomActions:
            def predict(self, observations: Any, **_: Any) -> tuple[Any, None]:
                return np.stack([space.sample() for _ in range(len(observations))]), None

        return RandomActions()

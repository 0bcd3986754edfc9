"""What is trained on: a one-shot problem, or any sequential Gymnasium environment."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from netdiffuse.baselines import RULES, applicable_rules
from netdiffuse.common import InvalidValueError, NetdiffuseError, UnknownNameError, UnsupportedError, checks
from netdiffuse.experiments.evaluation import CONTEXTS, SEED, Evaluation, rule_generator
from netdiffuse.experiments.policies import LearnedPolicy, undisturbed
from netdiffuse.problems.base import Problem
from netdiffuse.problems.contract import check_contract
from netdiffuse.problems.registry import PRESETS, make_problem
from netdiffuse.problems.vecenv import ProblemVecEnv
from netdiffuse.registration import ENVIRONMENTS, SEQUENTIAL

PARALLEL = 10  # evaluation episodes at a time
MOST_SEQUENTIAL_ENVS = 4096  # each is an object of its own
Score = Callable[..., dict[str, Any]]


class Task(Protocol):
    """Something to train on and to be judged by.

    Attributes:
        name: as in summary.json.
        one_shot: whether episodes last one step.
        batched: whether training environments are stepped all at once, and can be saved.
        samples: how many contexts (or episodes) an evaluation has unless told.
        quick_samples: how many the evaluations during training have.
        evaluations: how many of those there are, evenly over the budget.
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


class OneShotTask:
    """A `Problem`.

    Raises:
        InvalidValueError: the problem breaks its contract; see `check_contract`.
    """

    one_shot = True
    batched = True
    samples = CONTEXTS
    quick_samples = 1000
    evaluations = 50

    def __init__(self, name: str, problem: Problem) -> None:
        self.name = name
        self.problem = problem
        with undisturbed():
            check_contract(problem)
        preset = PRESETS.get(name)
        by_structure = "MlpPolicy" if problem.structure == "vector" else "EquivariantPolicy"
        self.policy = preset.policy if preset else by_structure

    def training_env(self, n_envs: int, seed: int) -> VecEnv:
        """One batched environment with a generator of its own."""
        checks.integer("n_envs", n_envs, maximum=checks.MOST_ENVS)
        return ProblemVecEnv(self.problem, n_envs, seed)

    def score(self, samples: int, seed: int) -> Score:
        """Score a model on `samples` contexts."""
        evaluation = Evaluation(self.problem, samples, seed)

        def score(model: BaseAlgorithm, baselines: bool = True) -> dict[str, Any]:
            return evaluation(LearnedPolicy(model, self.problem), baselines)

        return score

    def score_rule(self, rule: str, seed: int) -> dict[str, Any]:
        """Score a rule of `netdiffuse.baselines.RULES`; the seed is that of the random one.

        Raises:
            UnknownNameError: no rule has this name.
            UnsupportedError: the rule means nothing for this problem.
        """
        if rule not in RULES:
            raise UnknownNameError(f"rule of {self.name}", rule, applicable_rules(self.problem))
        checks.seed("seed", seed)

        def decide(contexts: Tensor) -> Tensor:
            return RULES[rule].decide(self.problem, contexts, rule_generator(seed))

        with torch.no_grad():
            return Evaluation(self.problem)(decide, baselines=False)


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
        """Score a model by `samples` episodes, which start in the same states each time."""
        checks.integer("episodes", samples, maximum=checks.MOST_SAMPLES)
        checks.seed("seed", seed)

        def returns(model: Any) -> list[float]:
            with undisturbed():
                env = make_vec_env(self.name, min(samples, PARALLEL), seed=seed, env_kwargs=self.arguments)
                result, _ = evaluate_policy(model, env, samples, return_episode_rewards=True)
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


def make_task(problem: str | Problem, arguments: Mapping[str, Any] | None = None) -> OneShotTask | SequentialTask:
    """Find what a name stands for: a problem of ours, "file.py:Class", or a Gymnasium id.

    Raises:
        UnknownNameError: nothing has this name.
        InvalidValueError: arguments that the problem does not take, or a problem that breaks its contract.
        UnsupportedError: an environment that cannot be made.
    """
    arguments = dict(arguments or {})
    if isinstance(problem, Problem):
        return OneShotTask(type(problem).__name__, problem)
    own = re.fullmatch(r"netdiffuse/(\w+)-v\d+", problem)
    if own and problem in gymnasium.registry:  # no version but those that are
        problem = (ENVIRONMENTS | SEQUENTIAL).get(own[1], problem)
    if problem in SEQUENTIAL.values():
        from netdiffuse.experiments.batched_task import BatchedTask  # which is a task, too

        name = next(name for name, word in SEQUENTIAL.items() if word == problem)
        return BatchedTask(problem, f"netdiffuse/{name}-v0", arguments)
    if problem in PRESETS or (":" in problem and not re.search(r"-v\d+$", problem)):
        return OneShotTask(problem, make_problem(problem, **arguments))
    try:
        gymnasium.spec(problem)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        others = ["any Gymnasium id such as Pendulum-v1", "your own file.py:Class"]
        raise UnknownNameError("problem", problem, [*PRESETS, *SEQUENTIAL.values(), *others]) from error
    return SequentialTask(problem, arguments)


__all__ = ["CONTEXTS", "SEED", "OneShotTask", "SequentialTask", "Task", "make_task"]

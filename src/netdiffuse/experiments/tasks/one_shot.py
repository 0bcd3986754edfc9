"""A one-shot problem."""

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from netdiffuse.baselines import RULES, applicable_rules
from netdiffuse.common import UnknownNameError, checks
from netdiffuse.experiments.evaluation import CONTEXTS, Evaluation, rule_generator
from netdiffuse.experiments.policies import LearnedPolicy, undisturbed
from netdiffuse.experiments.tasks.base import Score
from netdiffuse.problems.base import Problem
from netdiffuse.problems.contract import check_contract
from netdiffuse.problems.registry import PRESETS
from netdiffuse.problems.vecenv import ProblemVecEnv


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

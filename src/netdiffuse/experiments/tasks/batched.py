"""A sequential environment of ours: trained on and judged many episodes in step."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from netdiffuse.baselines.batched_rules import rules_of
from netdiffuse.common import UnknownNameError, checks
from netdiffuse.experiments.evaluation import RULE_STREAM, SEED
from netdiffuse.experiments.policies import undisturbed, wants_masks
from netdiffuse.experiments.tasks.base import Score
from netdiffuse.experiments.tasks.sequential import SequentialTask
from netdiffuse.problems.batched import BatchedEnv, BatchedVecEnv

Array = NDArray[Any]
Act = Callable[[BatchedEnv, Array], Array]
STEPS, QUICK_STEPS = 1200, 240  # that are judged at least where episodes are short


class BatchedTask(SequentialTask):
    """A `BatchedEnv` by its name.

    Args:
        name: as in summary.json.
        env_id: its id with Gymnasium.
        arguments: of the environment.
    """

    samples = 100
    quick_samples = 20
    evaluations = 24
    batched = True

    def __init__(self, name: str, env_id: str, arguments: Mapping[str, Any]) -> None:
        super().__init__(env_id, arguments)
        self.name = name
        self.env_id = env_id
        env = self.make(1)
        self.policy = "EquivariantPolicy" if env.structure == "entities" else "MlpPolicy"
        self.reference_rule = env.reference_rule
        self.rules = list(rules_of(env))
        self.levels = list(rules_of(env, searches=False))  # that every training is held against
        if env.episode_steps is not None:
            self.samples = max(self.samples, -(-STEPS // env.episode_steps))
            self.quick_samples = max(self.quick_samples, -(-QUICK_STEPS // env.episode_steps))

    def make(self, n: int) -> BatchedEnv:
        """The environment with n episodes."""
        made = gymnasium.make_vec(self.env_id, n, gymnasium.VectorizeMode.VECTOR_ENTRY_POINT, **self.arguments)
        env = made.unwrapped
        assert isinstance(env, BatchedEnv)
        return env

    def training_env(self, n_envs: int, seed: int) -> VecEnv:
        """Episodes in step, with a generator of their own."""
        checks.integer("n_envs", n_envs, maximum=checks.MOST_ENVS)
        return BatchedVecEnv(self.make(n_envs), seed)

    def score(self, samples: int, seed: int) -> Score:
        """Score a model by `samples` episodes, which bring the same tasks each time."""
        checks.integer("episodes", samples, maximum=checks.MOST_SAMPLES)
        checks.seed("seed", seed)
        levels: dict[str, float] = {}

        def score(model: BaseAlgorithm, baselines: bool = True) -> dict[str, Any]:  # noqa: ARG001 - rules are played once
            if not levels:  # once, when it is first needed
                played = {rule: self._play_rule(rule, samples, seed, seed) for rule in self.levels}
                levels.update({rule: evaluation["return_mean"] for rule, evaluation in played.items()})
            found = self._judge(lambda env, obs: self.predict(model, env, obs), samples, seed)
            reference = self.reference_rule
            if reference is not None:
                found[f"{reference}_return_mean"] = levels[reference]
                share = 100 * found["return_mean"] / levels[reference] if levels[reference] > 0 else None
                found[f"{reference}_percent"] = share
            return found | {"baselines": dict(levels)}

        return score

    def score_rule(self, rule: str, seed: int) -> dict[str, Any]:
        """Score a rule by the episodes of the final evaluation; the seed is that of the random one's choices.

        Raises:
            UnknownNameError: the environment has no such rule.
        """
        if rule not in self.rules:
            raise UnknownNameError(f"rule of {self.name}", rule, self.rules)
        return self._play_rule(rule, self.samples, SEED, seed)

    def _play_rule(self, rule: str, samples: int, seed: int, rule_seed: int) -> dict[str, Any]:
        random = np.random.default_rng(rule_seed ^ RULE_STREAM)
        return self._judge(lambda env, _: rules_of(env)[rule](random), samples, seed)

    def _judge(self, act: Act, samples: int, seed: int) -> dict[str, Any]:
        returns, measures = play(self.make(samples), act, seed)
        found = {"return_mean": float(returns.mean()), "return_std": float(returns.std())}
        return {"episodes": samples, **found, **measures}

    def predict(self, model: BaseAlgorithm, env: BatchedEnv, observations: Array) -> Array:
        """A model's deterministic choices, by masks if it acts by them."""
        if wants_masks(model):
            return model.predict(observations, deterministic=True, action_masks=env.action_masks())[0]  # type: ignore[call-arg]
        return model.predict(observations, deterministic=True)[0]


def play(env: BatchedEnv, act: Act, seed: int) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Play the first episode of every sub-environment to its end: returns, shape (n,), and the episodes' measures."""
    with undisturbed():
        observations, _ = env.reset(seed=seed)
        returns, open_ = np.zeros(env.num_envs), np.ones(env.num_envs, dtype=bool)
        final: dict[str, Array] = {}
        while open_.any():
            observations, rewards, terminated, truncated, infos = env.step(act(env, observations))
            returns += np.where(open_, rewards, 0.0)
            ended = (terminated | truncated) & open_
            if ended.any():
                for name, values in infos["final_info"].items():
                    if not name.startswith("_"):
                        final.setdefault(name, np.zeros(env.num_envs, values.dtype))[ended] = values[ended]
                open_ &= ~ended
    return returns, env.summarise(final)

"""What our algorithms share in their set-up: environments from problems, decaying rates, arguments of the policy."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from netdiffuse.common import UnknownNameError, UnsupportedError, checks
from netdiffuse.problems.base import Problem
from netdiffuse.problems.batched import BatchedEnv, BatchedVecEnv, play_randomly
from netdiffuse.problems.environments import ProblemEnv
from netdiffuse.problems.features import StandardisedContext, context_statistics
from netdiffuse.problems.registry import PRESETS, make_problem
from netdiffuse.problems.vecenv import ProblemVecEnv

STRUCTURES: dict[str, int] = {"vector": 0, "entities": 1, "pairs": 2}
"""Structures of contexts, and how many of their dimensions count entities."""


@dataclass(frozen=True)
class LinearDecay:
    """From `initial` at the start of training to `initial * final_fraction` at its end; picklable."""

    initial: float
    final_fraction: float

    def __call__(self, progress_remaining: float) -> float:
        """Value at a progress remaining between 1 and 0, or below where the last batch overshoots the end."""
        return self.initial * (self.final_fraction + (1 - self.final_fraction) * max(progress_remaining, 0.0))


def decaying(name: str, rate: float | Schedule, final_fraction: float) -> Schedule:
    """A schedule from a number (which then decays) or from a schedule (which is kept)."""
    if callable(rate):
        return rate
    return LinearDecay(checks.positive(name, rate), checks.fraction("final_learning_rate", final_fraction))


def as_env(env: GymEnv | Problem | str, n_envs: int, seed: int | None) -> GymEnv | str:
    """Batch problems: a `Problem`, a preset's name or a `ProblemEnv` becomes a `ProblemVecEnv` of n_envs contexts.

    A vector environment of ours becomes a `BatchedVecEnv`.

    Anything else, a `ProblemEnv` in wrappers of the user's own among it, is returned as it is, for Stable-Baselines3 to
    make or wrap.
    """
    if isinstance(env, str) and env in PRESETS:
        env = make_problem(env)
    elif isinstance(env, str) and env in gymnasium.registry:
        env = gymnasium.make(env)
    bare = _bare(env)
    if isinstance(bare, ProblemEnv):
        env = bare.problem
    if isinstance(env, Problem):
        return ProblemVecEnv(env, n_envs, seed)
    if isinstance(env, gymnasium.vector.VectorEnv) and isinstance(env.unwrapped, BatchedEnv):
        return BatchedVecEnv(env.unwrapped, seed)
    return env


def problem_of(env: VecEnv | None) -> Problem | None:
    """The problem that an environment was made from, or None where there is none or something stands between."""
    while isinstance(env, VecMonitor):
        env = env.venv
    if isinstance(env, ProblemVecEnv):
        return env.problem
    if not isinstance(env, DummyVecEnv):
        return None
    bare = [_bare(one, Monitor) for one in env.envs]
    problems = [one.problem for one in bare if isinstance(one, ProblemEnv)]
    if len(problems) < len(bare):
        return None
    kinds = {(type(p), p.context_shape, repr(p.feasible)) for p in problems}
    if len(kinds) > 1:
        raise UnsupportedError("the environments are made from different problems: train on one of them")
    return problems[0]


def batched_of(env: VecEnv | None) -> BatchedEnv | None:
    """The environment of many steps that a vector environment of ours steps, or None."""
    while isinstance(env, VecMonitor):
        env = env.venv
    return env.env if isinstance(env, BatchedVecEnv) else None


def entity_statistics(env: BatchedEnv) -> dict[str, Any]:
    """Mean and deviation of an entity's features under random play: they hold for any number of entities."""
    played = play_randomly(env)
    mean, std = np.array(played["mean"]), np.array(played["std"])
    over_all = np.sqrt((std**2 + mean**2).mean(0) - mean.mean(0) ** 2)
    return {"mean": mean.mean(0).tolist(), "std": over_all.tolist(), "structure": "entities"}


def _bare(env: Any, *also: type[gymnasium.Wrapper[Any, Any, Any, Any]]) -> Any:
    """The environment inside the wrappers that `gymnasium.make` puts around by itself, and inside others named.

    Other wrappers may change observations, actions, rewards or the end of an episode: what is inside is then another
    environment than the one that is learned in.
    """
    wrappers: tuple[type[Any], ...] = (OrderEnforcing, PassiveEnvChecker, *also)
    while isinstance(env, wrappers):
        env = env.env
    return env


def check_action_space(space: spaces.Space[Any]) -> None:
    """Refuse what is not a Box of one dimension; Stable-Baselines3 scales its bounds to [-1, 1]."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        hint = ": for discrete actions use D2SAC (d2sac)" if isinstance(space, spaces.Discrete) else ""
        raise UnsupportedError(f"this algorithm needs actions in a Box of one dimension, got {space}{hint}")


def policy_arguments(env: VecEnv | None, given: dict[str, Any]) -> dict[str, Any]:
    """Add to the arguments of a policy what the problem says: structure, features and statistics of its contexts.

    Of another environment only the shape of its observations is known: statistics of that shape are measured later.
    """
    if env is None:
        return given
    problem = problem_of(env)
    if problem is None:
        if not isinstance(env.observation_space, spaces.Box):
            raise UnsupportedError(
                f"observations must be a Box, got {env.observation_space}: wrap the environment in "
                "gymnasium.wrappers.FlattenObservation"
            )
        if "features_extractor_class" in given:
            return given
        batched = batched_of(env)
        if batched is not None and batched.structure == "entities":
            statistics = entity_statistics(batched)
            features = env.observation_space.shape[-1]
            return {"structure": "entities", "features": features, "features_extractor_kwargs": statistics, **given}
        zeros = np.zeros(env.observation_space.shape)
        statistics = {"mean": zeros.tolist(), "std": (zeros + 1).tolist()}
        return {"features_extractor_kwargs": statistics, **given}
    if problem.structure not in STRUCTURES:
        raise UnknownNameError("structure", problem.structure, STRUCTURES)
    dimensions = STRUCTURES[problem.structure]
    shape = problem.context_shape
    features = shape[-1] if dimensions and len(shape) > dimensions else 1
    extractor: dict[str, Any] = {}
    if "features_extractor_class" not in given:
        extractor = {
            "features_extractor_class": StandardisedContext,
            "features_extractor_kwargs": dict(context_statistics(problem)),
        }
    return {
        "structure": problem.structure,
        "features": features,
        "blocks": 3 if problem.structure == "pairs" else 2,  # links need one more exchange of messages than channels
        **extractor,
        **given,
    }


def refuse_normalised(algorithm: BaseAlgorithm) -> None:
    """Refuse VecNormalize, which would standardise a second time."""
    if algorithm.get_vec_normalize_env() is not None:
        raise UnsupportedError(
            f"{type(algorithm).__name__} standardises observations and returns by itself: give it the environment "
            "without VecNormalize"
        )


def need_problem(problem: Problem | None, algorithm: str) -> Problem:
    """The problem, which this algorithm cannot do without."""
    if problem is None:
        raise UnsupportedError(
            f"{algorithm} needs an environment made from a netdiffuse Problem, whose utility or reference it reads; "
            "for a black-box Gymnasium environment use GDDPG"
        )
    return problem

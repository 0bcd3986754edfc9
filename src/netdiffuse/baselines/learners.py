"""Stable-Baselines3's algorithms by name, with tuned settings, reading the contexts that ours read."""

import inspect
from typing import Any

import numpy as np
import torch
from gymnasium import Env, spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv

from netdiffuse.baselines.rewards import (
    StandardisedReplayBuffer,
    StandardisedRolloutBuffer,
)
from netdiffuse.baselines.settings import LEARNERS, NETWORK, Settings
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.problems.base import Problem
from netdiffuse.problems.features import StandardisedContext, context_statistics
from netdiffuse.problems.rewards import reward_statistics

BUFFERS = {"replay": StandardisedReplayBuffer, "rollout": StandardisedRolloutBuffer}


def make_learner(
    name: str,
    env: VecEnv | Env[Any, Any],
    seed: int | None = 0,
    device: torch.device | str = "auto",
    one_shot: bool | None = None,
    policy: str | None = None,
    **overrides: Any,
) -> BaseAlgorithm:
    """Make a learner with its tuned settings (see `netdiffuse.baselines.settings`).

    On the environment of a `Problem` the policy reads standardised contexts, and the critic is given
    standardised rewards, by constants measured on random contexts and actions. Call `learn` with a large
    `log_interval`: SB3's off-policy algorithms count every one-step episode.

    Args:
        name: one of `LEARNERS`: "sac", "td3", "ddpg", "tqc", "crossq", "ppo" or "a2c".
        env: any environment that SB3 takes; best a `ProblemVecEnv` of `n_envs(name)` environments.
        seed: seed of the weights and of the exploration; None for a fresh one.
        device: where to learn.
        one_shot: whether episodes last one step; by default, whether the environment is made from a
            `Problem`.
        policy: SB3's policy; by default "MlpPolicy", or "MultiInputPolicy" for dictionaries.
        **overrides: arguments of the algorithm that replace the tuned ones; `policy_kwargs` are merged.

    Returns:
        The learner, an SB3 algorithm.

    Raises:
        UnknownNameError: no learner has this name.
        InvalidValueError: an override that the algorithm does not take.
        UnsupportedError: an off-policy learner and actions that are not a `Box`.
    """
    settings = settings_of(name)
    parameters = inspect.signature(settings.algorithm).parameters
    for key in overrides:
        if key not in parameters:
            raise InvalidValueError(f"'{name}' has no setting '{key}'; it takes {', '.join(parameters)}")
    if settings.off_policy and not isinstance(env.action_space, spaces.Box):
        raise UnsupportedError(f"'{name}' needs continuous actions, got {env.action_space}: use ppo or a2c")

    problem = _problem(env)
    if one_shot is None:
        one_shot = problem is not None
    arguments = dict(settings.one_shot if one_shot else settings.sequential)
    policy_arguments = dict(NETWORK)
    if one_shot:
        policy_arguments |= settings.one_shot_policy
        if settings.target_entropy is not None:
            arguments["target_entropy"] = settings.target_entropy * int(np.prod(env.action_space.shape or (1,)))
        if settings.rollout is not None:
            arguments["n_steps"] = max(1, settings.rollout // getattr(env, "num_envs", 1))
    if problem is not None:
        policy_arguments["features_extractor_class"] = StandardisedContext
        policy_arguments["features_extractor_kwargs"] = dict(context_statistics(problem))
        kind = "replay" if settings.off_policy else "rollout"
        if f"{kind}_buffer_class" not in overrides:
            arguments[f"{kind}_buffer_class"] = BUFFERS[kind]
            arguments[f"{kind}_buffer_kwargs"] = dict(reward_statistics(problem))
    if settings.action_noise is not None:
        size = env.action_space.shape
        assert size is not None  # a Box, checked above
        arguments["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, settings.action_noise))
    policy_arguments |= overrides.pop("policy_kwargs", None) or {}
    if policy is None:
        policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    arguments |= {"policy_kwargs": policy_arguments, "seed": seed, "device": device} | overrides
    return settings.algorithm(policy, env, **arguments)


def n_envs(name: str, one_shot: bool = True) -> int:
    """Number of environments that a learner's settings were tuned for.

    Raises:
        UnknownNameError: no learner has this name.
    """
    settings = settings_of(name)
    return settings.n_envs if one_shot else settings.sequential_n_envs


def settings_of(name: str) -> Settings:
    """The settings of a learner.

    Raises:
        UnknownNameError: no learner has this name.
    """
    if name not in LEARNERS:
        raise UnknownNameError("learner", name, LEARNERS)
    return LEARNERS[name]


def _problem(env: VecEnv | Env[Any, Any]) -> Problem | None:
    """The problem that an environment is made from, if it is."""
    if isinstance(env, VecEnv):
        found = env.get_attr("problem", [0])[0] if env.has_attr("problem") else None
    else:
        found = getattr(env.unwrapped, "problem", None)
    return found if isinstance(found, Problem) else None

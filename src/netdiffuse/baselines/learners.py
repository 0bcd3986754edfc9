"""Stable-Baselines3's algorithms by name, with tuned settings, reading the contexts that ours read."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import Env, spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from netdiffuse.baselines.rewards import (
    StandardisedReplayBuffer,
    StandardisedRolloutBuffer,
)
from netdiffuse.baselines.settings import LEARNERS, NETWORK, RANGES, WIDEST, Settings
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError, checks
from netdiffuse.problems.base import Problem
from netdiffuse.problems.batched import BatchedVecEnv, play_randomly
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
        name: one of `LEARNERS`: "sac", "td3", "ddpg", "tqc", "crossq", "ppo", "a2c", and for discrete actions "dqn",
            "qr-dqn" and "maskable-ppo".
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
        InvalidValueError: an override that the algorithm does not take, or outside its range.
        UnsupportedError: a learner and actions that do not go together; or a `train_freq` in episodes with more than
            one environment.
    """
    settings = settings_of(name)
    parameters = inspect.signature(settings.algorithm).parameters
    for key in overrides:
        if key not in parameters:
            raise InvalidValueError(f"'{name}' has no setting '{key}'; it takes {', '.join(parameters)}")
    check_ranges(name, overrides)
    kinds: dict[str, type[spaces.Space[Any]]] = {"continuous": spaces.Box, "discrete": spaces.Discrete}
    if settings.actions != "any" and not isinstance(env.action_space, kinds[settings.actions]):
        others = [other for other, s in LEARNERS.items() if s.actions not in (settings.actions, "continuous")]
        hint = ", ".join(others) if settings.actions == "continuous" else "ppo or a2c"
        raise UnsupportedError(f"'{name}' needs {settings.actions} actions, got {env.action_space}: use {hint}")
    if settings.algorithm is MaskablePPO:
        holder = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
        if not holder.has_attr("action_masks"):
            raise UnsupportedError(f"'{name}' needs an environment with a method action_masks(): use ppo")
    envs = getattr(env, "num_envs", 1)
    frequency = overrides.get("train_freq")
    if isinstance(frequency, tuple) and "episode" in frequency and envs > 1:
        raise UnsupportedError(f"train_freq={frequency!r} counts episodes, which needs n_envs=1, got {envs}")

    problem = _problem(env)
    if one_shot is None:
        one_shot = problem is not None
    arguments = dict(settings.one_shot if one_shot else settings.sequential)
    policy_arguments = NETWORK | dict(settings.one_shot_policy if one_shot else settings.sequential_policy)
    if isinstance(env, BatchedVecEnv):
        continuous = isinstance(env.action_space, spaces.Box)
        batched = settings.batched_continuous if continuous else settings.batched
        arguments |= {**batched, "gamma": env.env.discount}  # which belongs to the problem
        policy_arguments |= settings.batched_continuous_policy if continuous else settings.batched_policy
        random_play = play_randomly(env.env)
        policy_arguments["features_extractor_class"] = StandardisedContext
        policy_arguments["features_extractor_kwargs"] = {k: random_play[k] for k in ("mean", "std")}
        kind = "replay" if settings.off_policy else "rollout"
        if f"{kind}_buffer_class" not in overrides and settings.algorithm is not MaskablePPO:  # whose keeps masks
            arguments[f"{kind}_buffer_class"] = BUFFERS[kind]
            arguments[f"{kind}_buffer_kwargs"] = {"reward_std": random_play["reward_std"]}
    if one_shot:
        if settings.target_entropy is not None:
            arguments["target_entropy"] = settings.target_entropy * int(np.prod(env.action_space.shape or (1,)))
        if settings.rollout is not None:
            arguments["n_steps"] = max(1, settings.rollout // envs)
    if problem is not None:
        policy_arguments["features_extractor_class"] = StandardisedContext
        policy_arguments["features_extractor_kwargs"] = dict(context_statistics(problem))
        kind = "replay" if settings.off_policy else "rollout"
        if f"{kind}_buffer_class" not in overrides:
            arguments[f"{kind}_buffer_class"] = BUFFERS[kind]
            arguments[f"{kind}_buffer_kwargs"] = dict(reward_statistics(problem))
    noise = arguments.pop("action_noise", settings.action_noise)
    if noise is not None:
        size = env.action_space.shape
        assert size is not None  # a Box, checked above
        arguments["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, noise))
    policy_arguments |= overrides.pop("policy_kwargs", None) or {}
    dropped, quantiles = overrides.get("top_quantiles_to_drop_per_net", 0), policy_arguments.get("n_quantiles", 25)
    if dropped >= quantiles:
        raise InvalidValueError(
            f"top_quantiles_to_drop_per_net must leave some of {quantiles} quantiles, got {dropped}"
        )
    if policy is None:
        policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    arguments |= {"policy_kwargs": policy_arguments, "seed": seed, "device": device} | overrides
    return settings.algorithm(policy, env, **arguments)


def check_ranges(owner: str, values: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]] = RANGES) -> None:
    """Refuse settings outside their range, and layers without units in `policy_kwargs`.

    What is no number (a schedule, None) passes.

    Args:
        owner: the algorithm's name, for messages.
        values: setting to value.
        ranges: setting to its lowest and highest value.

    Raises:
        InvalidValueError: the message names the setting and its range.
    """
    for key, value in values.items():
        checks.finite_inside(f"setting {key} of {owner}", value)
        number = value[0] if isinstance(value, (list, tuple)) and value else value  # train_freq=(1, "step")
        if isinstance(value, str) and key in ("ent_coef", "target_entropy"):
            number = _number_in(value)
        if key in ranges and isinstance(number, (int, float)):
            low, high = ranges[key]
            if not low <= number <= high:
                raise InvalidValueError(f"setting {key} of {owner} must be in [{low:g}, {high:g}], got {value!r}")
    _check_layers(owner, (values.get("policy_kwargs") or {}).get("net_arch"))


def _number_in(text: str) -> float | None:
    """The number in "auto_0.1" or "0.1", which Stable-Baselines3 takes as text; NaN where there is none."""
    word = text.removeprefix("auto").removeprefix("_")
    try:
        return None if text == "auto" else float(word)
    except ValueError:
        return float("nan")  # in no range


def _check_layers(owner: str, layers: Any) -> None:
    """Refuse layers without units: numbers, in lists or, as {"pi": [64], "vf": [64]}, in a dictionary of lists."""
    if isinstance(layers, (Mapping, list, tuple)):
        for part in layers.values() if isinstance(layers, Mapping) else layers:
            _check_layers(owner, part)
    elif layers is not None:
        checks.integer(f"each layer in net_arch of {owner}", layers, maximum=WIDEST)


def tuned_defaults(name: str) -> dict[str, Any]:
    """What `make_learner` gives a learner, as text where the environment decides: on one-shot problems if it can.

    Raises:
        UnknownNameError: no learner has this name.
    """
    settings = settings_of(name)
    if settings.actions == "discrete":  # of which there are no one-shot problems
        return {**settings.sequential, "policy_kwargs": NETWORK | dict(settings.sequential_policy)}
    kind = "replay" if settings.off_policy else "rollout"
    found = {
        **settings.one_shot,
        f"{kind}_buffer_class": BUFFERS[kind],
        "policy_kwargs": NETWORK | dict(settings.one_shot_policy),
    }
    if settings.rollout is not None:
        found["n_steps"] = max(1, settings.rollout // settings.n_envs)
    if settings.target_entropy is not None:
        found["target_entropy"] = f"{settings.target_entropy:g} x action coordinates"
    if settings.action_noise is not None:
        found["action_noise"] = f"Gaussian, standard deviation {settings.action_noise:g}"
    return found


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

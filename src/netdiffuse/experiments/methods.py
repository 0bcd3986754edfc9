"""Methods by name: our algorithms, Stable-Baselines3's learners, and rules that do not learn."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from netdiffuse.algorithms import ALGORITHMS
from netdiffuse.baselines import LEARNERS, RULES, Rule, make_learner, n_envs
from netdiffuse.baselines.denoising_rules import DENOISING_RULES, DenoisingRule
from netdiffuse.baselines.learners import check_ranges, tuned_defaults
from netdiffuse.baselines.service_rules import SERVICE_RULES, ServiceRule
from netdiffuse.baselines.settings import RANGES
from netdiffuse.common import InvalidValueError, NetdiffuseError, UnknownNameError, UnsupportedError
from netdiffuse.common.errors import out_of_memory
from netdiffuse.experiments.settings import Setting, check_settings, settings_of
from netdiffuse.problems.batched import BatchedVecEnv

POLICIES = ("MlpPolicy", "EquivariantPolicy")
ALL_RULES: dict[str, Rule | ServiceRule | DenoisingRule] = {
    **DENOISING_RULES,
    **SERVICE_RULES,
    **RULES,
}  # a name in both means the same
BATCHED_ENVS = 64  # environments of many steps that are stepped all at once
# Of our algorithms, beside what their settings have in common with the learners': they check the rest themselves.
OWN_RANGES = RANGES | {
    "critic_learning_rate": (1e-12, 0.1),
    "denoising_steps": (1, 1000),
    "n_candidates": (1, 10**4),
    "action_gradient_steps": (1, 1000),
}


def method_names() -> list[str]:
    """Everything that `compare` takes: algorithms, learners, rules."""
    return [*ALGORITHMS, *LEARNERS, *ALL_RULES]


def is_rule(name: str) -> bool:
    """Whether a method is a rule, which does not learn."""
    return name in ALL_RULES


def check_trainable(name: str) -> None:
    """Refuse what cannot be trained.

    Raises:
        UnknownNameError: no method has this name.
        InvalidValueError: the method is a rule.
    """
    if name in ALL_RULES:
        raise InvalidValueError(f"'{name}' is a rule and has nothing to learn: see it with compare --methods {name}")
    if name not in ALGORITHMS and name not in LEARNERS:
        raise UnknownNameError("algorithm", name, [*ALGORITHMS, *LEARNERS])


def method_class(name: str) -> type[BaseAlgorithm]:
    """The class of a method that learns."""
    check_trainable(name)
    return ALGORITHMS[name] if name in ALGORITHMS else LEARNERS[name].algorithm


def method_settings(name: str) -> list[Setting]:
    """What `settings` a method takes; a learner's defaults are the tuned ones for one-shot problems."""
    settings = settings_of(method_class(name))
    if name in ALGORITHMS:
        return settings
    tuned = tuned_defaults(name)
    return [dataclasses.replace(s, default=tuned.get(s.name, s.default)) for s in settings]


def check_method_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, refusing unknown names and values of another type or outside their range.

    Raises:
        UnknownNameError, InvalidValueError: as `check_settings` and `check_ranges`.
    """
    checked = check_settings(name, settings, method_settings(name))
    check_ranges(name, checked, OWN_RANGES if name in ALGORITHMS else RANGES)
    return checked


def check_policy(name: str, policy: str) -> None:
    """Refuse a policy that a method does not have.

    Raises:
        UnknownNameError: no policy has this name.
        UnsupportedError: it is not for this method.
    """
    if policy not in POLICIES:
        raise UnknownNameError("policy", policy, POLICIES)
    equivariant = [known for known, cls in ALGORITHMS.items() if policy in cls.policy_aliases]
    if policy != "MlpPolicy" and name not in equivariant:
        raise UnsupportedError(f"{name} comes with MlpPolicy alone; {policy} is for {', '.join(equivariant)}")


def make_model(
    name: str,
    env: VecEnv,
    *,
    policy: str,
    seed: int,
    device: str,
    settings: Mapping[str, Any],
    one_shot: bool,
) -> BaseAlgorithm:
    """Make an untrained model.

    Raises:
        UnsupportedError: the method cannot learn in this environment.
        InvalidValueError: settings that its constructor refuses.
    """
    check_policy(name, policy)
    if isinstance(env, BatchedVecEnv):  # a discount belongs to its problem
        own = getattr(ALGORITHMS[name], "batched_settings", {}) if name in ALGORITHMS else {}
        settings = {**own, "gamma": env.env.discount, **settings}
    try:
        if name in ALGORITHMS:
            return ALGORITHMS[name](policy, env, seed=seed, device=device, **settings)
        return make_learner(name, env, seed=seed, device=device, one_shot=one_shot, **settings)
    except NetdiffuseError:
        raise
    except (AssertionError, NotImplementedError) as error:  # how Stable-Baselines3 refuses spaces and settings
        raise UnsupportedError(f"{name} cannot learn here: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise InvalidValueError(f"{name} refuses its settings: {error}") from error


def default_policy(name: str, recommended: str) -> str:
    """The problem's recommended policy for the algorithms that have it, an MLP for others."""
    return recommended if name in ALGORITHMS and recommended in ALGORITHMS[name].policy_aliases else "MlpPolicy"


def default_n_envs(name: str, one_shot: bool, batched: bool) -> int:
    """How many contexts (or environments) a vector step has unless told."""
    if batched and not one_shot:
        return BATCHED_ENVS
    if name in LEARNERS:
        return n_envs(name, one_shot)
    return int(getattr(ALGORITHMS[name], "recommended_n_envs" if one_shot else "sequential_n_envs", 1))


def describe_methods() -> list[dict[str, str]]:
    """`name`, `kind` and `description` (the first line of the docstring) of every method."""

    def row(name: str, kind: str, documented: object) -> dict[str, str]:
        lines = (documented.__doc__ or "").strip().splitlines()
        return {"name": name, "kind": kind, "description": lines[0] if lines else ""}

    return [
        *(row(name, "algorithm", cls) for name, cls in ALGORITHMS.items()),
        *(row(name, "learner", learner.algorithm) for name, learner in LEARNERS.items()),
        *(row(name, "rule", type(rule)) | {"description": rule.description} for name, rule in ALL_RULES.items()),
    ]

"""Methods with settings as one word: `gddpg:policy=MlpPolicy:batch_size=256`."""

import re
from dataclasses import dataclass
from typing import Any

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.experiments import methods
from netdiffuse.experiments.config import Config, plain
from netdiffuse.experiments.settings import parse_assignments


@dataclass(frozen=True)
class MethodSpec:
    """A method as a comparison trains it.

    Attributes:
        label: the word itself, which names it in tables and figures.
        method: name of an algorithm, a learner or a rule.
        policy: "MlpPolicy" or "EquivariantPolicy"; None for what suits the problem.
        settings: keyword arguments of the algorithm.
    """

    label: str
    method: str
    policy: str | None
    settings: dict[str, Any]

    @property
    def folder(self) -> str:
        """The label as part of a folder's name."""
        return re.sub(r"[^\w.=-]+", "-", self.label).strip("-")


def parse_spec(word: str) -> MethodSpec:
    """Read a method and, after colons, its settings as key=value; `policy` is the policy's name.

    Raises:
        UnknownNameError: an unknown method, policy or setting.
        InvalidValueError: a value of another type, or settings of a rule, which has none.
        UnsupportedError: a policy that the method does not have.
    """
    method, colon, rest = word.partition(":")
    if method not in methods.method_names():
        raise UnknownNameError("method", method, methods.method_names())
    if not colon:
        return MethodSpec(word, method, None, {})
    if methods.is_rule(method):
        raise InvalidValueError(f"'{method}' is a rule and takes no settings, got '{word}'")
    # A colon within a value (a path) is not followed by key=.
    settings = parse_assignments(re.split(r":(?=[\w-]*=)", rest), f"method {method}:")
    policy = settings.pop("policy", None)
    if policy is not None:
        methods.check_policy(method, str(policy))
    return MethodSpec(word, method, policy, plain(methods.check_method_settings(method, settings)))


def method_label(config: Config) -> str:
    """What was trained as a word that `parse_spec` reads: the algorithm, its policy where it has two, its settings."""
    settings: dict[str, Any] = dict(config.settings)
    if config.policy != methods.default_policy(config.algorithm, "EquivariantPolicy"):
        settings["policy"] = config.policy
    return ":".join([config.algorithm, *(f"{name}={value}" for name, value in settings.items())])


def split_specs(text: str) -> list[str]:
    """The words of a list with commas between them, but for commas in brackets, as in `net_arch=[64,64]`."""
    return [word.strip() for word in re.split(r",(?![^\[({]*[\])}])", text) if word.strip()]

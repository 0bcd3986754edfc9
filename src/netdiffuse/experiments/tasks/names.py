"""What a name stands for."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import gymnasium

from netdiffuse.common import UnknownNameError
from netdiffuse.experiments.settings import Setting, settings_of
from netdiffuse.experiments.tasks.batched import BatchedTask
from netdiffuse.experiments.tasks.one_shot import OneShotTask
from netdiffuse.experiments.tasks.sequential import SequentialTask
from netdiffuse.problems.base import Problem
from netdiffuse.problems.registry import PRESETS, make_problem, problem_class
from netdiffuse.registration import ENVIRONMENTS, SEQUENTIAL

AnyTask = OneShotTask | SequentialTask  # a BatchedTask is sequential


def make_task(problem: str | Problem, arguments: Mapping[str, Any] | None = None) -> AnyTask:
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
        name = next(name for name, word in SEQUENTIAL.items() if word == problem)
        return BatchedTask(problem, f"netdiffuse/{name}-v0", arguments)
    if problem in PRESETS or (":" in problem and not re.search(r"-v\d+$", problem)):
        return OneShotTask(problem, make_problem(problem, **arguments))
    _check_registered(problem)
    return SequentialTask(problem, arguments)


def problem_settings(problem: str) -> list[Setting]:
    """The arguments of what a name stands for; none are known of other people's Gymnasium environments.

    Raises:
        UnknownNameError, InvalidValueError: as `make_task`.
    """
    env_id = next((f"netdiffuse/{name}-v0" for name, word in SEQUENTIAL.items() if word == problem), problem)
    if problem in PRESETS or (":" in problem and not re.search(r"-v\d+$", problem)):
        settings = settings_of(problem_class(problem), ("self",))
        preset = PRESETS[problem].arguments if problem in PRESETS else {}
        return [dataclasses.replace(s, default=preset.get(s.name, s.default)) for s in settings]
    if env_id != problem:
        entry = gymnasium.envs.registration.load_env_creator(str(gymnasium.spec(env_id).entry_point))
        return settings_of(getattr(entry, "settings_type", entry), ("self", "render_mode"))
    _check_registered(problem)
    return []


def _check_registered(problem: str) -> None:
    """Refuse what is no Gymnasium id with an `UnknownNameError`."""
    try:
        gymnasium.spec(problem)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        others = ["any Gymnasium id such as Pendulum-v1", "your own file.py:Class"]
        raise UnknownNameError("problem", problem, [*PRESETS, *SEQUENTIAL.values(), *others]) from error

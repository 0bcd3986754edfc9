"""Problems by name: presets, and a user's own problem by its place."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netdiffuse.channels import Permuted, Uniform
from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.problems.base import Problem
from netdiffuse.problems.interference_channel import InterferenceChannel
from netdiffuse.problems.power_allocation import PowerAllocation


@dataclass(frozen=True)
class Preset:
    """A problem with its arguments.

    Attributes:
        problem: the problem's class.
        policy: the recommended policy, "MlpPolicy" or "EquivariantPolicy".
        description: one line for lists.
        arguments: keyword arguments that differ from the class's defaults.
    """

    problem: type[Problem]
    policy: str
    description: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


_TWO_HALVES = Uniform((13.0, 0.0), (14.0, 0.1))

PRESETS: dict[str, Preset] = {
    "power-allocation": Preset(PowerAllocation, "EquivariantPolicy", "10 channels in Rayleigh fading, total power 10"),
    "power-allocation-gdmopt": Preset(
        PowerAllocation,
        "EquivariantPolicy",
        "10 channels, gains U(1, 2) and U(0, 1), total power 3 (GDMOPT's first case)",
        {"total_power": 3.0, "gains": Uniform((1.0, 0.0), (2.0, 1.0))},
    ),
    "power-allocation-deep-fade": Preset(
        PowerAllocation,
        "EquivariantPolicy",
        "100 channels, gains U(13, 14) and U(0, 0.1), total power 12 (GDMOPT's second case)",
        {"channels": 100, "total_power": 12.0, "gains": _TWO_HALVES},
    ),
    "power-allocation-permuted": Preset(
        PowerAllocation,
        "EquivariantPolicy",
        "as power-allocation-deep-fade, the channels of each context in random order",
        {"channels": 100, "total_power": 12.0, "gains": Permuted(_TWO_HALVES)},
    ),
    "interference-channel": Preset(
        InterferenceChannel,
        "EquivariantPolicy",
        "powers of 10 interfering links in Rayleigh fading, many local maxima",
    ),
}


def problem_names() -> list[str]:
    """Names of the problems that come with netdiffuse."""
    return list(PRESETS)


def make_problem(name: str, **arguments: Any) -> Problem:
    """Make a problem by name.

    Args:
        name: one of `problem_names()`; or a class of your own, as "package.module:Class" or
            "path/to/file.py:Class".
        **arguments: keyword arguments of the problem's class, which override the preset's.

    Raises:
        UnknownNameError: no problem has this name.
        InvalidValueError: an argument that the class does not take or accept, or a class that cannot be
            loaded.
    """
    problem = problem_class(name)
    parameters = inspect.signature(problem).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                known = ", ".join(parameters) or "no arguments"
                raise InvalidValueError(f"problem '{name}' has no argument '{key}'; it takes {known}")
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and key not in arguments
    ]
    if missing:
        raise InvalidValueError(f"problem '{name}' needs a value for {', '.join(missing)}")
    preset = PRESETS[name].arguments if name in PRESETS else {}
    return problem(**{**preset, **arguments})


def recommended_policy(name: str) -> str:
    """The policy that suits a problem: a preset's own; for your class, by the structure that it declares.

    Raises:
        UnknownNameError, InvalidValueError: as `make_problem`.
    """
    if name in PRESETS:
        return PRESETS[name].policy
    return "MlpPolicy" if problem_class(name).structure == "vector" else "EquivariantPolicy"


def problem_class(name: str) -> type[Problem]:
    """The class of a problem, as `make_problem` takes its name.

    Raises:
        UnknownNameError, InvalidValueError: as `make_problem`.
    """
    if name in PRESETS:
        return PRESETS[name].problem
    place, colon, class_name = name.rpartition(":")
    if not colon:
        raise UnknownNameError("problem", name, PRESETS)
    module = _load_file(name, Path(place)) if place.endswith(".py") else _import_module(name, place)
    problem = getattr(module, class_name, None)
    if not (inspect.isclass(problem) and issubclass(problem, Problem)):
        own = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, Problem) and value.__module__ == module.__name__
        ]
        raise InvalidValueError(
            f"'{class_name}' in {place} is not a subclass of netdiffuse.problems.Problem; "
            f"the problems there: {', '.join(own) or 'none'}"
        )
    if inspect.isabstract(problem):
        missing = ", ".join(sorted(problem.__abstractmethods__))
        raise InvalidValueError(f"problem '{name}' is incomplete: define {missing}")
    return problem


def _load_file(name: str, path: Path) -> Any:
    """Run a user's file as a module; anew each time, so that an edited file counts."""
    if not path.is_file():
        raise InvalidValueError(f"problem '{name}': there is no file {path}")
    module_name = f"netdiffuse_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None or spec.loader is None:
        raise InvalidValueError(f"problem '{name}': {path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look classes up by their module's name
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, SyntaxError):
            raise _bad_syntax(name, error) from error
        raise
    return module


def _import_module(name: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except SyntaxError as error:
        raise _bad_syntax(name, error) from error
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        # a module missing *inside* the user's own is their error to see, not a wrong name
        if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise InvalidValueError(f"problem '{name}': there is no module '{module}' to import") from error


def _bad_syntax(name: str, error: SyntaxError) -> InvalidValueError:
    return InvalidValueError(f"problem '{name}' is not Python: {error.filename}, line {error.lineno}: {error.msg}")

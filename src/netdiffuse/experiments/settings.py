"""Settings of an algorithm, read from its constructor: names, types, defaults and help are written there."""

import ast
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

import docstring_parser
import typeguard

from netdiffuse.common import InvalidValueError, UnknownNameError, checks

# What a run provides itself: these are flags of their own, not settings.
PROVIDED = frozenset(
    {"self", "policy", "env", "n_envs", "seed", "device", "tensorboard_log", "verbose", "_init_setup_model"}
)


@dataclass(frozen=True)
class Setting:
    """One keyword argument of an algorithm.

    Attributes:
        name: the keyword.
        type: its annotation, `typing.Any` without one.
        default: its default value.
        help: its description in the docstring, on one line.
    """

    name: str
    type: Any
    default: Any
    help: str

    @property
    def type_name(self) -> str:
        """The type as a reader would write it: `float | None`."""
        return _type_name(self.type)


def settings_of(cls: Callable[..., Any], provided: Collection[str] = PROVIDED) -> list[Setting]:
    """The settings of an algorithm, from the signature and the docstrings of its constructor and class.

    A class that passes `**kwargs` on to its parent has the parent's settings too. A function will do as well.

    Args:
        cls: the class.
        provided: arguments that are no settings.
    """
    settings: dict[str, Setting] = {}
    for owner in cls.__mro__ if inspect.isclass(cls) else (cls,):
        constructor = owner.__dict__.get("__init__") if inspect.isclass(owner) else owner
        if constructor is None:
            continue
        helps = _helps(owner) | _helps(constructor)
        hints = _hints(constructor)
        parameters = inspect.signature(constructor).parameters.values()
        for parameter in parameters:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.name not in provided and parameter.name not in settings:
                annotation = hints.get(parameter.name, Any)
                default = None if parameter.default is parameter.empty else parameter.default
                settings[parameter.name] = Setting(parameter.name, annotation, default, helps.get(parameter.name, ""))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(settings.values())


def check_settings(owner: str, values: Mapping[str, Any], known: Iterable[Setting]) -> dict[str, Any]:
    """Return the settings as a dict, refusing unknown names and values of another type.

    Args:
        owner: the algorithm's name, for messages.
        values: setting to value.
        known: what the algorithm takes.

    Raises:
        UnknownNameError: a name that the algorithm does not take; the message suggests the nearest.
        InvalidValueError: a value that does not fit the type.
    """
    by_name = {setting.name: setting for setting in known}
    for name, value in values.items():
        if name not in by_name:
            raise UnknownNameError(f"setting of {owner}", name, by_name)
        setting = by_name[name]
        truth_for_number = isinstance(value, bool) and "bool" not in setting.type_name and setting.type is not Any
        if truth_for_number or not _fits(value, setting.type):
            raise InvalidValueError(f"setting {name} of {owner} must be {setting.type_name}, got {value!r}")
    return dict(values)


def parse_assignments(pairs: Iterable[str], flag: str = "--set") -> dict[str, Any]:
    """Read `key=value` words: numbers, true, false, none, Python lists and tuples, otherwise text.

    Raises:
        InvalidValueError: a word without `=` or a key, a key given twice, or a number that is not finite.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise InvalidValueError(f"{flag} takes key=value, got '{pair}'")
        if key in values:
            raise InvalidValueError(f"{flag} {key} is given twice")
        values[key] = _parse(text.strip())
        checks.finite_inside(f"{flag} {key}", values[key])  # 1e999 is infinite
    return values


def _parse(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that a strange text may bring up
        return text


def _fits(value: Any, annotation: Any) -> bool:
    try:
        typeguard.check_type(value, annotation)
    except typeguard.TypeCheckError:
        # JSON and the command line write tuples as lists.
        return isinstance(value, list) and _fits(tuple(value), annotation)
    return True


def _helps(documented: Any) -> dict[str, str]:
    parsed = docstring_parser.parse(documented.__doc__ or "")
    return {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params}


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # one of them names what is imported for type checkers alone
        return {name: hint for name, hint in function.__annotations__.items() if not isinstance(hint, str)}


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "None"
    if origin in (Union, types.UnionType):
        return " | ".join(_type_name(a) for a in arguments)
    if origin is Literal:
        return " | ".join(repr(a) for a in arguments)
    if origin is not None and getattr(origin, "__name__", "") == "Callable":
        return "function"
    if origin is not None:
        inner = ", ".join("..." if a is Ellipsis else _type_name(a) for a in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return str(getattr(annotation, "__name__", annotation))

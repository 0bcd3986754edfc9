"""Gain models written as text or as a dictionary, for the command line and for configuration files."""

import inspect
from collections.abc import Mapping
from typing import Any

from netdiffuse.channels.gain_models import GainModel, LogDistance, Nakagami, Permuted, Rayleigh, Uniform
from netdiffuse.common import InvalidValueError, UnknownNameError

GAIN_MODELS: dict[str, type[GainModel]] = {
    "uniform": Uniform,
    "rayleigh": Rayleigh,
    "nakagami": Nakagami,
    "log-distance": LogDistance,
    "permuted": Permuted,
}


def gain_model(spec: GainModel | str | Mapping[str, Any]) -> GainModel:
    """Make a gain model from its description.

    As text: a name and its arguments after colons, by position or by name, several numbers separated by
    commas: `rayleigh`, `nakagami:2`, `uniform:0.5:1.5`, `uniform:1,0:2,1` (two halves),
    `log-distance:max_distance_m=200`, `permuted:uniform:13,0:14,0.1` (a model with each context in random
    order). As a dictionary: the name under `"model"` and the arguments by name; a permuted model holds its
    inner one under `"of"`.

    Raises:
        UnknownNameError: no model has this name.
        InvalidValueError: an argument that the model does not take or accept.
    """
    if isinstance(spec, GainModel):
        return spec
    if isinstance(spec, str):
        return _from_text(spec)
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    raise InvalidValueError(f"gains must be a gain model, text such as 'nakagami:2' or a dictionary, got {spec!r}")


def _from_text(text: str) -> GainModel:
    name, _, rest = text.strip().partition(":")
    if name == "permuted":
        if not rest:
            raise InvalidValueError("'permuted' needs the model that it shuffles, such as 'permuted:rayleigh'")
        return Permuted(_from_text(rest))
    known = _arguments(_named(name))
    arguments: dict[str, Any] = {}
    for position, item in enumerate(rest.split(":") if rest else []):
        key, equals, value = item.rpartition("=")
        if not equals:
            if position >= len(known):
                raise InvalidValueError(f"gains '{text}' has more arguments than {', '.join(known)}")
            key = known[position]
        arguments[key] = _value(text, value)
    return _build(name, arguments)


def _value(text: str, value: str) -> Any:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise InvalidValueError(f"gains '{text}': '{value}' is not a number") from None
    return numbers if len(numbers) > 1 else numbers[0]


def _from_mapping(spec: Mapping[str, Any]) -> GainModel:
    arguments = dict(spec)
    name = arguments.pop("model", None)
    if not isinstance(name, str):
        raise InvalidValueError(f"a dictionary of gains needs the name of its model under 'model', got {spec!r}")
    if name == "permuted":
        if set(arguments) != {"of"}:
            raise InvalidValueError(f"a permuted model takes its inner model under 'of' and nothing else, got {spec!r}")
        return Permuted(gain_model(arguments["of"]))
    return _build(name, arguments)


def _build(name: str, arguments: dict[str, Any]) -> GainModel:
    model = _named(name)
    known = _arguments(model)
    for key in arguments:
        if key not in known:
            raise InvalidValueError(f"gain model '{name}' has no argument '{key}'; it takes {', '.join(known)}")
    if name == "nakagami" and "m" not in arguments:
        raise InvalidValueError("gain model 'nakagami' needs m, such as 'nakagami:2'")
    return model(**arguments)


def _named(name: str) -> type[GainModel]:
    if name not in GAIN_MODELS:
        raise UnknownNameError("gain model", name, GAIN_MODELS)
    return GAIN_MODELS[name]


def _arguments(model: type[GainModel]) -> list[str]:
    return list(inspect.signature(model).parameters)

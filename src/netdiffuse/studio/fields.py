"""The fields of the form, made from the same typed settings as the command line's: nothing is listed twice."""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from netdiffuse.algorithms import ALGORITHMS
from netdiffuse.baselines.settings import RANGES
from netdiffuse.common import NetdiffuseError
from netdiffuse.experiments.compare import check_learns
from netdiffuse.experiments.methods import OWN_RANGES, check_method_settings, method_settings
from netdiffuse.experiments.options import CHECKS, check_options
from netdiffuse.experiments.settings import Setting, check_settings, parse_assignments, settings_of
from netdiffuse.experiments.specs import MethodSpec
from netdiffuse.experiments.tasks import make_task
from netdiffuse.experiments.tasks.names import problem_settings
from netdiffuse.experiments.training import train
from netdiffuse.studio.repeat import Training

Kind = Literal["switch", "choice", "text"]
LARGEST_MADE = 200  # a problem with larger numbers takes long to make: its run does that, and refuses it if it must


@dataclass(frozen=True)
class Field:
    """One entry of the form.

    Attributes:
        name: the keyword.
        kind: how it is asked for; what is left empty keeps its default.
        type_name: of its values, such as "float | None".
        default: its default, as text.
        help: the docstring's sentence.
        choices: of a "choice".
        low, high: its range, where it has one.
        refuse: a value to what is wrong with it, or None.
    """

    name: str
    kind: Kind
    type_name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    refuse: Callable[[Any], str | None] = field(default=lambda _: None, compare=False)

    @property
    def hint(self) -> str:
        """The help and the range, as one text."""
        if self.low is None or self.high is None:
            return self.help
        return f"{self.help.rstrip('. ')}. From {self.low:g} to {self.high:g}.".lstrip(". ")

    def read(self, text: Any) -> Any:
        """The value of what was entered.

        Raises:
            InvalidValueError: no value that could be written on the command line either.
        """
        return parse_assignments([f"{self.name}={text}"], "")[self.name]

    def error(self, text: Any) -> str | None:
        """What is wrong with what was entered, or None; an empty entry is its default."""
        if text is None or str(text).strip() == "":
            return None
        try:
            return self.refuse(self.read(text))
        except NetdiffuseError as error:
            return str(error).strip()


def algorithm_fields(algorithm: str) -> list[Field]:
    """What can be set of an algorithm."""

    def refuse(name: str, value: Any) -> None:
        check_method_settings(algorithm, {name: value})

    ranges = OWN_RANGES if algorithm in ALGORITHMS else RANGES
    return [_field(setting, refuse, ranges) for setting in method_settings(algorithm)]


def problem_fields(problem: str) -> list[Field]:
    """What can be set of a problem.

    Raises:
        UnknownNameError, InvalidValueError: there is no such problem.
    """
    settings = problem_settings(problem)

    def refuse(name: str, value: Any) -> None:
        check_settings(problem, {name: value}, settings)
        if not (isinstance(value, int) and abs(value) > LARGEST_MADE):
            make_task(problem, {name: value})

    return [_field(setting, refuse, {}) for setting in settings]


def option_fields(algorithm: str) -> list[Field]:
    """What can be set of a training itself."""

    def refuse(name: str, value: Any) -> None:
        check_options(algorithm, {name: value})

    return [_field(setting, refuse, {}) for setting in settings_of(train, ()) if setting.name in CHECKS]


def entered(fields: Mapping[str, Field], texts: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those fields that were filled in."""
    return {
        name: fields[name].read(text) for name, text in texts.items() if text is not None and str(text).strip() != ""
    }


def refusal(training: Training) -> str | None:
    """Why a training would be refused as a whole, or None: its model is made and forgotten."""
    values = (*training.settings.values(), *training.problem_args.values())
    try:
        check_options(training.algorithm, training.options)
        settings = check_method_settings(training.algorithm, training.settings)
        if all(isinstance(value, bool) or not isinstance(value, int) or value <= LARGEST_MADE for value in values):
            policy = training.options.get("policy")
            spec = MethodSpec(training.algorithm, training.algorithm, policy, settings)
            check_learns(spec, make_task(training.problem, training.problem_args))
    except NetdiffuseError as error:
        return str(error)
    except Exception as error:  # as in the fields
        return f"{type(error).__name__}: {error}"
    return None


def _field(setting: Setting, refuse: Callable[[str, Any], None], ranges: Mapping[str, tuple[float, float]]) -> Field:
    choices = typing.get_args(setting.type) if typing.get_origin(setting.type) is Literal else ()
    kind: Kind = "switch" if setting.type is bool else "choice" if choices else "text"
    low, high = ranges.get(setting.name, (None, None))

    def what_is_wrong(value: Any) -> str | None:
        try:
            refuse(setting.name, value)
        except NetdiffuseError as error:
            return str(error)
        except Exception as error:  # a problem, of a user's own too, may raise anything for a value
            return f"{setting.name}={value}: {type(error).__name__}: {error}"
        return None

    return Field(
        setting.name,
        kind,
        setting.type_name,
        _text(setting.default),
        setting.help,
        tuple(map(str, choices)),
        low,
        high,
        what_is_wrong,
    )


def _text(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return "" if value is None else str(value)
    return getattr(value, "__name__", None) or str(value)

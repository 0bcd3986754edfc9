"""Types of the optional arguments: None stands for "unless told", which the help texts explain."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
Seconds = Annotated[float | None, tyro.conf.arg(metavar="SECONDS", help_behavior_hint="")]
Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
Number = Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="")]
Assignments = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(may be repeated)"),
]
AsJson = Annotated[bool, tyro.conf.arg(name="json", help_behavior_hint="")]

Options = TypeVar("Options")
METAVARS = {str | None: "NAME", Path | None: "FILE", tuple[float, float] | None: "IN OUT"}


def arguments_of(options: type[Any], word: str = "") -> type[Any]:
    """A class of options as arguments: `--timeout`, or with a word before them `--rater-timeout`.

    The class that is made is a subclass, with the same documentation, whose fields the parser knows by these names.
    """
    hints = get_type_hints(options)
    made = []
    for field in dataclasses.fields(options):
        said: dict[str, Any] = {"name": f"{word}-{field.name}".strip("-").replace("_", "-")}
        if hints[field.name] in METAVARS:
            said |= {"metavar": METAVARS[hints[field.name]], "help_behavior_hint": ""}
        kind: Any = Annotated[hints[field.name], tyro.conf.arg(**said)]
        made.append((field.name, kind, dataclasses.field(default=field.default)))
    # Values are checked by `checked`: what the parser is refused, it tells in words of its own.
    given = {"__doc__": options.__doc__, "__module__": options.__module__, "__post_init__": lambda _: None}
    return dataclasses.make_dataclass(options.__name__, made, bases=(options,), frozen=True, namespace=given)


def checked(given: Options, options: type[Options]) -> Options:
    """Options that the parser has made of `arguments_of(options)`, as the class itself, which checks them.

    Raises:
        InvalidValueError, UnknownNameError: as the class.
    """
    return options(**{field.name: getattr(given, field.name) for field in dataclasses.fields(options)})  # type: ignore[arg-type]

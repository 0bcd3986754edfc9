"""Types of the arguments: None stands for "unless told", which the help texts explain."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from netdiffuse.common import InvalidValueError

Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
Seconds = Annotated[float | None, tyro.conf.arg(metavar="SECONDS", help_behavior_hint="")]
Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
Url = Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="")]
Token = Annotated[str | None, tyro.conf.arg(metavar="TOKEN", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
Number = Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="")]
Assignments = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(may be repeated)"),
]
# These have a default, which the help shows, or are needed.
Host = Annotated[str, tyro.conf.arg(metavar="HOST")]
Model = Annotated[str, tyro.conf.arg(metavar="NAME_OR_FOLDER")]
Type = Annotated[str, tyro.conf.arg(metavar="TYPE")]
Word = Annotated[str, tyro.conf.arg(metavar="NAME")]
Words = Annotated[str, tyro.conf.arg(metavar="A,B,...")]
RunFolder = Annotated[Path, tyro.conf.arg(metavar="RUN")]
UsualFolder = Annotated[Path, tyro.conf.arg(metavar="DIR")]
NeededFile = Annotated[Path, tyro.conf.arg(metavar="FILE")]
AsJson = Annotated[bool, tyro.conf.arg(name="json", help_behavior_hint="")]

NUMBERS = tyro.constructors.ConstructorRegistry()
"""How numbers are read, optional or not: for the length of a `with` block, in which words are parsed."""
KINDS: dict[Any, tuple[type[int] | type[float], int]] = {  # of what, and how many
    int: (int, 1),
    int | None: (int, 1),
    float: (float, 1),
    float | None: (float, 1),
    tuple[float, float] | None: (float, 2),
}

Options = TypeVar("Options")
METAVARS = {str | None: "NAME", Path | None: "FILE", tuple[float, float] | None: "IN OUT"}
NAMED = {"url": "URL"}  # of fields by their names, before their types


@NUMBERS.primitive_rule
def _read_numbers(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Read one number or several, refusing what is none in words of ours: the parser's tell how it works inside."""
    if info.type not in KINDS:
        return None
    kind, count = KINDS[info.type]

    def number(word: str) -> int | float:
        try:
            return kind(word)
        except ValueError as error:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{wanted} is needed, got {word!r}") from error

    def read(words: list[str]) -> int | float | tuple[int | float, ...]:
        found = tuple(map(number, words))
        return found[0] if count == 1 else found

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=count,
        metavar=" ".join([kind.__name__.upper()] * count),
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int | float | tuple | None),
        str_from_instance=lambda value: [str(number) for number in (value if isinstance(value, tuple) else (value,))],
    )


def flag(field: str, word: str = "") -> str:
    """What a field of options is called on the command line, without its dashes."""
    return f"{word}-{field}".strip("-").replace("_", "-")


def refuse_of_llm(given: Sequence[str], word: str = "") -> None:
    """Refuse fields of options that are a language model's, where none is asked for.

    Raises:
        InvalidValueError: there is one.
    """
    if given:
        raise InvalidValueError(f"--{flag(given[0], word)} is of a language model: add --rater llm")


def arguments_of(options: type[Any], word: str = "") -> type[Any]:
    """A class of options as arguments: `--timeout`, or with a word before them `--rater-timeout`.

    The class that is made is a subclass, with the same documentation, whose fields the parser knows by these names.
    """
    hints = get_type_hints(options)
    made = []
    for field in dataclasses.fields(options):
        said: dict[str, Any] = {"name": flag(field.name, word)}
        if metavar := NAMED.get(field.name) or METAVARS.get(hints[field.name]):
            said |= {"metavar": metavar, "help_behavior_hint": ""}
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

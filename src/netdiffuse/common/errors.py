"""Named exceptions and warnings. Each message names the offending value, the place and the remedy."""

import difflib
from collections.abc import Iterable


class NetdiffuseError(Exception):
    """Base of every error that netdiffuse raises on purpose; the command line prints it as one line."""


class NetdiffuseWarning(RuntimeWarning):
    """Base of every warning that netdiffuse gives on purpose; the command line prints it as one line."""


class InvalidValueError(NetdiffuseError, ValueError):
    """An argument, a context or a decision is outside what is allowed."""


class UnknownNameError(NetdiffuseError, ValueError):
    """A problem, algorithm, method or option that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        by_letters = {other.casefold(): other for other in known}  # a name in capitals is still that name
        close = difflib.get_close_matches(name.casefold(), by_letters, n=1)
        hint = f" Did you mean '{by_letters[close[0]]}'?" if close else ""
        super().__init__(f"unknown {kind} '{name}'.{hint} Known: {', '.join(known)}")


class UnreachableDecisionError(NetdiffuseError, ValueError):
    """A decision that no action in [-1, 1] decodes to."""


class UnsupportedError(NetdiffuseError, TypeError):
    """A combination of problem, algorithm and option that cannot work."""


class DataFileError(NetdiffuseError, ValueError):
    """A data file that cannot be used; the message names the line and the column."""


class RunError(NetdiffuseError):
    """A run folder that is missing, incomplete or damaged."""


class MissingExtraError(NetdiffuseError, ImportError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package: pip install 'netdiffuse[{extra}]'")


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python, NumPy or torch says that there is not enough memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in said or "out of memory" in said)
    )

"""`netdiffuse users`: simulated users."""

from collections.abc import Callable

from netdiffuse.cli.users.audit import audit

COMMANDS: dict[str, Callable[..., int]] = {"audit": audit}


def users() -> int:
    """Ask whether simulated users are fit to reward a policy; see `netdiffuse users --help`."""
    raise AssertionError("its words are read before")

"""Who may reach a host that listens: tokens, and addresses that are open to others."""

import re

from netdiffuse.common import InvalidValueError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "NETDIFFUSE_TOKEN"
_TOKEN = re.compile(r"[!-~]+")  # what an HTTP header carries unchanged


def check_token(token: str | None) -> None:
    """Refuse a token that no header can carry, or that anybody could guess: an empty one.

    Raises:
        InvalidValueError: it is empty, or has other characters than visible ASCII; the message does not say it.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidValueError(
            "the token must be one or more visible ASCII characters without spaces, "
            f"got {len(token)} characters that are not: choose another"
        )


def check_open(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        InvalidValueError: the host is open to others and there is no token, or the token is none.
    """
    check_token(token)
    if host not in LOOPBACK and token is None:
        raise InvalidValueError(f"host {host} is open to others: give a token (--token, or set {TOKEN_VARIABLE})")

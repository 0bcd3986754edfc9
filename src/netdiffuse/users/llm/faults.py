"""What goes wrong when a language model is asked, each kind with a name so that it can be counted."""

from typing import Literal, get_args

from netdiffuse.common import NetdiffuseError

Kind = Literal[
    "unreachable",  # no connection, or one that broke
    "timeout",
    "rate_limited",  # HTTP 429
    "server_error",  # HTTP 5xx
    "unauthorised",  # HTTP 401, 403
    "wrong_model",  # HTTP 404
    "bad_request",  # any other HTTP 4xx
    "malformed",  # no JSON, or none of the wanted form
    "refused",  # the model declined to answer
    "out_of_range",  # a rating that is not 1 to 5
    "no_digits",  # no log-probabilities, or hardly any on the digits
]
KINDS: tuple[Kind, ...] = get_args(Kind)
WAITED: frozenset[Kind] = frozenset({"unreachable", "timeout", "rate_limited", "server_error"})
"""Those that may pass with time."""
FINAL: frozenset[Kind] = frozenset({"unauthorised", "wrong_model", "bad_request", "no_digits"})
"""Those that asking again does not mend; probabilities do not depend on the seed."""


class RatingError(NetdiffuseError):
    """A language model gave no rating, and nothing may stand in for it."""


class FaultError(RatingError):
    """One question that failed once.

    Args:
        kind: what went wrong.
        message: in words.
        retry_after_s: how long the endpoint asks to be left alone, seconds, if it does.
    """

    def __init__(self, kind: Kind, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.retry_after_s = kind, retry_after_s

"""An endpoint that speaks OpenAI's chat protocol: vLLM, Ollama, the server of llama.cpp, or a hosted one."""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netdiffuse.common import InvalidValueError, MissingExtraError, UnknownNameError, UnsupportedError, checks
from netdiffuse.common.http import retry_after_s
from netdiffuse.users.llm.answers import RESPONSE_FORMATS, Grade
from netdiffuse.users.llm.faults import FINAL, WAITED, FaultError, Kind
from netdiffuse.users.llm.ledger import Ledger

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

KEY = "NETDIFFUSE_LLM_KEY"
LONGEST_PAUSE_S = 30.0
LONGEST_WORDS = 300  # of a fault
LONGEST_RETRY_AFTER_S = 120.0
FAILURES_UNTIL_ONCE = 5
"""So many questions in a row without an answer, and the next are tried once each: training goes on without hours of
waiting for an endpoint that is down."""


class Endpoint:
    """Asks, again where that can help, and counts what goes wrong.

    Args:
        base_url: as `http://localhost:8000/v1`; OpenAI's own unless told.
        api_key: kept in memory alone, never written anywhere; unless told the environment variable NETDIFFUSE_LLM_KEY,
            or for OpenAI's own OPENAI_API_KEY. Local servers need none.
        timeout_s: of a request, seconds without a sign of life.
        retries: after the first attempt, at least 0. Attempts differ in their seeds.
        backoff_s: pause before the first retry after what may pass with time, seconds; doubled each time, with a
            quarter of it at random, up to half a minute; longer where the endpoint says so (Retry-After).
        concurrency: requests under way at once, at most.
        constraint: how the server holds an answer to JSON: "json-schema", "json-object" or "none" (see
            `answers.RESPONSE_FORMATS`).

    Raises:
        InvalidValueError: an argument outside its range, or no key for OpenAI's own.
        UnknownNameError: another constraint.
        MissingExtraError: the extra [llm] is not installed.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: int = 4,
        backoff_s: float = 0.5,
        concurrency: int = 8,
        constraint: str = "json-schema",
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("rating by a language model", "llm") from error
        if constraint not in RESPONSE_FORMATS:
            raise UnknownNameError("constraint", constraint, RESPONSE_FORMATS)
        self.constraint = RESPONSE_FORMATS[constraint]
        self.retries = checks.integer("retries", retries, minimum=0)
        self.backoff_s = checks.non_negative("backoff_s", backoff_s)
        self.concurrency = checks.integer("concurrency", concurrency, maximum=checks.MOST_THREADS)
        self._key = api_key or os.environ.get(KEY) or (os.environ.get("OPENAI_API_KEY") if base_url is None else None)
        if self._key is None and base_url is None:
            raise InvalidValueError(f"OpenAI's endpoint needs a key: set {KEY}, or name the url of another endpoint")
        self.limit_option = "max_completion_tokens" if base_url is None else "max_tokens"  # the servers' older name
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=self._key or "none",
            timeout=checks.positive("timeout_s", timeout_s),
            max_retries=0,  # ours count what goes wrong, and cover answers that cannot be read
        )
        self._places = threading.BoundedSemaphore(self.concurrency)
        self._lock = threading.Lock()
        self._failures = 0

    def __reduce__(self) -> str:
        """Refuse to be pickled, with an environment or a run: the key would be written down.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("an endpoint holds a key and cannot be saved or copied: make it anew where it is needed")

    def ask(
        self,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        seed: int,
        read: Callable[["ChatCompletion"], Grade],
        ledger: Ledger,
    ) -> Grade:
        """Ask until an answer can be read, or retries are used up.

        Args:
            model: its name at the endpoint.
            messages: of the chat.
            options: further fields of the request.
            seed: of the sampling; further attempts take seed + 1000, seed + 2000, ...
            read: an answer to its grade; raises `FaultError`.
            ledger: to count in.

        Raises:
            FaultError: the last one.
        """
        retries = self.retries if self._failures < FAILURES_UNTIL_ONCE else 0
        attempt = 0
        while True:
            try:
                grade = self._read(
                    read, self._once(model, messages, {**options, "seed": seed + 1000 * attempt}, ledger)
                )
            except FaultError as fault:
                ledger.fault(fault.kind)
                if fault.kind in FINAL or attempt >= retries:
                    self._answered(False)
                    raise
                if fault.kind in WAITED:
                    time.sleep(self._pause(attempt, fault.retry_after_s))
                attempt += 1
            else:
                self._answered(True)
                return grade

    def _once(
        self, model: str, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any], ledger: Ledger
    ) -> "ChatCompletion":
        given: dict[str, Any] = {"model": model, "messages": list(messages), **options}
        with self._places:
            return self._timed(given, ledger)

    def _timed(self, given: dict[str, Any], ledger: Ledger) -> "ChatCompletion":
        import openai

        began = time.perf_counter()
        tokens = None
        try:
            completion: ChatCompletion = self._client.chat.completions.create(**given)
            tokens = _tokens(completion)
            return completion
        except openai.APITimeoutError as error:
            raise self._fault("timeout", error) from None
        except openai.APIConnectionError as error:
            raise self._fault("unreachable", error.__cause__ or error) from None
        except openai.APIStatusError as error:
            raise self._fault(
                _kind(error.status_code), error, retry_after_s(error.response.headers.get("retry-after"))
            ) from None
        except (openai.APIResponseValidationError, ValueError) as error:  # a body that is no JSON
            raise self._fault("malformed", error) from None
        finally:
            ledger.request(time.perf_counter() - began, tokens)

    def _fault(self, kind: Kind, error: BaseException, retry_after_s: float | None = None) -> FaultError:
        return FaultError(kind, self._short(f"{type(error).__name__}: {error}"), retry_after_s)

    def _read(self, read: Callable[["ChatCompletion"], Grade], completion: "ChatCompletion") -> Grade:
        """An answer to its grade, free of the key."""
        try:
            grade = read(completion)
        except FaultError as fault:
            raise FaultError(fault.kind, self._short(str(fault))) from None
        except (AttributeError, IndexError, KeyError, TypeError) as error:  # the client checks no fields of a reply
            raise self._fault("malformed", error) from None
        return grade._replace(reason=self._without_key(grade.reason))

    def _short(self, said: str) -> str:
        """The start of a text; the key goes before it is cut, which could leave the half of one."""
        return self._without_key(said)[:LONGEST_WORDS]

    def _without_key(self, said: str) -> str:
        """A text without the key: an endpoint may send back what it was sent."""
        return said.replace(self._key, "[key]") if self._key else said

    def _answered(self, well: bool) -> None:
        with self._lock:
            self._failures = 0 if well else self._failures + 1

    def _pause(self, attempt: int, retry_after_s: float | None) -> float:
        pause = min(self.backoff_s * 2**attempt, LONGEST_PAUSE_S) * random.uniform(0.75, 1)
        return max(pause, min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))


def _tokens(completion: "ChatCompletion") -> tuple[int, int] | None:
    """Tokens in and out; None where the endpoint does not tell."""
    usage = getattr(completion, "usage", None)
    sent, returned = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return (sent, returned) if isinstance(sent, int) and isinstance(returned, int) else None


def _kind(status: int) -> Kind:
    if status in (401, 403):
        return "unauthorised"
    known: dict[int, Kind] = {404: "wrong_model", 408: "timeout", 429: "rate_limited"}
    return known.get(status, "server_error" if status >= 500 else "bad_request")

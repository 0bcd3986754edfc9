"""What ratings by a language model cost, and how they went."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netdiffuse.common import checks
from netdiffuse.users.llm.faults import KINDS, Kind


@dataclass(frozen=True)
class Price:
    """What an endpoint charges, in one currency.

    Attributes:
        input_per_million: for a million tokens that are sent.
        output_per_million: for a million tokens that come back.
        currency: of both.

    Raises:
        InvalidValueError: a negative price.
    """

    input_per_million: float
    output_per_million: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        checks.non_negative("input_per_million", self.input_per_million)
        checks.non_negative("output_per_million", self.output_per_million)


class Ledger:
    """Counts, from any thread; one may serve several raters.

    Args:
        price: of tokens; money is not told without.
    """

    def __init__(self, price: Price | None = None) -> None:
        self.price = price
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[Kind] = Counter()
        self._given_up: Counter[Kind] = Counter()
        self._seconds = 0.0

    def add(self, name: str, count: int = 1) -> None:
        """Count one of `questions`, `from_cache`, `fallbacks`."""
        with self._lock:
            self._counts[name] += count

    def request(self, seconds: float, tokens: tuple[int, int] | None) -> None:
        """Count a request: how long it took, and its tokens in and out; None where the endpoint does not tell."""
        with self._lock:
            self._counts["requests"] += 1
            self._seconds += seconds
            if tokens is not None:
                self._counts["input_tokens"] += tokens[0]
                self._counts["output_tokens"] += tokens[1]
                self._counts["metered"] += 1

    def fault(self, kind: Kind) -> None:
        """Count a fault."""
        with self._lock:
            self._faults[kind] += 1

    def give_up(self, kind: Kind) -> None:
        """Count a question that got no answer in the end, by its last fault."""
        with self._lock:
            self._given_up[kind] += 1

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON.

        Returns:
            `questions` that raters were asked; `from_cache` of them that the model had answered before, at no cost;
            `fallbacks` of them that the stand-in answered, now or in what the cache replayed, which are none of
            `from_cache`; `requests` to the endpoint, `unmetered` of them without a count of tokens; `input_tokens`
            and `output_tokens`; `seconds` that requests took, summed; `money` and `currency`, None without a price;
            `faults` by kind, those that a retry mended among them; `given_up`, the questions that ended in a fault, by
            kind: for each the stand-in answered once, and again wherever the cache brought its answer back.
        """
        with self._lock:
            names = ("questions", "from_cache", "fallbacks", "requests", "input_tokens", "output_tokens")
            found: dict[str, Any] = {name: self._counts[name] for name in names}
            found["unmetered"] = self._counts["requests"] - self._counts["metered"]
            found["seconds"] = self._seconds
            found["money"] = found["currency"] = None
            if self.price is not None:
                found["money"] = 1e-6 * (
                    self.price.input_per_million * found["input_tokens"]
                    + self.price.output_per_million * found["output_tokens"]
                )
                found["currency"] = self.price.currency
            found["faults"] = {kind: self._faults[kind] for kind in KINDS if self._faults[kind]}
            found["given_up"] = {kind: self._given_up[kind] for kind in KINDS if self._given_up[kind]}
            return found

    def state_dict(self) -> dict[str, Any]:
        """All counts, to go on from."""
        with self._lock:
            return {
                "counts": dict(self._counts),
                "faults": dict(self._faults),
                "given_up": dict(self._given_up),
                "seconds": self._seconds,
            }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        with self._lock:
            self._counts, self._faults = Counter(state["counts"]), Counter(state["faults"])
            self._given_up, self._seconds = Counter(state["given_up"]), float(state["seconds"])

    def __str__(self) -> str:
        return in_words(self.to_dict())


def in_words(said: Mapping[str, Any]) -> str:
    """What `Ledger.to_dict` tells, in a line."""
    faults = _kinds(said["faults"]) or "none"
    money = "" if said["money"] is None else f", {said['money']:.4g} {said['currency']}"
    given_up = f"; given up: {_kinds(said['given_up'])}" if said["given_up"] else ""
    return (
        f"{said['questions']:,} questions, {said['from_cache']:,} from the cache, {said['fallbacks']:,} answered "
        f"by the fallback; {said['requests']:,} requests, {said['input_tokens']:,} tokens in and "
        f"{said['output_tokens']:,} out, {said['seconds']:.1f} s{money}; faults: {faults}{given_up}"
    )


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())

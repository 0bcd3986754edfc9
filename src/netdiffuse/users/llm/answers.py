"""From what a language model said to a rating: by its JSON, or by the log-probabilities of the digits."""

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from netdiffuse.users.llm.faults import FaultError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion
    from openai.types.chat.chat_completion import Choice

RATINGS = (1, 2, 3, 4, 5)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "rating": {"type": "integer", "enum": list(RATINGS)}},
    "required": ["reason", "rating"],
    "additionalProperties": False,
}
"""The reason stands first: a model that writes it down before it rates has thought of it."""

RESPONSE_FORMATS: dict[str, dict[str, Any]] = {
    "json-schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "opinion", "strict": True, "schema": SCHEMA},
        }
    },
    "json-object": {"response_format": {"type": "json_object", "schema": SCHEMA}},
    "none": {},
}
"""How servers are told of the schema: as OpenAI, vLLM, Ollama and llama-server are; as the server of llama-cpp-python
is; or not at all, with the prompt alone to ask for it."""

TOP = 20  # log-probabilities that endpoints give at the most


class Grade(NamedTuple):
    """One answer: rating in [1, 5], its variance, and the reason."""

    rating: float
    variance: float
    reason: str


def graded(completion: "ChatCompletion") -> Grade:
    """Read an answer in JSON.

    Raises:
        FaultError: malformed, refused or out_of_range.
    """
    choice = _choice(completion)
    said = choice.message.content
    try:
        value = json.loads(said or "")
    except ValueError:
        raise FaultError("malformed", f"the model did not answer with JSON: {said!r}") from None
    if not isinstance(value, dict) or not isinstance(value.get("reason"), str):
        raise FaultError("malformed", f"the model's answer has no reason: {said!r}")
    rating = value.get("rating")
    if isinstance(rating, bool) or not isinstance(rating, (int, float)):
        raise FaultError("malformed", f"the model's answer has no rating: {said!r}")
    if rating not in RATINGS:
        raise FaultError("out_of_range", f"the model rated {rating!r}, not 1, 2, 3, 4 or 5")
    return Grade(float(rating), 0.0, value["reason"])


def expected(completion: "ChatCompletion", least_mass: float) -> Grade:
    """Expected rating over the probabilities of the digits: sum r p_r / sum p_r, and its variance.

    It needs no parsing, and moves smoothly with what the model was told (as in G-Eval, Liu et al., arXiv 2303.16634).

    Args:
        completion: with log-probabilities of its first token.
        least_mass: probability of all digits together, below which the model was about to say something else.

    Raises:
        FaultError: refused, malformed or no_digits.
    """
    choice = _choice(completion)
    first = choice.logprobs.content if choice.logprobs is not None else None
    if not first:
        raise FaultError("no_digits", "the endpoint gives no log-probabilities: take answer='json'")
    mass = dict.fromkeys(RATINGS, 0.0)
    for candidate in first[0].top_logprobs:
        if candidate.token.strip() in map(str, RATINGS):
            mass[int(candidate.token)] += math.exp(candidate.logprob)
    total = sum(mass.values())
    if not total >= least_mass or total == 0:
        raise FaultError("no_digits", f"the model puts {100 * total:.2g}% on the digits 1 to 5: take answer='json'")
    rating = sum(r * p for r, p in mass.items()) / total
    variance = sum((r - rating) ** 2 * p for r, p in mass.items()) / total
    odds = ", ".join(f"{r}: {100 * p / total:.0f}%" for r, p in mass.items())
    return Grade(min(max(rating, 1.0), 5.0), variance, f"probabilities {odds}")


def _choice(completion: "ChatCompletion") -> "Choice":
    """The only choice, which the client does not check."""
    choices = getattr(completion, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        raise FaultError("malformed", f"the endpoint's reply is no chat completion: {completion!r}")
    choice: Choice = choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise FaultError("refused", f"the model refused to rate: {choice.message.refusal!r}")
    return choice

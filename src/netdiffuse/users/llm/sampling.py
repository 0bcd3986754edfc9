"""How a language model is asked."""

from dataclasses import dataclass
from typing import Any

from netdiffuse.common import InvalidValueError, UnknownNameError, checks
from netdiffuse.users.llm.answers import TOP
from netdiffuse.users.llm.endpoint import Endpoint
from netdiffuse.users.llm.prompts import FORMS, Answer


@dataclass(frozen=True)
class Sampling:
    """How a model is asked.

    Attributes:
        answer: "json" for a reason and a rating, held to a JSON schema; "expected" for the expected rating over the
            log-probabilities of the digits, which needs no parsing and is smooth, but gives no reason.
        samples: answers to each question, of which mean and variance are taken; 1 for "expected", which has the whole
            distribution.
        temperature: of the sampling, at least 0.
        max_tokens: of an answer in JSON.
        seed: of the first sample; the others take seed + 1, seed + 2, ...
        least_mass: probability that an expected rating needs on the digits, in [0, 1]; small models reach little.

    Raises:
        InvalidValueError: a number outside its range, or several samples of an expected rating.
        UnknownNameError: another kind of answer.
    """

    answer: Answer = "json"
    samples: int = 1
    temperature: float = 0.7
    max_tokens: int = 200
    seed: int = 0
    least_mass: float = 0.05

    def __post_init__(self) -> None:
        if self.answer not in FORMS:
            raise UnknownNameError("answer", str(self.answer), FORMS)
        checks.integer("samples", self.samples, maximum=999)  # seeds of retries lie a thousand apart
        if self.answer == "expected" and self.samples > 1:
            raise InvalidValueError(
                f"an expected rating has its distribution in one sample, got {self.samples} samples"
            )
        checks.non_negative("temperature", self.temperature)
        checks.integer("max_tokens", self.max_tokens)
        checks.seed("seed", self.seed)
        checks.fraction("least_mass", self.least_mass)

    def options(self, endpoint: Endpoint) -> dict[str, Any]:
        """Further fields of a request, by the names that the endpoint has for them."""
        if self.answer == "expected":
            return {"temperature": 1.0, endpoint.limit_option: 1, "logprobs": True, "top_logprobs": TOP}
        return {"temperature": self.temperature, endpoint.limit_option: self.max_tokens, **endpoint.constraint}

"""Users as a language model that plays them."""

import hashlib
import json
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from netdiffuse.common import InvalidValueError, UnknownNameError, checks
from netdiffuse.users.experience import Experience, Opinion, Rater, check_pairs
from netdiffuse.users.llm.answers import TOP, Grade, expected, graded
from netdiffuse.users.llm.cache import AnswerCache
from netdiffuse.users.llm.endpoint import Endpoint
from netdiffuse.users.llm.faults import FaultError, RatingError
from netdiffuse.users.llm.ledger import Ledger
from netdiffuse.users.llm.prompts import (
    FORMS,
    Answer,
    Message,
    picture_digest,
    picture_part,
    reply,
    stimulus,
    system_prompt,
)
from netdiffuse.users.parametric import ParametricRater
from netdiffuse.users.persona import Persona

BY_FORMULA = ParametricRater(noisy=False)


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


@dataclass(frozen=True)
class _Question:
    key: str
    text: str
    messages: list[Message]
    persona: Persona
    experience: Experience


class LLMRater:
    """Ratings by a language model with the persona as its system prompt (after RLLI, arXiv 2311.11094).

    Equal questions are asked once at a time, those of different users side by side; a user's own come one after another
    where there is a memory. Where no answer can be had, the fallback answers: that is counted in the ledger, said in
    the opinion's `source` and, the first time, in a warning.

    Args:
        model: its name at the endpoint.
        endpoint: to ask; None to answer from the cache alone.
        memory: experiences, with the opinions on them, that a user remembers; kept by the persona's name.
        sampling: how to ask.
        vision: whether the model is shown the picture, where there is one; else it is told of its measures alone.
        cache: of answers; without one, equal questions of later calls are asked again.
        fallback: who answers where the model does not; None to raise instead.
        ledger: to count in; one of its own unless told.

    Attributes:
        history: by the persona's name, what each user remembers, the oldest first.

    Raises:
        InvalidValueError: an empty name, a negative memory, or neither endpoint nor cache.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint | None,
        *,
        memory: int = 0,
        sampling: Sampling | None = None,
        vision: bool = False,
        cache: AnswerCache | None = None,
        fallback: Rater | None = BY_FORMULA,
        ledger: Ledger | None = None,
    ) -> None:
        if not model.strip():
            raise InvalidValueError("a language model needs a name")
        if endpoint is None and cache is None:
            raise InvalidValueError("without an endpoint there must be a cache to answer from")
        self.model, self.endpoint, self.cache, self.fallback = model, endpoint, cache, fallback
        self.memory = checks.integer("memory", memory, minimum=0)
        self.sampling, self.vision = sampling or Sampling(), vision
        self.ledger = ledger or Ledger()
        self.history: dict[str, list[tuple[Experience, Opinion]]] = {}
        self._warned = False

    def forget(self, names: Collection[str] | None = None) -> None:
        """Empty memories, as at the start of an episode: of users by their personas' names, of all unless told."""
        for name in list(self.history) if names is None else names:
            self.history.pop(name, None)

    def state_dict(self) -> dict[str, Any]:
        """Memories and counts; answers are the cache's."""
        history = {
            name: [(asdict(experience), asdict(opinion)) for experience, opinion in lived]
            for name, lived in self.history.items()
        }
        return {"history": history, "ledger": self.ledger.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.history = {
            name: [(Experience(**experience), Opinion(**opinion)) for experience, opinion in lived]
            for name, lived in state["history"].items()
        }
        self.ledger.load_state_dict(state["ledger"])

    def rate(self, personas: Sequence[Persona], experiences: Sequence[Experience]) -> list[Opinion]:
        """One opinion for each pair.

        Raises:
            InvalidValueError: lists of different lengths.
            RatingError: a question that the cache does not know, without an endpoint; or one that failed, without a
                fallback.
        """
        check_pairs(personas, experiences)
        found: dict[int, Opinion] = {}
        for turn in self._turns(personas):
            questions = {i: self._question(personas[i], experiences[i]) for i in turn}
            opinions = self._answer({question.key: question for question in questions.values()})
            self.ledger.add("from_cache", len(questions) - len(opinions))  # equal questions are asked once
            for i, question in questions.items():
                found[i] = opinions[question.key]
                if self.memory:
                    lived = self.history.setdefault(personas[i].name, [])
                    lived.append((replace(experiences[i], picture=None), found[i]))
                    del lived[: -self.memory]
        opinions_in_order = [found[i] for i in range(len(personas))]
        self.ledger.add("questions", len(opinions_in_order))
        self.ledger.add("fallbacks", sum(opinion.source == "fallback" for opinion in opinions_in_order))
        return opinions_in_order

    def _turns(self, personas: Sequence[Persona]) -> Iterable[list[int]]:
        """Places that can be answered side by side: with a memory, each user once a turn."""
        if not self.memory:
            return [list(range(len(personas)))]
        turns: list[list[int]] = []
        seen: dict[str, int] = {}
        for i, persona in enumerate(personas):
            turn = seen[persona.name] = seen.get(persona.name, -1) + 1
            turns += [[]] if turn == len(turns) else []
            turns[turn].append(i)
        return turns

    def _question(self, persona: Persona, experience: Experience) -> _Question:
        answer = self.sampling.answer
        messages: list[Message] = [{"role": "system", "content": system_prompt(persona, answer)}]
        for past, opinion in self.history.get(persona.name, []):
            messages.append({"role": "user", "content": stimulus(past)})
            messages.append({"role": "assistant", "content": reply(opinion, answer)})
        now = stimulus(experience)
        messages.append({"role": "user", "content": now})
        asked: dict[str, Any] = {"model": self.model, "messages": list(messages), "sampling": asdict(self.sampling)}
        if self.vision and experience.picture is not None:
            asked["picture"] = picture_digest(experience.picture)
            messages[-1] = {
                "role": "user",
                "content": [{"type": "text", "text": now}, picture_part(experience.picture)],
            }
        text = json.dumps(asked, sort_keys=True)
        return _Question(hashlib.sha256(text.encode()).hexdigest(), text, messages, persona, experience)

    def _answer(self, questions: Mapping[str, _Question]) -> dict[str, Opinion]:
        """Opinions by key: from the cache, and the others asked side by side."""
        found: dict[str, Opinion] = {}
        if self.cache is not None:
            found = {key: known for key in questions if (known := self.cache.get(key)) is not None}
            self.ledger.add("from_cache", len(found))
        missing = [question for key, question in questions.items() if key not in found]
        if not missing:
            return found
        if self.endpoint is None:
            raise RatingError(f"the cache has no answer of '{self.model}' to: {stimulus(missing[0].experience)!r}")
        seeds = range(self.sampling.seed, self.sampling.seed + self.sampling.samples)
        pool = ThreadPoolExecutor(self.endpoint.concurrency)
        try:
            asked = [[pool.submit(self._ask, self.endpoint, question, seed) for seed in seeds] for question in missing]
            for question, samples in zip(missing, asked, strict=True):
                opinion = self._opinion(question, [sample.result() for sample in samples])
                if self.cache is not None:
                    opinion = self.cache.put(question.key, question.text, opinion)
                found[question.key] = opinion
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what is under way ends, and nothing else is asked
        return found

    def _ask(self, endpoint: Endpoint, question: _Question, seed: int) -> Grade | FaultError:
        wanted = partial(expected, least_mass=self.sampling.least_mass)
        read = wanted if self.sampling.answer == "expected" else graded
        options = self.sampling.options(endpoint)
        try:
            return endpoint.ask(self.model, question.messages, options, seed, read, self.ledger)
        except FaultError as fault:
            return fault

    def _opinion(self, question: _Question, answers: Sequence[Grade | FaultError]) -> Opinion:
        """Mean and variance of the samples that came back; the fallback's opinion where none did."""
        grades = [answer for answer in answers if isinstance(answer, Grade)]
        if grades:
            ratings = [grade.rating for grade in grades]
            variance = grades[0].variance if len(grades) == 1 else float(np.var(ratings, ddof=1))
            return Opinion(float(np.mean(ratings)), grades[0].reason, variance, len(grades), "llm")
        fault = next(answer for answer in answers if isinstance(answer, FaultError))
        if self.fallback is None:
            raise RatingError(f"'{self.model}' gave no rating ({fault.kind}): {fault}") from fault
        self.ledger.give_up(fault.kind)
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"'{self.model}' gave no rating ({fault.kind}: {fault}): the fallback rates, which the ledger counts",
                RuntimeWarning,
                stacklevel=4,
            )
        stand_in = self.fallback.rate([question.persona], [question.experience])[0]
        return replace(stand_in, source="fallback")

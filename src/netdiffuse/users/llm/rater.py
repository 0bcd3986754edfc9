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

from netdiffuse.common import InvalidValueError, NetdiffuseWarning, checks
from netdiffuse.users.experience import Experience, Opinion, Rater, check_pairs
from netdiffuse.users.llm.answers import Grade, expected, graded
from netdiffuse.users.llm.cache import AnswerCache
from netdiffuse.users.llm.endpoint import Endpoint
from netdiffuse.users.llm.faults import FaultError, RatingError
from netdiffuse.users.llm.ledger import Ledger
from netdiffuse.users.llm.prompts import (
    Message,
    picture_digest,
    picture_part,
    reply,
    stimulus,
    system_prompt,
)
from netdiffuse.users.llm.sampling import Sampling
from netdiffuse.users.parametric import ParametricRater
from netdiffuse.users.persona import Persona

BY_FORMULA = ParametricRater(noisy=False)


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

    The cache keeps what the fallback answered, but apart, and it holds for no longer than it must:

    - A rater to which it answered a question hears the same again, also after `load_state_dict`, so that a run that is
      resumed from a checkpoint equals an uninterrupted one, and a finished one is consistent in itself.
    - Any other rater, as of a new run that shares the cache, asks the model anew. If it answers now, that takes the
      fallback's place for good.
    - Without an endpoint the cache is replayed as it is, the fallback's opinions among it: a run repeats exactly from
      the cache that it left, as long as no other run has asked anew for what was the fallback's there.

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
        self._stood_in: dict[str, Opinion] = {}  # what the fallback answered here, by keys of questions
        self._warned = False

    def forget(self, names: Collection[str] | None = None) -> None:
        """Empty memories, as at the start of an episode: of users by their personas' names, of all unless told."""
        for name in list(self.history) if names is None else names:
            self.history.pop(name, None)

    def state_dict(self) -> dict[str, Any]:
        """Memories, counts, and which questions the fallback answered; the answers are the cache's."""
        history = {
            name: [(asdict(experience), asdict(opinion)) for experience, opinion in lived]
            for name, lived in self.history.items()
        }
        stood_in = {key: asdict(opinion) for key, opinion in self._stood_in.items()}
        return {"history": history, "ledger": self.ledger.state_dict(), "stood_in": stood_in}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.history = {
            name: [(Experience(**experience), Opinion(**opinion)) for experience, opinion in lived]
            for name, lived in state["history"].items()
        }
        self.ledger.load_state_dict(state["ledger"])
        stood_in = state.get("stood_in", {})  # which earlier versions did not save
        self._stood_in = {key: Opinion(**said) for key, said in stood_in.items()}

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
            # Equal questions are asked once.
            same = [opinions[question.key] for question in questions.values()]
            self.ledger.add("from_cache", _by_the_model(same) - _by_the_model(opinions.values()))
            for i, question in questions.items():
                found[i] = opinions[question.key]
                if self.memory:
                    lived = self.history.setdefault(personas[i].name, [])
                    lived.append((replace(experiences[i], picture=None), found[i]))
                    del lived[: -self.memory]
        opinions_in_order = [found[i] for i in range(len(personas))]
        self.ledger.add("questions", len(opinions_in_order))
        self.ledger.add("fallbacks", len(opinions_in_order) - _by_the_model(opinions_in_order))
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
        found = {key: known for key in questions if (known := self._known(key)) is not None}
        self.ledger.add("from_cache", _by_the_model(found.values()))
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
                    if opinion.source == "fallback":
                        self._stood_in[question.key] = opinion
                found[question.key] = opinion
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what is under way ends, and nothing else is asked
        return found

    def _known(self, key: str) -> Opinion | None:
        """What the cache has to a question; of the fallback's, what holds here (see the class)."""
        if key in self._stood_in:  # whatever another run has put in its place since
            return self._stood_in[key]
        known = None if self.cache is None else self.cache.get(key)
        return None if known is not None and known.source == "fallback" and self.endpoint is not None else known

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
                NetdiffuseWarning,
                stacklevel=4,
            )
        stand_in = self.fallback.rate([question.persona], [question.experience])[0]
        return replace(stand_in, source="fallback")


def _by_the_model(opinions: Iterable[Opinion]) -> int:
    """How many are no fallback's."""
    return sum(opinion.source != "fallback" for opinion in opinions)

"""What is chosen of a rater that is a language model, in one place: by the command line, and in a run's config.json."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from netdiffuse.common import InvalidValueError, UnknownNameError, checks
from netdiffuse.users.llm.cache import AnswerCache
from netdiffuse.users.llm.endpoint import KEY, Endpoint
from netdiffuse.users.llm.ledger import Ledger, Price
from netdiffuse.users.llm.sampling import Sampling


@dataclass(frozen=True)
class LLMOptions:
    """How a language model is reached and asked.

    Attributes:
        model: of the language model, its name at the endpoint.
        url: of an endpoint that speaks OpenAI's protocol, as http://localhost:8000/v1; OpenAI's own unless told. A key
            is read from the environment variable NETDIFFUSE_LLM_KEY.
        answer: json for a rating with its reason; expected for the expected rating over the digits' probabilities.
        samples: answers to each question, averaged.
        least_mass: probability that an expected rating needs on the digits; small models reach little.
        constraint: how the server holds answers to JSON; json-object for that of llama-cpp-python.
        concurrency: requests under way at once, at most.
        timeout: of a request, seconds; a model on a CPU may need more.
        price: of a million tokens in and out, in USD, to tell what it cost.
        cache: SQLite file of answers; answers.sqlite in the folder of --out unless told.
        offline: answer from the cache alone.

    Raises:
        InvalidValueError: a number outside its range, or a URL that is none, or that may hold a key.
        UnknownNameError: another kind of answer.
    """

    model: str | None = None
    url: str | None = None
    answer: Literal["json", "expected"] = "json"
    samples: int = 1
    least_mass: float = 0.05
    constraint: Literal["json-schema", "json-object", "none"] = "json-schema"
    concurrency: int = 8
    timeout: float = 60.0
    price: tuple[float, float] | None = None
    cache: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        self.sampling(0)
        self.ledger()
        checks.positive("timeout", self.timeout)
        checks.integer("concurrency", self.concurrency, maximum=checks.MOST_THREADS)
        if self.url is not None:
            _check_url(self.url)

    @property
    def given(self) -> list[str]:
        """Names of the options that are not the default ones."""
        return [f.name for f in fields(self) if getattr(self, f.name) != f.default]

    def sampling(self, seed: int) -> Sampling:
        """How to ask, the first sample with this seed."""
        return Sampling(self.answer, self.samples, seed=seed, least_mass=self.least_mass)

    def endpoint(self) -> Endpoint | None:
        """Whom to ask; None for nobody.

        Raises:
            InvalidValueError, UnknownNameError, MissingExtraError: as `Endpoint`.
        """
        if self.offline:
            return None
        return Endpoint(self.url, constraint=self.constraint, concurrency=self.concurrency, timeout_s=self.timeout)

    def ledger(self) -> Ledger:
        """An empty ledger with the price."""
        return Ledger(None if self.price is None else Price(*self.price))

    def cache_path(self, folder: Path) -> Path:
        """The file of answers, in a folder unless told.

        Raises:
            InvalidValueError: nobody is to be asked, and there are no answers.
        """
        path = self.cache or folder / "answers.sqlite"
        if self.offline and not path.exists():
            raise InvalidValueError(f"--offline needs answers, and there is no {path}: name their file as the cache")
        return path

    def open_cache(self, folder: Path) -> AnswerCache:
        """The answers; see `cache_path`."""
        return AnswerCache(self.cache_path(folder))

    def to_dict(self) -> dict[str, Any]:
        """The options for JSON; the file's path is absolute. There is no key among them."""
        return asdict(self) | {"cache": None if self.cache is None else os.path.abspath(self.cache)}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `to_dict` returned.

        Raises:
            UnknownNameError, InvalidValueError: an option that does not exist, or a value that it cannot have.
        """
        known = [f.name for f in fields(cls)]
        for name in said:
            if name not in known:
                raise UnknownNameError("option of the rater", str(name), known)
        given = dict(said)
        try:
            given["cache"] = None if given.get("cache") is None else Path(given["cache"])
            given["price"] = None if given.get("price") is None else tuple(given["price"])
            return cls(**given)
        except TypeError as error:  # another type, as in a damaged file
            raise InvalidValueError(f"the rater's options are damaged: {error}") from error


@dataclass(frozen=True)
class LLMRewardOptions(LLMOptions):
    """How a language model is reached and asked for a reward.

    Attributes:
        memory: of a session's earlier pictures, with what was said of them, that a user remembers at most.

    Raises:
        InvalidValueError, UnknownNameError: as `LLMOptions`.
    """

    memory: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("memory", self.memory, minimum=0)


def _check_url(url: str) -> None:
    """Refuse what is no address, and one that may hold a key, which would be written down with the options."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise InvalidValueError(f"an endpoint's url must be like http://localhost:8000/v1, got {url!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidValueError(f"an endpoint's url must hold no key, and nothing after ? or #: set {KEY} instead")

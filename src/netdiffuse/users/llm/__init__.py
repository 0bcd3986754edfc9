"""Users played by a language model, at any endpoint that speaks OpenAI's protocol (extra [llm])."""

from netdiffuse.users.llm.cache import AnswerCache
from netdiffuse.users.llm.endpoint import Endpoint
from netdiffuse.users.llm.faults import FaultError, RatingError
from netdiffuse.users.llm.ledger import Ledger, Price
from netdiffuse.users.llm.options import LLMOptions, LLMRewardOptions
from netdiffuse.users.llm.rater import LLMRater
from netdiffuse.users.llm.sampling import Sampling

__all__ = [
    "AnswerCache",
    "Endpoint",
    "FaultError",
    "LLMOptions",
    "LLMRater",
    "LLMRewardOptions",
    "Ledger",
    "Price",
    "RatingError",
    "Sampling",
]

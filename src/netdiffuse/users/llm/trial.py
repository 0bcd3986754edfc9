"""Does a language model answer at all? One question tells, before many are asked."""

from netdiffuse.users.experience import Experience
from netdiffuse.users.llm.faults import RatingError
from netdiffuse.users.llm.options import LLMOptions
from netdiffuse.users.llm.rater import LLMRater
from netdiffuse.users.persona import PRESETS

TRIAL = Experience("a red ball on the grass", quality=0.8, delay_s=3.0, energy_share=0.05)


def check_answers(model: str, options: LLMOptions, seed: int, remedy: str) -> None:
    """Ask one question, whatever answers there are already, and keep the answer nowhere; with `offline` none is asked.

    Args:
        model: its name at the endpoint.
        options: how it is reached and asked.
        seed: of the sampling.
        remedy: what else can be done, for the error.

    Raises:
        InvalidValueError, MissingExtraError: as `LLMOptions.endpoint`.
        RatingError: the model does not answer.
    """
    endpoint = options.endpoint()
    if endpoint is None:
        return
    trial = LLMRater(model, endpoint, sampling=options.sampling(seed), fallback=None)
    try:
        trial.rate([PRESETS["average"]], [TRIAL])
    except RatingError as error:
        where = options.url or "OpenAI's endpoint"
        raise RatingError(f"{error}; asked at {where}: is the model served there? ({remedy})") from error

"""`netdiffuse denoise rate`."""

from typing import TYPE_CHECKING, Annotated

import tyro

from netdiffuse.cli.arguments import AsJson, Name, Number, Seconds, Text, Token
from netdiffuse.cli.denoise.serve import token_of

if TYPE_CHECKING:
    from netdiffuse.denoising.edge.messages import Opinion


def rate(
    id: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ID")]],
    rating: Number = None,
    server: Annotated[str, tyro.conf.arg(metavar="URL")] = "http://127.0.0.1:8000",
    reason: Text = None,
    persona: Name = None,
    quality: Number = None,
    delay: Seconds = None,
    energy_share: Number = None,
    token: Token = None,
    json: AsJson = False,
) -> int:
    """Tell an edge server what a user thinks of a picture: a rating of your own, or what a persona would say.

    Args:
        id: of the request, as `netdiffuse denoise device` prints it.
        rating: 1 (bad) to 5 (excellent).
        server: its address.
        reason: in words.
        persona: who rates by what the device measured, instead of --rating; needs the three numbers that follow, as
            `netdiffuse denoise device` prints them beside the request's id.
        quality: how well the picture shows the prompt, in [0, 1].
        delay: seconds from the request to the picture.
        energy_share: share of what the battery held that the picture drew, in [0, 1].
        token: the server's; the environment variable NETDIFFUSE_TOKEN unless told.
        json: print what was told as JSON.
    """
    # Refuse before the heavy imports what needs none.
    from netdiffuse.common import InvalidValueError, checks
    from netdiffuse.common.addresses import check_url
    from netdiffuse.denoising.edge.access import check_token

    token = token_of(token)
    check_token(token)
    check_url("--server", server)
    if (rating is None) == (persona is None):
        raise InvalidValueError("give either a --rating of 1 to 5, or a --persona who rates")
    if rating is not None:
        said = _own(rating, reason, quality, delay, energy_share)
    else:
        assert persona is not None
        if quality is None or delay is None or energy_share is None:
            raise InvalidValueError(
                "--persona rates by --quality, --delay and --energy-share, as `netdiffuse denoise device` prints them"
            )
        from netdiffuse.users import preset

        who = preset(persona)
        checks.fraction("--quality", quality)
        checks.non_negative("--delay", delay)
        checks.fraction("--energy-share", energy_share)
        from netdiffuse.problems.shared_denoising.experience import opinion

        said = opinion(who, "a picture", quality, delay, energy_share, id)
    from netdiffuse.denoising.calls import Caller

    caller = Caller(server, token, tries=2)
    caller.rate(id, said)
    caller.close()
    if json:
        from json import dumps

        print(dumps({"request": id, "persona": persona} | said.model_dump(), indent=2))
        return 0
    print(f"rated {said.rating:.2f}" + ("" if said.reason is None else f": {said.reason}"))
    return 0


def _own(
    rating: float, reason: str | None, quality: float | None, delay_s: float | None, energy_share: float | None
) -> "Opinion":
    from netdiffuse.common import InvalidValueError

    if not 1 <= rating <= 5:  # NaN is neither
        raise InvalidValueError(f"--rating must be in 1 to 5, got {rating:g}")
    from pydantic import ValidationError

    from netdiffuse.denoising.edge.messages import Opinion

    try:
        return Opinion(rating=rating, reason=reason, quality=quality, delay_s=delay_s, energy_share=energy_share)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = {"delay_s": "delay", "energy_share": "energy-share"}.get(str(wrong["loc"][0]), wrong["loc"][0])
        raise InvalidValueError(f"--{option}: {wrong['msg']}, got {wrong['input']!r}") from error

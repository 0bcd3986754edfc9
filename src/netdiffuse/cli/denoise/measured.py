"""What a device says of itself and of its user, and what it measured of its picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netdiffuse.common import InvalidValueError, MissingExtraError, NetdiffuseError

if TYPE_CHECKING:
    from netdiffuse.denoising.device import Outcome
    from netdiffuse.denoising.edge.messages import Opinion, Report


@dataclass(frozen=True)
class Measured:
    """What a persona rates a picture by.

    Attributes:
        quality: how well the picture shows its prompt, in [0, 1]; None where the judge cannot tell.
        delay_s: seconds from the request to the picture, by the model of radio and processors.
        energy_share: share of what the battery held that the picture drew, in [0, 1], by that of the battery.
        fault: why the judge cannot tell, or None.
    """

    quality: float | None
    delay_s: float
    energy_share: float
    fault: str | None = None

    @property
    def options(self) -> str:
        """As `netdiffuse denoise rate` takes them."""
        quality = "" if self.quality is None else f"--quality {self.quality:.4f} "
        return f"{quality}--delay {self.delay_s:.2f} --energy-share {self.energy_share:.4f}"


def report_of(
    persona: str | None, battery: float, gain_db: float | None, frequency_ghz: float | None
) -> "Report | None":
    """What the device says of itself and of its user, refusing what no device is; None where there is nothing."""
    if persona is None and battery == 1 and gain_db is None and frequency_ghz is None:
        return None
    try:
        from pydantic import ValidationError
    except ImportError as error:
        raise MissingExtraError("split denoising", "denoising") from error
    from netdiffuse.denoising.edge.messages import Report
    from netdiffuse.users import persona_table, preset

    wants = None if persona is None else tuple(persona_table([preset(persona)])[0].tolist())
    try:
        return Report(gain_db=gain_db, frequency_ghz=frequency_ghz, battery=battery, persona=persona, wants=wants)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = str(wrong["loc"][0]).replace("_", "-")
        raise InvalidValueError(f"--{option}: {wrong['msg']}, got {wrong['input']!r}") from error


def refuse_where_none_are_kept(server: str, token: str | None) -> None:
    """Refuse to rate at a server that keeps no ratings, before a picture is made.

    One that does not answer is for the device to find out, which then makes its picture alone.
    """
    from contextlib import closing, suppress

    from netdiffuse.denoising.calls import Call, Caller, EdgeServerError

    with closing(Caller(server, token, tries=1)) as caller, suppress(EdgeServerError):
        if caller.card(Call(patience_s=5.0)).keeps_ratings is False:
            raise InvalidValueError(
                f"the server at {server} keeps no ratings: start it with --ratings FILE, or leave out --rate"
            )


def measure(outcome: "Outcome", prompt: str, report: "Report | None", judge: str) -> Measured:
    """What a device measured of a picture that a server had a part in."""
    from netdiffuse.denoising.edge.messages import Report
    from netdiffuse.denoising.study import make_judge
    from netdiffuse.problems.shared_denoising.experience import effort

    took = effort(outcome.grant, outcome.shared_steps, outcome.shared_steps + outcome.own_steps, report or Report())
    if took.lost:
        return Measured(0.0, took.delay_s, took.energy_share)
    try:
        (quality,) = make_judge(judge)([outcome.picture], [prompt])
    except NetdiffuseError as error:  # a word that the classifier does not know: the picture is no worse for it
        return Measured(None, took.delay_s, took.energy_share, str(error))
    return Measured(quality, took.delay_s, took.energy_share)


def said_by(persona: str, prompt: str, measured: Measured, request_id: str) -> "Opinion":
    """What a persona thinks of what was measured.

    Raises:
        InvalidValueError: the judge could not tell the quality.
    """
    from netdiffuse.problems.shared_denoising.experience import opinion
    from netdiffuse.users import preset

    if measured.quality is None:
        raise InvalidValueError(f"it cannot be rated with this --judge: {measured.fault}")
    return opinion(preset(persona), prompt, measured.quality, measured.delay_s, measured.energy_share, request_id)

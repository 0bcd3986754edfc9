"""`netdiffuse denoise device`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from netdiffuse.cli.arguments import AsJson, Count, File, Host, Model, Name, Number, Token, Type, Url
from netdiffuse.cli.denoise.models import DEFAULT, opened
from netdiffuse.cli.denoise.serve import token_of

if TYPE_CHECKING:
    from netdiffuse.denoising.device import Outcome
    from netdiffuse.denoising.edge.messages import Opinion, Report


def device(
    prompt: Annotated[str, tyro.conf.arg(metavar="TEXT")],
    server: Url = None,
    model: Model = DEFAULT,
    out: File = None,
    steps: int = 20,
    most_local_steps: Count = None,
    codec: Literal["exact", "fp16", "uint8", "int4"] = "exact",
    patience: float = 60.0,
    token: Token = None,
    lead: bool = False,
    host: Host = "127.0.0.1",
    port: int = 8001,
    followers: int = 1,
    window: float = 60.0,
    dtype: Type = "float32",
    persona: Name = None,
    battery: float = 1.0,
    gain_db: Number = None,
    frequency_ghz: Number = None,
    rate: bool = False,
    judge: Model = "classifier",
    json: AsJson = False,
) -> int:
    """Make a picture: an edge server does the shared steps, this device its own; without the server, it does all.

    Args:
        prompt: what to see.
        server: its address, such as http://127.0.0.1:8000; alone unless told.
        model: as the server's.
        out: file for the picture, a new one; picture.png unless told, numbered where that exists.
        steps: of the chain, where there is no server that says.
        most_local_steps: how many steps this device can do; the server does the others.
        codec: in how many bits the server sends the chain.
        patience: seconds to wait for the server before going on alone.
        token: the server's; the environment variable NETDIFFUSE_TOKEN unless told.
        lead: no server: let other devices share the first steps of this one's chain; they give its address as --server.
        host: address at which this device listens when it leads; beyond this machine only with a token.
        port: likewise.
        followers: other devices that it waits for when it leads, and begins as soon as so many have joined.
        window: seconds that it waits for them, at most.
        dtype: as the server's.
        persona: who the user is, for a server whose policy decides by it; average unless told.
        battery: what this device's battery holds, as a share of a full one.
        gain_db: power gain of its channel, in dB; that of 100 m unless told.
        frequency_ghz: of its processor; 1.5 unless told.
        rate: tell the server what the --persona thinks of it: the picture as the judge sees it, delay and energy as the
            model of radio, processor and battery has them.
        judge: of the picture: classifier, which knows the words of the small model alone; or a CLIP model, by its name
            on a hub or a local folder.
        json: print what happened as JSON.
    """
    from json import dumps

    from netdiffuse.cli.output import console
    from netdiffuse.common import InvalidValueError
    from netdiffuse.common.files import atomic_path, claim_unused

    if not prompt.strip():
        raise InvalidValueError("--prompt must say what to see, got nothing")
    if lead and server is not None:
        raise InvalidValueError("a device leads, or it has a --server, not both")
    if out is not None and out.exists():
        raise InvalidValueError(f"{out} already exists: choose another --out")
    if out is not None and out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise InvalidValueError(f"--out must end in .png, .jpg or .webp, got {out}")
    if rate and (persona is None or server is None):
        raise InvalidValueError("--rate needs a --persona who rates, and the --server that is told")
    errors = console(stderr=True)
    family = opened(model, dtype)
    report = report_of(persona, battery, gain_db, frequency_ghz)
    from netdiffuse.denoising.device import Chain, EdgeDevice

    token = token_of(token)
    if lead:
        from netdiffuse.denoising.embeddings import default_encoder
        from netdiffuse.denoising.peer import Gathering
        from netdiffuse.denoising.peer import lead as lead_others

        outcome = lead_others(
            family,
            prompt,
            default_encoder(),
            chain=Chain(steps=steps),
            gathering=Gathering(host=host, port=port, window_s=window, followers=followers, token=token),
            listening=lambda url: errors.print(f"others may join: --server {url}", soft_wrap=True),
        )
    else:
        made = EdgeDevice(
            family,
            server,
            token=token,
            patience_s=patience,
            most_local_steps=most_local_steps,
            codec=None if codec == "exact" else codec,
            alone=Chain(steps=steps),
            report=report,
        )
        if server is not None:
            errors.print(f"asking {server}, and waiting for others to share with", soft_wrap=True)
        outcome = made.make(prompt)
        made.close()
    # Claimed now, not before: devices that ask together are done together.
    out = out or claim_unused(Path("picture.png"))
    with atomic_path(out) as temporary:
        outcome.picture.save(temporary, format={".png": "PNG", ".webp": "WEBP"}.get(out.suffix.lower(), "JPEG"))
    said = None
    if rate and outcome.source == "shared":  # after the picture is safe: a rating may be refused
        assert persona is not None  # refused above
        assert server is not None
        from netdiffuse.denoising.calls import Caller, EdgeServerError

        said = judged(outcome, prompt, persona, report, judge)
        caller = Caller(server, token)
        try:
            caller.rate(outcome.request_id, said)
        except EdgeServerError as error:
            raise EdgeServerError(f"{error}; the picture is at {out}") from error
        caller.close()
    if json:
        names = (
            "source",
            "shared_steps",
            "own_steps",
            "reason",
            "refused",
            "tries",
            "bytes_received",
            "waited_s",
            "own_s",
            "request_id",
        )
        told = {name: getattr(outcome, name) for name in names} | {"picture": str(out)}
        told["grant"] = None if outcome.grant is None else outcome.grant.model_dump()
        told["opinion"] = None if said is None else said.model_dump()
        print(dumps(told, indent=2))
    elif outcome.source == "shared":
        print(
            f"the server did {outcome.shared_steps} steps ({outcome.bytes_received:,} bytes, {outcome.waited_s:.1f} s)"
            f", this device {outcome.own_steps} ({outcome.own_s:.1f} s)"
        )
        print(f"picture  {out}")
        print(f"request  {outcome.request_id}")
        if outcome.grant is not None:
            given = outcome.grant
            print(
                f"granted  {given.shared_steps} shared steps, {given.power_w:.4f} W, {given.bandwidth_hz:,.0f} Hz "
                f"by {given.policy}"
            )
        if said is not None:
            print(
                f"rated    {said.rating:.2f}: {said.reason} (quality {said.quality:.2f}; by the model of radio and "
                f"processors delay {said.delay_s:.1f} s, energy {100 * (said.energy_share or 0):.1f}% of the battery)"
            )
    else:
        print(f"alone, {outcome.own_steps} steps in {outcome.own_s:.1f} s: {outcome.reason}")
        if rate:
            print("not rated: no server has had a part in it")
        print(f"picture  {out}")
    if outcome.refused:  # not a server that is lost, but one that was not meant: a script must see it
        raise InvalidValueError("the server refuses this token: give its --token, or set NETDIFFUSE_TOKEN")
    return 0


def report_of(
    persona: str | None, battery: float, gain_db: float | None, frequency_ghz: float | None
) -> "Report | None":
    """What the device says of itself and of its user, refusing what no device is; None where there is nothing."""
    if persona is None and battery == 1 and gain_db is None and frequency_ghz is None:
        return None
    from pydantic import ValidationError

    from netdiffuse.common import InvalidValueError
    from netdiffuse.denoising.edge.messages import Report
    from netdiffuse.users import persona_table, preset

    wants = None if persona is None else tuple(persona_table([preset(persona)])[0].tolist())
    try:
        return Report(gain_db=gain_db, frequency_ghz=frequency_ghz, battery=battery, persona=persona, wants=wants)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = str(wrong["loc"][0]).replace("_", "-")
        raise InvalidValueError(f"--{option}: {wrong['msg']}, got {wrong['input']!r}") from error


def judged(outcome: "Outcome", prompt: str, persona: str, report: "Report | None", judge: str) -> "Opinion":
    """What a persona thinks of what the device measured."""
    from netdiffuse.denoising.edge.messages import Report
    from netdiffuse.denoising.study import make_judge
    from netdiffuse.problems.shared_denoising.experience import effort, opinion
    from netdiffuse.users import preset

    took = effort(outcome.grant, outcome.shared_steps, outcome.shared_steps + outcome.own_steps, report or Report())
    (quality,) = [0.0] if took.lost else make_judge(judge)([outcome.picture], [prompt])
    return opinion(preset(persona), prompt, quality, took.delay_s, took.energy_share, outcome.request_id)

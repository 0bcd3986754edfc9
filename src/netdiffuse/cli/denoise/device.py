"""`netdiffuse denoise device`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from netdiffuse.cli.arguments import AsJson, Count, File, Host, Model, Name, Number, Token, Type, Url
from netdiffuse.cli.denoise.measured import measure, refuse_where_none_are_kept, report_of, said_by
from netdiffuse.cli.denoise.models import DEFAULT, opened
from netdiffuse.cli.denoise.serve import token_of


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
        rate: tell the server what the --persona thinks of it, average unless told: of the picture as the judge sees it,
            of delay and energy as the model of radio, processor and battery has them. Where the server keeps ratings
            these three are printed in any case, as `netdiffuse denoise rate` takes them.
        judge: of the picture: classifier, which knows the words of the small model alone; or a CLIP model, by its name
            on a hub or a local folder.
        json: print what happened as JSON.
    """
    from contextlib import closing
    from dataclasses import asdict
    from json import dumps

    from netdiffuse.cli.output import console, working
    from netdiffuse.common import InvalidValueError, NetdiffuseError, checks
    from netdiffuse.common.addresses import check_free, check_url
    from netdiffuse.common.files import atomic_path, claim_unused
    from netdiffuse.denoising.edge.access import check_open, check_token

    if not prompt.strip():
        raise InvalidValueError("--prompt must say what to see, got nothing")
    if lead and server is not None:
        raise InvalidValueError("a device leads, or it has a --server, not both")
    if out is not None and out.exists():
        raise InvalidValueError(f"{out} already exists: choose another --out")
    if out is not None and out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise InvalidValueError(f"--out must end in .png, .jpg or .webp, got {out}")
    if rate and server is None:
        raise InvalidValueError("--rate needs the --server that is told")
    if server is not None:
        check_url("--server", server)
    token = token_of(token)
    if lead:
        checks.integer("port", port, maximum=65535)
        check_open(host, token)
        check_free(host, port)
    else:
        check_token(token)
    persona = persona or ("average" if rate else None)
    report = report_of(persona, battery, gain_db, frequency_ghz)
    if rate and server is not None:
        refuse_where_none_are_kept(server, token)
    errors = console(stderr=True)
    family = opened(model, dtype)
    from netdiffuse.denoising.device import Chain, EdgeDevice

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
    measured, said = None, None
    if outcome.source == "shared" and (rate or outcome.keeps_ratings):
        with working("looking at the picture"):
            measured = measure(outcome, prompt, report, judge)
    if rate and measured is not None:  # after the picture is safe: a rating may be refused
        assert persona is not None  # average unless told
        assert server is not None  # refused above
        from netdiffuse.denoising.calls import Caller

        try:
            said = said_by(persona, prompt, measured, outcome.request_id)
            with closing(Caller(server, token)) as caller:
                caller.rate(outcome.request_id, said)
        except NetdiffuseError as error:
            raise NetdiffuseError(f"{error}; the picture is at {out}") from error
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
        told["measured"] = None if measured is None else asdict(measured)
        told["opinion"] = None if said is None else said.model_dump()
        print(dumps(told, indent=2))
    elif outcome.source == "shared":
        print(
            f"the server did {_steps(outcome.shared_steps)} ({outcome.bytes_received:,} bytes; "
            f"{outcome.waited_s:.1f} s, with waiting for others), "
            f"this device {_steps(outcome.own_steps)} ({outcome.own_s:.1f} s)"
        )
        print(f"picture  {out}")
        print(f"request  {outcome.request_id}")
        if outcome.grant is not None:
            given = outcome.grant
            sent = f", {given.power_w:.4f} W, {given.bandwidth_hz:,.0f} Hz" if given.shared_steps else ""
            print(f"granted  {_steps(given.shared_steps, 'shared step')}{sent} by {given.policy}")
        if measured is not None:
            fault = "" if measured.fault is None else f"; no quality: {measured.fault}"
            print(f"measured {measured.options} (by the model of radio, processors and battery){fault}")
        if said is not None:
            print(f"rated    {said.rating:.2f} by {persona}: {said.reason}")
    else:
        print(f"alone, {_steps(outcome.own_steps)} in {outcome.own_s:.1f} s: {outcome.reason}")
        if rate:
            print("not rated: no server has had a part in it")
        print(f"picture  {out}")
    if outcome.refused:  # not a server that is lost, but one that was not meant: a script must see it
        raise InvalidValueError("the server refuses this token: give its --token, or set NETDIFFUSE_TOKEN")
    return 0


def _steps(n: int, what: str = "step") -> str:
    return f"{n or 'no'} {what}{'' if n == 1 else 's'}"

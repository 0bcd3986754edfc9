"""`netdiffuse denoise device`."""

from pathlib import Path
from typing import Literal

from netdiffuse.cli.arguments import AsJson, Count, Folder, Name
from netdiffuse.cli.denoise.models import DEFAULT, opened
from netdiffuse.cli.denoise.serve import token_of


def device(
    prompt: str,
    server: Name = None,
    model: str = DEFAULT,
    out: Folder = None,
    steps: int = 20,
    most_local_steps: Count = None,
    codec: Literal["exact", "fp16", "uint8", "int4"] = "exact",
    patience: float = 60.0,
    token: Name = None,
    lead: bool = False,
    host: str = "127.0.0.1",
    port: int = 8001,
    followers: int = 1,
    window: float = 60.0,
    dtype: str = "float32",
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
        json: print what happened as JSON.
    """
    from json import dumps

    from netdiffuse.common import InvalidValueError
    from netdiffuse.common.files import atomic_path, unused

    if not prompt.strip():
        raise InvalidValueError("--prompt must say what to see, got nothing")
    if lead and server is not None:
        raise InvalidValueError("a device leads, or it has a --server, not both")
    if out is None:
        out = unused(Path("picture.png"))
    elif out.exists():
        raise InvalidValueError(f"{out} already exists: choose another --out")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise InvalidValueError(f"--out must end in .png, .jpg or .webp, got {out}")
    family = opened(model, dtype)
    from netdiffuse.denoising.device import Chain, EdgeDevice

    token = token_of(token)
    if lead:
        from netdiffuse.cli.output import console
        from netdiffuse.denoising.embeddings import default_encoder
        from netdiffuse.denoising.peer import Gathering
        from netdiffuse.denoising.peer import lead as lead_others

        errors = console(stderr=True)
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
        )
        outcome = made.make(prompt)
        made.close()
    with atomic_path(out) as temporary:
        outcome.picture.save(temporary, format={".png": "PNG", ".webp": "WEBP"}.get(out.suffix.lower(), "JPEG"))
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
        )
        print(dumps({name: getattr(outcome, name) for name in names} | {"picture": str(out)}, indent=2))
    elif outcome.source == "shared":
        print(
            f"the server did {outcome.shared_steps} steps ({outcome.bytes_received:,} bytes, {outcome.waited_s:.1f} s)"
            f", this device {outcome.own_steps} ({outcome.own_s:.1f} s)"
        )
        print(f"picture  {out}")
    else:
        print(f"alone, {outcome.own_steps} steps in {outcome.own_s:.1f} s: {outcome.reason}")
        print(f"picture  {out}")
    if outcome.refused:  # not a server that is lost, but one that was not meant: a script must see it
        raise InvalidValueError("the server refuses this token: give its --token, or set NETDIFFUSE_TOKEN")
    return 0

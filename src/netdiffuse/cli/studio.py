"""`netdiffuse studio`."""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import tyro

from netdiffuse.cli.arguments import Host, Text, UsualFolder


def studio(
    port: int = 8080,
    runs: UsualFolder = Path("runs"),
    no_browser: bool = False,
    host: Host = "127.0.0.1",
    password: Text = None,
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME_OR_FOLDER", help_behavior_hint="")] = None,
) -> int:
    """Train, look inside, compare and denoise in a browser. What is trained goes on when it is closed.

    Args:
        port: where to listen.
        runs: folder of the runs, those from the command line among them.
        no_browser: open no browser.
        host: address to listen at; beyond this machine a password is needed.
        password: asked for in the browser; $NETDIFFUSE_PASSWORD unless told.
        model: of the denoising view, name on a hub or a local folder; the small model that netdiffuse ships unless
            told.
    """
    from netdiffuse.common import InvalidValueError
    from netdiffuse.common.addresses import check_free
    from netdiffuse.studio.server import check_address, serve

    password = password or os.environ.get("NETDIFFUSE_PASSWORD") or None
    check_address(host, port, password)
    check_free(host, port)
    if runs.exists() and not runs.is_dir():
        raise InvalidValueError(f"--runs {runs} is a file: name a folder")
    if not runs.exists():
        print(f"{runs} is not there yet, and is made", flush=True)
    shown = "localhost" if host in ("127.0.0.1", "::1") else host
    print(f"opening the studio on {runs} at http://{shown}:{port} (Ctrl-C closes it; trainings go on)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        serve(runs, host=host, port=port, password=password, show=not no_browser, model=model)
    print("the studio is closed; trainings go on", flush=True)
    return 0

"""`netdiffuse denoise serve`."""

import os
from contextlib import closing
from pathlib import Path
from typing import Literal

from netdiffuse.cli.arguments import Count, File, Folder, Host, Model, Name, NeededFile, Number, Token, Type, Url
from netdiffuse.cli.denoise.models import DEFAULT, named, opened, source_of

MOST_TOGETHER = 1000  # requests in a window


def token_of(given: str | None) -> str | None:
    """The token that was given, else that of the environment, where it is not empty."""
    from netdiffuse.denoising.edge.access import TOKEN_VARIABLE

    return given if given is not None else os.environ.get(TOKEN_VARIABLE) or None


def serve(
    model: Model = DEFAULT,
    host: Host = "127.0.0.1",
    port: int = 8000,
    steps: int = 20,
    scheduler: Name = None,
    window: float = 0.2,
    most_shared: float = 0.5,
    token: Token = None,
    journal: NeededFile = Path("runs/edge/journal.sqlite"),
    journal_mb: int = 1024,
    engine: Literal["local", "ray"] = "local",
    replicas: int = 2,
    ray_address: Url = None,
    dtype: Type = "float32",
    allocator: Folder = None,
    explore: Number = None,
    enough: Count = None,
    ratings: File = None,
) -> int:
    """Run an edge server: it does the shared steps of devices' requests once, and hands out the chains. Ctrl-C ends it.

    What it accepted is in its journal, on disk: a server that is killed goes on with it when it is started again.

    Args:
        model: name on a hub, or a local folder; the small model that netdiffuse ships unless told.
        host: address to listen at; beyond this machine only with a token.
        port: to listen at.
        steps: of a whole chain.
        scheduler: ddim, euler, euler-ancestral, dpm++, dpm++-karras, unipc or lcm; the model's own unless told.
        window: seconds that a first request waits for others to share with.
        most_shared: largest share of the steps that is shared, in [0, 1); a policy chooses by itself.
        token: that devices must show; the environment variable NETDIFFUSE_TOKEN unless told, which no list of processes
            shows.
        journal: file for the journal.
        journal_mb: megabytes of chain states in it, beyond which those that devices have fetched go first, and then new
            requests are sent away.
        engine: where shared steps run: in this process, or on denoisers of Ray Serve, on more than one machine.
        replicas: denoisers of Ray Serve.
        ray_address: of a running Ray cluster, or auto to find it; one on this machine is started unless told.
        dtype: float32, float16 or bfloat16; devices need the same.
        allocator: folder of a run on shared-denoising, whose policy chooses shared steps, power and bandwidth of each
            request; by the prompts' meaning alone unless told.
        explore: let the policy draw its decisions, and disturb them by Gaussian noise of this standard deviation (of
            coordinates from -1 to 1; 0.1, say), so that ratings tell of others too.
        enough: requests that a window does not wait beyond; with --allocator it takes no more either.
        ratings: file for what users say of their pictures; none is kept unless told.
    """
    from netdiffuse.cli.output import console
    from netdiffuse.common import InvalidValueError, checks
    from netdiffuse.common.addresses import check_free
    from netdiffuse.denoising.edge.access import check_open
    from netdiffuse.denoising.edge.lock import only_server

    token = token_of(token)
    checks.integer("port", port, minimum=0, maximum=65535)
    checks.integer("steps", steps)
    checks.integer("journal_mb", journal_mb)
    if enough is not None:
        checks.integer("enough", enough, maximum=MOST_TOGETHER)
    if explore is not None:
        checks.non_negative("explore", explore)
        if allocator is None:
            raise InvalidValueError("--explore disturbs a policy's decisions: give its run with --allocator RUN")
    if ratings is not None and ratings.resolve() == journal.resolve():
        raise InvalidValueError(f"--ratings and --journal are both {journal}: give each a file of its own")
    check_open(host, token)
    check_free(host, port)
    with only_server(journal):
        family = opened(model, dtype)
        import uvicorn

        from netdiffuse.denoising.edge.allocator import Allocator, ByMeaning
        from netdiffuse.denoising.edge.engine import Engine, LocalEngine, card_of
        from netdiffuse.denoising.edge.journal import Journal
        from netdiffuse.denoising.edge.ratings import RatingStore
        from netdiffuse.denoising.edge.server import ServerSettings, make_server
        from netdiffuse.denoising.embeddings import default_encoder
        from netdiffuse.denoising.planner import SharingRule

        out = console(stderr=True)
        deciding: Allocator = ByMeaning(default_encoder(), SharingRule(most=most_shared))
        check = None
        if allocator is not None:
            from netdiffuse.experiments import load
            from netdiffuse.experiments.allocation import make_allocator

            deciding = make_allocator(load(allocator), default_encoder(), explore)
            check = deciding.check
            if ratings is not None and not deciding.settings.show_personas:
                out.print("ratings cannot be learned from: the policy does not see who the users are", soft_wrap=True)
            users, how = deciding.settings.users, "" if explore is None else f", disturbed by {explore:g} to explore"
            out.print(f"the policy {deciding.version} decides{how}; it was trained for {users} users", soft_wrap=True)
        made: Engine
        if engine == "ray":
            from netdiffuse.denoising.edge.ray_engine import RayEngine

            card = card_of(family, steps, scheduler)
            made = RayEngine(source_of(model), deciding, card, replicas, dtype, ray_address)
        else:
            made = LocalEngine.of(family, deciding, steps, scheduler)
        most = ServerSettings.most_in_window
        if enough is not None:  # a policy's sessions are of so many users; others may well be more
            most = enough if allocator is not None else max(most, enough)
        settings = ServerSettings(window_s=window, most_in_window=most, enough_in_window=enough, token=token)
        store = None if ratings is None else RatingStore(ratings)
        kept = "" if ratings is None else f", ratings {ratings}"
        wait = f"windows of {window:g} s" + ("" if enough is None else f" or {enough} requests")
        out.print(
            f"{named(model)} ({family.name}, revision {family.revision}), {steps} steps, {wait}, "
            f"at http://{host}:{port}, journal {journal}{kept}; Ctrl-C ends it",
            soft_wrap=True,
        )
        with closing(made):
            app = make_server(made, Journal(journal, journal_mb * 10**6), settings, store, check)
            uvicorn.run(app, host=host, port=port, log_level="info", timeout_graceful_shutdown=60)
    return 0

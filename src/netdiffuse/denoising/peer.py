"""Device to device, without a server: one device leads, and others join it."""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from netdiffuse.common import NetdiffuseError, checks
from netdiffuse.denoising.device import Chain, EdgeDevice, Outcome, Progress
from netdiffuse.denoising.edge.access import check_open
from netdiffuse.denoising.edge.allocator import ByMeaning
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.embeddings import PromptEncoder
from netdiffuse.denoising.families import Family
from netdiffuse.denoising.planner import SharingRule


class PeerError(NetdiffuseError):
    """A leading device that others cannot reach."""


@dataclass(frozen=True)
class Gathering:
    """How a leading device is joined.

    Attributes:
        host, port: where it listens.
        window_s: how long it waits for others before it begins, at most, in seconds.
        linger_s: how long, after it has its own picture, it lets others fetch their chains, in seconds.
        followers: others that it waits for: it begins as soon as so many have joined, and ends once so many have
            fetched their chains; 0 to wait for nobody.
        token: that others must show; needed where `host` is open to other machines.

    Raises:
        InvalidValueError: a number outside its range, a host open to others without a token, or a token that is none.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    window_s: float = 60.0
    linger_s: float = 30.0
    followers: int = 1
    token: str | None = None

    def __post_init__(self) -> None:
        checks.integer("port", self.port, maximum=65535)
        checks.non_negative("window_s", self.window_s)
        checks.non_negative("linger_s", self.linger_s)
        checks.integer("followers", self.followers, minimum=0)
        check_open(self.host, self.token)


def lead(
    model: Family,
    prompt: str,
    encoder: PromptEncoder,
    *,
    chain: Chain | None = None,
    gathering: Gathering | None = None,
    rule: SharingRule | None = None,
    progress: Progress | None = None,
    listening: Callable[[str], None] | None = None,
) -> Outcome:
    """Make a picture, and let others share its first steps: they see this device as an edge server.

    Its own prompt leads whatever it shares; others that have more in common with each other share among themselves.

    Args:
        model: of this device.
        prompt: what to see.
        encoder: tells how alike two prompts are.
        chain: its kind of chain.
        gathering: how it is joined.
        rule: how much may be shared.
        progress: told how far its own steps are.
        listening: told the address, once others can join.

    Raises:
        PeerError: it cannot listen at its address.
    """
    chain, gathering = chain or Chain(), gathering or Gathering()
    own_id = uuid.uuid4().hex
    engine = LocalEngine.of(
        model,
        ByMeaning(encoder, rule, leader_id=own_id),
        chain.steps,
        chain.scheduler,
        chain.guidance_scale,
    )
    settings = ServerSettings(
        window_s=gathering.window_s, enough_in_window=gathering.followers + 1, token=gathering.token
    )
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        app = make_server(engine, journal, settings)
        config = uvicorn.Config(app, host=gathering.host, port=gathering.port, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=_run, args=(server,), daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise PeerError(f"cannot listen at {gathering.host}:{gathering.port}: is it in use?")
            time.sleep(0.02)
        url = f"http://{gathering.host}:{gathering.port}"
        if listening is not None:
            listening(url)
        device = EdgeDevice(model, url, token=gathering.token, alone=chain)
        try:
            outcome = device.make(prompt, request_id=own_id, progress=progress)
            end = time.monotonic() + gathering.linger_s
            while time.monotonic() < end and not _served(journal, gathering.followers + 1):
                time.sleep(0.05)
        finally:
            device.close()
            server.should_exit = True
            thread.join(10)
        return outcome


def _run(server: uvicorn.Server) -> None:
    with suppress(SystemExit):  # how uvicorn says that an address is taken
        server.run()


def _served(journal: Journal, least: int) -> bool:
    """Whether so many requests, and all that came, have been fetched."""
    return journal.uncollected() == 0 and journal.collected() >= least

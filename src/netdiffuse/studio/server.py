"""Opens the studio: a web server on the runs folder."""

import os
import secrets
import signal
import sys
from pathlib import Path

from netdiffuse.common import InvalidValueError, MissingExtraError, UnsupportedError, checks
from netdiffuse.common.files import write_text

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT = 8080


def check_address(host: str, port: int, password: str | None) -> None:
    """Refuse an address that cannot be served, or one that would be open to everybody.

    Raises:
        InvalidValueError: a port that is none, or no password where others can reach the page.
    """
    checks.integer("port", port, maximum=65_535)
    if host not in LOOPBACK and not password:
        raise InvalidValueError(
            f"--host {host} opens the studio to others, who could run programs through it: give a --password"
        )


def serve(
    root: Path,
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    password: str | None = None,
    show: bool = True,
    model: str | None = None,
) -> None:
    """Serve the page until the process is stopped. Trainings go on without it.

    Args:
        root: the runs folder; made where it is missing.
        host: address to listen at.
        port: likewise.
        password: that is asked for; needed beyond loopback.
        show: open a browser.
        model: of the denoising view, a name on a hub or a folder; the small model that netdiffuse ships unless told.

    Raises:
        InvalidValueError: as `check_address`.
        MissingExtraError: the extra [studio] is not installed.
        UnsupportedError: on Windows, which lacks the file locks by which trainings are found again.
    """
    check_address(host, port, password)
    if sys.platform == "win32":
        raise UnsupportedError("the studio needs file locks as Linux and macOS have them: use the command line")
    own = root / ".studio"
    own.mkdir(parents=True, exist_ok=True)
    os.environ["NICEGUI_STORAGE_PATH"] = str(own / "browsers")  # read when it is imported
    try:
        from nicegui import ui
    except ImportError as error:
        raise MissingExtraError("the studio", "studio") from error
    from netdiffuse.studio.access import guard
    from netdiffuse.studio.state import Studio
    from netdiffuse.studio.views import compare, denoise, inside, train, users

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell: trainings must still stop
        signal.signal(signal.SIGINT, signal.default_int_handler)
    studio = Studio(root, model)
    guard(password, local=host in LOOPBACK)
    for view in (train, inside, compare, denoise, users):
        view.pages(studio)
    studio.watch()
    ui.run(
        host=host,
        port=port,
        title="netdiffuse studio",
        show=show,
        reload=False,
        storage_secret=_secret(own / "secret"),
        favicon="〰️",
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )


def _secret(path: Path) -> str:
    """What cookies are signed with: kept, so that a browser keeps its theme when the studio is started again."""
    if not path.is_file():
        write_text(path, secrets.token_urlsafe(32))
        path.chmod(0o600)
    return path.read_text(encoding="utf-8")

"""Who may use the page: nobody without the password, and on this machine nobody through another name."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from nicegui import app, ui
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from netdiffuse.studio.frame import look

OPEN = ("/login", "/_nicegui")  # the page that asks, and the parts that pages are made of
WAIT_S = 1.0  # after a wrong password


def guard(password: str | None, local: bool) -> None:
    """Ask for the password before any page.

    Args:
        password: None for none.
        local: only this machine can reach the page: then a web site cannot either, by a name that leads here.
    """
    if local and password is None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", "[", "::1"])
    if password is None:
        return

    async def ask_first(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        known = app.storage.user.get("known") == password_mark(password)
        if known or request.url.path.startswith(OPEN):
            return await go_on(request)
        return RedirectResponse("/login")

    app.add_middleware(BaseHTTPMiddleware, dispatch=ask_first)

    @ui.page("/login")
    def login() -> None:
        look("Log in")

        async def enter() -> None:
            if secrets.compare_digest(str(entry.value).encode(), password.encode()):
                app.storage.user["known"] = password_mark(password)
                ui.navigate.to("/")
                return
            await asyncio.sleep(WAIT_S)
            entry.error = "that is not the password"

        with ui.card().classes("absolute-center w-80 items-stretch"):
            ui.label("netdiffuse studio").classes("text-h6")
            entry = ui.input("Password", password=True).on("keydown.enter", enter)
            ui.button("Log in", on_click=enter, color="accent")


def password_mark(password: str) -> str:
    """What a browser that knew the password is remembered by: another password makes it a stranger again."""
    import hashlib

    return hashlib.sha256(f"netdiffuse studio {password}".encode()).hexdigest()

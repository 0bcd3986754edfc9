"""Who may use the page: nobody without the password, and on this machine nobody through another name."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from nicegui import app, ui
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from netdiffuse.studio.frame import look
from netdiffuse.studio.password import Password

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

    right = Password(password, WAIT_S)

    async def ask_first(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        known = right.knows(app.storage.user.get("known"))
        if known or request.url.path.startswith(OPEN):
            return await go_on(request)
        return RedirectResponse("/login")

    app.add_middleware(BaseHTTPMiddleware, dispatch=ask_first)

    @ui.page("/login")
    def login() -> None:
        look("Log in")

        async def enter() -> None:
            if await right.fits(str(entry.value)):
                app.storage.user["known"] = right.mark
                ui.navigate.to("/")
                return
            entry.error = "that is not the password"

        with ui.card().classes("absolute-center w-80 items-stretch"):
            ui.label("netdiffuse studio").classes("text-h6")
            entry = ui.input("Password", password=True).on("keydown.enter", enter)
            ui.button("Log in", on_click=enter, color="accent")

"""A card that watches an edge server: an address, a token, a switch, and what the server says."""

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nicegui import ui

from netdiffuse.common import MissingExtraError, NetdiffuseError
from netdiffuse.studio.frame import card
from netdiffuse.studio.newest import Newest

WATCH_S = 2.0
Found = TypeVar("Found")


def watch_card(title: str, ask: Callable[[str, str], Awaitable[Found]], draw: Callable[[Found], None]) -> None:
    """Show a card that asks every other second while its switch is on.

    Args:
        title: of the card.
        ask: what to ask, given address and token; raises a `NetdiffuseError` that is shown in its place.
        draw: draws the answer.
    """
    with card(title):
        url = ui.input("Address", value="http://localhost:8000").props("dense").classes("w-full")
        token = ui.input("Token, if it wants one", password=True).props("dense").classes("w-full")
        watch = ui.switch("Watch")
        state = ui.column().classes("w-full gap-1")
    newest = Newest()

    async def tick() -> None:
        wanted = newest.ask()
        try:
            if importlib.util.find_spec("prometheus_client") is None:
                raise MissingExtraError("watching an edge server", "denoising")
            found = await ask(str(url.value), str(token.value or ""))
        except NetdiffuseError as error:
            if wanted():
                state.clear()
                with state:
                    ui.label(str(error)).classes("text-negative").props('role="alert"')
            return
        if wanted():  # else another address was typed, or it is watched no more
            state.clear()
            with state:
                draw(found)

    timer = ui.timer(WATCH_S, tick, active=False)

    def change() -> None:
        newest.ask()
        timer.active = bool(watch.value)
        if not watch.value:
            state.clear()

    watch.on_value_change(change)
    url.on_value_change(lambda: newest.ask())

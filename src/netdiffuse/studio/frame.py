"""What every page has: its look, the way to the other pages, and the lines that repeat it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nicegui import app, ui

from netdiffuse.studio.repeat import Lines

VIEWS = {"/": "Train", "/inside": "Look inside", "/compare": "Compare", "/denoise": "Denoise", "/users": "Users"}
STATES = {
    "running": "#0072B2",
    "starting": "#0072B2",
    "evaluating": "#0072B2",
    "finished": "#00704F",
    "stopping": "#8A5A00",
    "stopping at once": "#8A5A00",
    "stopped": "#8A5A00",
    "paused": "#8A5A00",
    "damaged": "#B3261E",
    "waits": "#5F5F5F",
}
CSS = """
:root { --ink: #1b1f24; --muted: #5b636e; --line: #d9dde3; --surface: #ffffff; --ground: #f5f6f8; --accent: #00609a;
  --bad: #b3261e; }
.body--dark { --ink: #e8eaed; --muted: #aeb6c1; --line: #3a414b; --surface: #1e2329; --ground: #14181d;
  --accent: #7cc4f4; --bad: #ff9d94; --q-primary: #7cc4f4 !important; --q-negative: #ff9d94 !important; }
body, .body--dark.q-dark { background: var(--ground); color: var(--ink); }
.nicegui-content { padding: 16px; gap: 16px; max-width: 1680px; margin: 0 auto; align-items: stretch; }
.q-header { background: var(--surface) !important; color: var(--ink) !important; border-bottom: 1px solid var(--line); }
.q-card { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; box-shadow: none !important; }
.nd-nav { color: var(--muted); text-decoration: none; padding: 6px 12px; border-radius: 8px; font-weight: 500; }
.nd-nav:hover { background: var(--ground); color: var(--ink); }
.nd-nav[aria-current=page] { color: var(--accent); background: var(--ground); }
.nd-title { font-size: 15px; font-weight: 600; }
.nd-muted { color: var(--muted); font-size: 13px; }
.nd-tile { min-width: 84px; flex: 1 0 auto; }
.nd-tile .value { font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.2; }
.nd-tile .name { color: var(--muted); font-size: 12.5px; }
.nd-state { color: #fff; border-radius: 999px; padding: 1px 10px; font-size: 12.5px; white-space: nowrap; }
.nd-pick { color: var(--accent); text-align: left; text-decoration: underline; }
.nicegui-echart { color: var(--ink); min-height: 120px; }
.nicegui-echart text { fill: var(--ink); }
.body--dark .nicegui-echart path[stroke="#0072B2"] { stroke: #56B4E9; }
.body--dark .nicegui-echart path[fill="#0072B2"] { fill: #56B4E9; }
.q-field__messages { line-height: 1.3 !important; color: var(--muted); }
.q-field--error .q-field__messages, .q-field--error .q-field__label { color: var(--bad); }
.q-field__label, .q-field__bottom { color: var(--muted); opacity: 1; }
.q-placeholder::placeholder { color: var(--muted); opacity: 1 !important; }
.q-table th { color: var(--muted); font-weight: 600; font-size: 12.5px; }
.q-table { font-variant-numeric: tabular-nums; }
.q-btn { text-transform: none; }
.nicegui-code pre, .nicegui-code code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
/* what is pressed while the connection is lost would be forgotten */
body:has(#popup[aria-hidden="false"]) .q-btn { pointer-events: none; opacity: 0.4; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.nd-picture { border-radius: 6px; border: 3px solid transparent; image-rendering: auto; display: block; width: 100%; }
@media (max-width: 700px) { .nicegui-content { padding: 8px; gap: 8px; } .nd-root { display: none; }
  .nd-theme { position: absolute; top: 4px; right: 8px; } }
"""


def look(title: str) -> ui.dark_mode:
    """The title, the style and the theme of a page."""
    ui.page_title(f"{title} · netdiffuse studio")
    ui.add_head_html('<meta name="color-scheme" content="light dark">')
    ui.add_css(CSS)
    ui.colors(primary="#00609a", accent="#00609a", negative="#B3261E", dark="#1e2329", dark_page="#14181d")
    return ui.dark_mode(app.storage.user.get("dark"))


@contextmanager
def page(path: str, root: str) -> Iterator[None]:
    """A page with its header.

    Args:
        path: of the view, a key of `VIEWS`.
        root: the runs folder, which is shown.
    """
    dark = look(VIEWS[path])

    async def change() -> None:
        is_dark = await ui.run_javascript("document.body.classList.contains('body--dark')")
        dark.value = app.storage.user["dark"] = not is_dark

    with ui.header().classes("items-center q-py-xs q-px-md gap-1"):
        ui.label("netdiffuse studio").classes("text-subtitle1 text-weight-bold q-mr-md")
        with ui.element("nav").classes("row gap-1").props('aria-label="Views"'):
            for to, name in VIEWS.items():
                link = ui.link(name, to).classes("nd-nav", remove="nicegui-link")
                if to == path:
                    link.props('aria-current="page"')
        ui.space()
        ui.label(root).classes("nd-muted nd-root").tooltip("the runs folder")
        theme = ui.button(icon="contrast", on_click=change).classes("nd-theme")
        theme.props('flat round dense color=inherit aria-label="Light or dark"')
    yield


@contextmanager
def card(title: str) -> Iterator[ui.row]:
    """A card with a title; yields the row of the title, for what belongs beside it."""
    with ui.card().classes("w-full q-pa-md gap-2 items-stretch"):
        with ui.row().classes("w-full items-center gap-2") as row:
            ui.label(title).classes("nd-title").props('role="heading" aria-level="2"')
        yield row


def tile(name: str, meaning: str = "") -> ui.label:
    """A number with its name below; returns the number."""
    return named_tile(name, meaning)[0]


def named_tile(name: str, meaning: str = "") -> tuple[ui.label, ui.label]:
    """A number with its name below, and what it means for who points at it; returns both."""
    with ui.column().classes("nd-tile gap-0") as place:
        if meaning:
            place.tooltip(meaning)
        return ui.label("–").classes("value"), ui.label(name).classes("name")


def describe(element: ui.element, text: str, attribute: str = "aria-label") -> None:
    """Give an element words for those who do not see it; any words, as they were typed.

    In a text of `props`, a quotation mark would end them.
    """
    if element.props.get(attribute) != text:
        element.props[attribute] = text
        element.update()


def chart(height: str = "300px") -> ui.echart:
    """An empty chart: as SVG, so that its words take the page's colours."""
    return ui.echart({"series": []}, renderer="svg").classes("w-full").style(f"height: {height}")


def show(element: ui.echart, options: dict[str, object], described: str) -> None:
    """Draw a chart anew, if it has changed."""
    if element.options != options:
        element.options.clear()
        element.options.update(options)
        element.update()
    element.props["role"] = "img"
    describe(element, described)


def repeat_button(lines: Callable[[], Lines | None]) -> None:
    """A button that shows the exact lines which repeat what is on the page."""

    def open_() -> None:
        found = lines()
        if found is None:
            return
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full gap-2").style("max-width: 780px"):
            for name, text, language in (
                ("As Python", found.python, "python"),
                ("As a command", found.command, "bash"),
            ):
                ui.label(name).classes("nd-title")
                ui.code(text, language=language).classes("w-full")
            ui.button("Close", on_click=dialog.close).props("flat").classes("self-end")
        dialog.on("hide", dialog.delete)

    ui.button("As Python, as a command", icon="code", on_click=open_).props("flat dense")


def state_badge(state: str) -> ui.label:
    """A run's state as a coloured word."""
    return ui.label(state).classes("nd-state").style(f"background: {STATES[state]}")


def said(error: object) -> None:
    """Tell what went wrong."""
    ui.notify(str(error), type="negative", multi_line=True, close_button="Close", timeout=8000)

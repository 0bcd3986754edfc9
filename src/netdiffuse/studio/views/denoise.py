"""Denoise: prompts share the first steps of a chain, which is handed over a link; step by step, against unsplit."""

from typing import TYPE_CHECKING, Any

from nicegui import run, ui

from netdiffuse.common import InvalidValueError, NetdiffuseError
from netdiffuse.studio.frame import card, describe, page, repeat_button, said, tile
from netdiffuse.studio.repeat import Lines
from netdiffuse.studio.split import EXACT, Member, Shown, Wish, open_models, prompts_in, split_chain, users
from netdiffuse.studio.state import Studio
from netdiffuse.studio.views.watching import watch_card

if TYPE_CHECKING:
    from netdiffuse.studio.edge import EdgeState

CODECS = (EXACT, "fp16", "uint8", "int4")
PROMPTS = "an apple on a table\na lemon on a table\na red bird near a river"
SHARED, OWN = "#0072B2", "#E69F00"  # frames of shared pictures and of each user's own, as in `grid`


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/denoise")
    def denoise() -> None:
        with page("/denoise", str(studio.shown)), ui.row().classes("w-full gap-4 items-start"):
            with ui.column().classes("gap-4").style("flex: 1 1 300px; max-width: 380px; min-width: 0"):
                form = _Form(studio.model or "default")
                watch_card("Edge server", _state, _draw_state)
            with ui.column().classes("gap-4").style("flex: 3 1 520px; min-width: 0"):
                form.results = _Results()


class _Form:
    """What is asked for."""

    results: "_Results"

    def __init__(self, model: str) -> None:
        with card("Split chain") as title:
            with title:
                ui.space()
                repeat_button(self._lines)
            self.prompts = ui.textarea("Prompts, one a user and line", value=PROMPTS)
            self.prompts.props("autogrow dense hide-bottom-space").classes("w-full")
            self.by_meaning = ui.switch("Choose shared steps by meaning", value=True)
            with ui.row().classes("w-full no-wrap gap-3"):
                self.steps = _number("Steps", 11)
                self.shared = _number("Shared steps k", 5)
                self.seed = _number("Seed", 0)
            with ui.row().classes("w-full no-wrap gap-3"):
                self.codec = ui.select(list(CODECS), label="Codec", value=EXACT).props("dense").classes("col")
                self.rate = _number("Bit error rate", 0, step=0.01)
            self.model = ui.input("Model", value=model).props("dense hide-bottom-space").classes("w-full")
            self.model.props('hint="default is the small one that comes along; or a name on a hub, or a folder"')
            self.trouble = ui.label().classes("text-negative").props('role="alert"')
            self.trouble.set_visibility(False)
            with ui.row().classes("self-end items-center gap-3"):
                self.opening = ui.label("opening the model").classes("nd-muted").props('role="status"')
                self.opening.set_visibility(False)
                self.button = ui.button("Denoise", icon="auto_awesome", on_click=self._go, color="accent")
        for field in (self.prompts, self.by_meaning, self.steps, self.shared, self.seed, self.codec, self.rate):
            field.on_value_change(self._changed)
        self.model.on_value_change(self._changed)
        self._open()

    def _open(self) -> None:
        """Let those fields be filled in that count, and say why others do not."""
        _closed(self.shared, "chosen by meaning" if self.by_meaning.value else None)
        _closed(self.rate, "an exact hand-off has none" if self.codec.value == EXACT else None)

    def _changed(self) -> None:
        self._open()
        self._has_changed = True
        self.results.outdated(True)

    def _wish(self) -> Wish:
        exact = self.codec.value == EXACT
        return Wish(
            prompts_in(self.prompts.value or ""),
            _whole(self.steps),
            None if self.by_meaning.value else _whole(self.shared),
            (self.model.value or "default").strip(),
            str(self.codec.value),
            0.0 if exact else _filled(self.rate),
            _whole(self.seed),
        )

    def _lines(self) -> Lines | None:
        try:
            return self._wish().lines()
        except NetdiffuseError as error:
            said(error)
            return None

    async def _go(self) -> None:
        self.trouble.set_visibility(False)
        self.button.props("loading")
        self._has_changed = False
        shown, trouble = None, ""
        try:
            wish = self._wish()
            self.opening.set_visibility(True)  # the first time, for some seconds
            await run.io_bound(open_models, wish)
            if self.button.is_deleted:  # whoever asked has left the page
                return
            self.opening.set_visibility(False)
            shown = await run.io_bound(split_chain, wish)
        except (NetdiffuseError, OSError) as error:
            trouble = str(error)
        finally:
            if not self.button.is_deleted:
                self.opening.set_visibility(False)
                self.button.props(remove="loading")
        if self.button.is_deleted:  # whoever asked has left the page
            return
        if shown is not None:
            self.results.show(shown)
            self.results.outdated(self._has_changed)  # meanwhile
        self.trouble.text = trouble
        self.trouble.set_visibility(bool(trouble))


class _Results:
    """Each user's chain at the step of the slider, beside what they would have made alone."""

    def __init__(self) -> None:
        self.pictures: list[ui.image] = []
        with card("Shared, handed over, finished"):
            self.old = ui.label("The form has changed since: press Denoise again.").props('role="status"')
            self.old.classes("nd-muted").set_visibility(False)
            self.place = ui.column().classes("w-full gap-3")
        with self.place:
            ui.label("Type prompts and press Denoise: those that are alike share their first steps.").classes(
                "nd-muted"
            )

    def outdated(self, value: bool) -> None:
        """Whether what is shown, if anything is, was asked for otherwise than the form stands now."""
        self.old.set_visibility(value and bool(self.pictures))

    def show(self, shown: Shown) -> None:
        """Show what was found."""
        self.shown = shown
        self.place.clear()
        with self.place:
            with ui.row().classes("w-full gap-x-4"):
                tile("steps saved").text = f"{shown.saved_percent:.1f}%"
                tile("shared steps").text = str(shown.server_steps)
                tile("steps of the users").text = str(shown.device_steps)
                tile("sent").text = "exact" if shown.bits_sent is None else f"{shown.bits_sent / 8000:.1f} kB"
                tile("wrong bits").text = f"{shown.wrong_bits:,}"
            sharing = "; ".join(_words(*group) for group in shown.groups) or "nobody shares a step"
            ui.label(f"{sharing}. Blue frames are shared, orange ones each user's own.").classes("nd-muted")
            with ui.row().classes("w-full items-center no-wrap gap-3"):
                self.word = ui.label().classes("nd-muted").style("min-width: 92px")
                self.slider = ui.slider(min=0, max=len(shown.at) - 1, step=1, value=len(shown.at) - 1)
                self.slider.on_value_change(self._draw).props('snap markers aria-label="Denoising step"').classes("col")
            self._strips()
            self.pictures = []
            self.stages: list[ui.label] = []
            columns = "display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 16px"
            with ui.element("div").classes("w-full").style(columns):
                for number, member in enumerate(shown.members):
                    with ui.column().classes("gap-1 w-full"):
                        ui.label(f"{number + 1}. {member.prompt}").classes("nd-title")
                        with ui.row().classes("w-full no-wrap gap-2"):
                            with ui.column().classes("col gap-1"):
                                self.pictures.append(ui.image(member.pictures[-1]).classes("nd-picture"))
                                self.stages.append(ui.label().classes("nd-muted"))
                            with ui.column().classes("col gap-1"):
                                describe(ui.image(member.alone).classes("nd-picture"), f"{member.prompt}, alone", "alt")
                                ui.label("alone").classes("nd-muted")
                        near = "equal" if member.psnr_db is None else f"PSNR {member.psnr_db:.1f} dB"
                        ui.label(f"to alone: {near}, SSIM {member.ssim:.3f}, MSE {member.mse:.4f}").classes("nd-muted")
        self._draw()

    def _strips(self) -> None:
        """Every step of every user in small: blue frames are shared steps, orange ones the user's own."""
        shown = self.shown
        columns = f"display: grid; grid-template-columns: repeat({len(shown.at)}, minmax(0, 1fr)); gap: 4px"
        for member in shown.members:
            with ui.element("div").classes("w-full").style(columns):
                for step, picture in zip(shown.at, member.pictures, strict=True):
                    small = ui.image(picture).classes("nd-picture")
                    small.tooltip(f"{member.prompt}, step {step}")
                    describe(small, f"{member.prompt}, step {step}", "alt")
                    small.style(f"border-color: {_ink(step, member)}; border-width: 2px; border-radius: 4px")

    def _draw(self) -> None:
        place = int(self.slider.value)
        step = self.shown.at[place]
        self.word.text = f"step {step} of {self.shown.steps}"
        for member, picture, stage in zip(self.shown.members, self.pictures, self.stages, strict=True):
            shared = step <= member.shared and member.shared > 0
            picture.set_source(member.pictures[place])
            picture.style(f"border-color: {_ink(step, member)}")
            describe(picture, f"{member.prompt}, step {step}", "alt")
            stage.text = "hand-off" if shared and step == member.shared else "shared" if shared else "own steps"


def _words(members: tuple[int, ...], steps: int, start: int) -> str:
    """Who shares how many steps, and after which."""
    return f"then users {users(members)} {steps} more" if start else f"users {users(members)} share {steps} steps"


def _ink(step: int, member: Member) -> str:
    return SHARED if member.shared > 0 and step <= member.shared else OWN


async def _state(url: str, token: str) -> "EdgeState":
    from netdiffuse.studio.edge import ask_edge

    return await ask_edge(url, token)


def _draw_state(found: "EdgeState") -> None:
    ui.label(found.model).classes("nd-muted")
    with ui.row().classes("w-full gap-x-4"):
        for name, value in found.counters.items():
            tile(name).text = f"{value:,.0f}"


def _filled(field: Any) -> float:
    """What stands in a field of numbers.

    Raises:
        InvalidValueError: nothing, or what the browser could not read as a number.
    """
    if field.value is None:
        raise InvalidValueError(f"{field.props['label']}: give a number")
    return float(field.value)


def _whole(field: Any) -> int:
    """What stands in a field of whole numbers.

    Raises:
        InvalidValueError: as above, or a fraction.
    """
    number = _filled(field)
    if not number.is_integer():
        raise InvalidValueError(f"{field.props['label']}: give a whole number, got {number:g}")
    return int(number)


def _closed(field: Any, why: str | None) -> None:
    """Close a field, with a reason, or open it."""
    field.set_enabled(why is None)
    field.props(f'hint="{why or ""}"')


def _number(label: str, value: float, step: float = 1) -> Any:
    """A field of numbers; without bounds, for it would change what was typed to the nearest one without a word."""
    return ui.number(label, value=value, step=step).props("dense hide-bottom-space").classes("col")

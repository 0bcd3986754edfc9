"""Look inside: the denoising of a decision, step by step, on the problem's own picture; contexts can be changed."""

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import ui

from netdiffuse.common import NetdiffuseError
from netdiffuse.studio.charts import bars_chart
from netdiffuse.studio.frame import card, chart, describe, page, repeat_button, said, show, tile
from netdiffuse.studio.inside import Inside, Look, has_picture, no_picture
from netdiffuse.studio.newest import Newest
from netdiffuse.studio.repeat import Lines, decision_lines
from netdiffuse.studio.state import Studio

MOST_SLIDERS = 12  # entries of a context that have one each; of more, one is chosen
REACH = 2.0  # how far a slider goes, in the largest entry of the context that was drawn
PLAY_S = 0.6  # a step of the chain, when it is played


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/inside")
    async def inside(run: str = "") -> None:
        with page("/inside", str(studio.shown)):
            opened = [r for r in studio.records if r.config is not None and (r.path / "checkpoint").is_dir()]
            usable = [r.name for r in opened if r.config is not None and has_picture(r.config)]
            without = next((r.config for r in opened if r.name == run and run not in usable), None)
            with card("Decision") as title:
                with title:
                    ui.space()
                    choice = ui.select(usable, label="Run", value=run if run in usable else None, with_input=True)
                    choice.props("dense outlined").classes("w-72")
                place = ui.column().classes("w-full")
            newest = Newest()
            with place:
                if without is not None:  # a link led here
                    ui.label(no_picture(without)).classes("nd-muted")
                elif not usable:
                    told = "There is no run with a checkpoint yet that one could look into: train one first."
                    ui.label(told).classes("nd-muted")

            async def open_() -> None:
                wanted, name = newest.ask(), choice.value
                place.clear()
                if not name:
                    return
                ui.navigate.history.replace(f"/inside?run={quote(name)}")
                with place:
                    spinner = ui.spinner(size="lg").props('aria-label="Opening the run"')
                record = studio.record(name)
                found, trouble = None, ""
                try:
                    found = None if record is None else await studio.inside(record)
                except (NetdiffuseError, OSError) as error:
                    trouble = str(error)
                if not wanted():  # another run was chosen meanwhile, and has cleared the place
                    return
                spinner.delete()
                with place:
                    if trouble:
                        ui.label(trouble).classes("text-negative").props('role="alert"')
                    if found is not None:
                        _Picture(found, name, studio.shown / name)

            choice.on_value_change(open_)
            if usable and choice.value is None and without is None:
                choice.value = usable[0]  # opens it
            elif choice.value is not None:
                await ui.context.client.connected()
                await open_()


class _Picture:
    """A context, the chain, and what is decided."""

    def __init__(self, inside: Inside, name: str, shown: Path) -> None:
        self.inside, self.name, self.shown = inside, name, shown
        self.context_seed, self.noise_seed = 0, 0
        self.context: list[float] = inside.sample(self.context_seed)
        self.look: Look | None = None
        self._reach = REACH * max(self.context)
        with ui.row().classes("w-full items-center gap-4"):
            ui.button("Another context", icon="casino", on_click=self._resample).props("flat dense")
            ui.button("Other noise", icon="grain", on_click=self._renoise).props("flat dense")
            self.deterministic = ui.switch("Deterministic", value=True, on_change=self._decide)
            self.deterministic.tooltip("the chain that starts at zero, as `decide` takes it; else one from drawn noise")
            ui.space()
            repeat_button(self._lines)
        with ui.row().classes("w-full gap-4 items-start"):
            with ui.column().classes("gap-2").style("flex: 3 1 460px; min-width: 0"):
                with ui.row().classes("w-full gap-x-6"):
                    self._utility, self._share = tile("utility"), tile("of the reference")
                    self._at = ui.label().classes("nd-muted self-center")
                self.chart = chart("330px")
                with ui.row().classes("w-full items-center no-wrap gap-3"):
                    self.play = ui.button(icon="play_arrow", on_click=self._play)
                    self.play.props('flat round dense aria-label="Play the chain"')
                    self._step = ui.label().classes("nd-muted").style("min-width: 108px")
                    self.slider = ui.slider(min=0, max=1, step=1, on_change=self._draw)
                    self.slider.props('snap markers aria-label="Denoising step"').classes("col q-mr-md")
            with ui.column().classes("gap-1").style("flex: 1 1 260px; min-width: 0"):
                ui.label("Context: drag to change it").classes("nd-title")
                self._sliders = ui.column().classes("w-full gap-0")
        self._draw_sliders()
        self._decide(last=True)
        self._timer = ui.timer(PLAY_S, self._advance, active=False)

    def _resample(self) -> None:
        self.context_seed += 1
        self.context = self.inside.sample(self.context_seed)
        self._reach = REACH * max(self.context)
        self._draw_sliders()
        self._decide()

    def _renoise(self) -> None:
        self.noise_seed = secrets.randbelow(2**31)
        self.deterministic.value = False
        self._decide()

    def _draw_sliders(self) -> None:
        self._sliders.clear()
        names = self.inside.names
        with self._sliders:
            if len(names) <= MOST_SLIDERS:
                for entry in range(len(names)):
                    self._slider(entry)
                return
            chosen = ui.select(dict(enumerate(names)), label="Entry", value=0, with_input=True).classes("w-full")
            below = ui.column().classes("w-full")

            def change() -> None:
                below.clear()
                with below:
                    self._slider(int(chosen.value or 0))

            chosen.on_value_change(change)
            change()

    def _slider(self, entry: int) -> None:
        name = self.inside.names[entry]
        with ui.row().classes("w-full items-center no-wrap gap-3"):
            ui.label(name.replace("_", " ")).classes("nd-muted").style("min-width: 64px")
            slider = ui.slider(min=0, max=float(f"{self._reach:.3g}"), step=float(f"{self._reach / 400:.1g}"))
            slider.value = self.context[entry]
            describe(slider.props("dense").classes("col"), name)
            number = ui.label(f"{self.context[entry]:.3g}").style("min-width: 44px; text-align: right")

            def change(event: Any) -> None:
                self.context[entry] = float(event.value)
                number.text = f"{event.value:.3g}"
                self._decide()

            slider.on_value_change(change)

    @property
    def _seed(self) -> int | None:
        return None if self.deterministic.value else self.noise_seed

    def _decide(self, last: bool = False) -> None:
        try:
            self.look = self.inside.look(self.context, self._seed)
        except NetdiffuseError as error:
            said(error)
            return
        end = len(self.look.steps) - 1
        self.slider.props(f"max={end}")
        self.play.set_enabled(end > 0)
        if last or self.slider.value > end:
            self.slider.value = end
        self._draw()

    def _draw(self) -> None:
        look = self.look
        if look is None:
            return
        end, step = len(look.steps) - 1, int(self.slider.value)
        start = "start at zero" if self.deterministic.value else "decoded noise"
        self._step.text = "decision" if step == end else start if step == 0 else f"step {step} of {end}"
        self._at.text = f"at step {step} of {end}"
        self._at.set_visibility(step != end)
        decision = look.steps[step]
        names = [name.replace("_", " ") for name in look.names]
        unit = self.inside.utility_unit
        self._utility.text = f"{look.utilities[step]:.4g} {unit}" if look.utilities else "–"
        best = look.reference_utility
        self._share.text = f"{100 * look.utilities[step] / best:.2f}%" if look.utilities and best else "–"
        highest = max([value for row in look.steps for value in row] + (look.reference or []))
        if look.floors is not None and look.level is not None and look.reference is not None:
            used = [f + p for f, p in zip(look.floors, decision, strict=True) if p > 0.001 * sum(decision)]
            tall = max([2.0 * look.level, *used])
            floors = [min(floor, tall) for floor in look.floors]
            options = bars_chart(
                names,
                {"noise / gain": floors, "power": decision},
                measure=self.inside.measure + " on noise / gain",
                stack=True,
                top=float(f"{1.05 * tall:.3g}"),
                level=("water level", look.level),
            )
        elif self.inside.measure == "probability":
            marks = {"the prophet's choice": look.reference or []}
            options = bars_chart(names, {"policy": decision}, measure=self.inside.measure, marks=marks, top=1.0)
        else:
            bars = {"policy": decision} | ({"reference": look.reference} if look.reference is not None else {})
            low = min(value for row in look.steps for value in row)
            top = float(f"{1.05 * highest:.3g}") if highest > 0 else None
            options = bars_chart(names, bars, measure=self.inside.measure, top=top, bottom=min(0.0, low))
        show(self.chart, options, f"Decision of {self.name}, {self._step.text}")

    def _play(self) -> None:
        self.slider.value = 0
        self._timer.activate()

    def _advance(self) -> None:
        assert self.look is not None
        if self.slider.value < len(self.look.steps) - 1:
            self.slider.value += 1
        else:
            self._timer.deactivate()

    def _lines(self) -> Lines:
        return decision_lines(
            str(self.shown),
            self._seed,
            self.inside.shaped(self.context),
            self.inside.names,
            self.inside.one_shot,
            self.inside.diffusion,
        )

"""Users: who they are, what they think of what they receive, and how a policy pleases them."""

from nicegui import run, ui

from netdiffuse.common import NetdiffuseError
from netdiffuse.studio.charts import bars_chart, radar_chart
from netdiffuse.studio.frame import card, chart, page, repeat_button, show
from netdiffuse.studio.newest import Newest
from netdiffuse.studio.repeat import Lines
from netdiffuse.studio.state import EVERY_S, Studio
from netdiffuse.studio.users import PROMPT, Crowd, ask, ask_lines, pleased
from netdiffuse.studio.views.ratings import ratings_card
from netdiffuse.users import Experience
from netdiffuse.users.persona import TRAITS

PORTRAITS = ("easygoing", "impatient")  # that are drawn at first
MOST_DRAWN = 12
LONGEST_S, LARGEST_SHARE = 30.0, 50.0  # ends of the sliders, in seconds and percent


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/users")
    def users() -> None:
        with page("/users", str(studio.shown)):
            _Users(studio)


class _Users:
    """A crowd, something that it receives, and its opinions."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.crowd, self.seed = Crowd(), 0
        self._newest = Newest()
        with ui.row().classes("w-full gap-4 items-start"):
            with ui.column().classes("gap-4").style("flex: 1 1 300px; max-width: 420px; min-width: 0"):
                with card("Who is asked"):
                    self.kind = ui.select(
                        {0: "the presets", 6: "6 drawn at random", MOST_DRAWN: f"{MOST_DRAWN} drawn at random"},
                        label="Users",
                        value=0,
                        on_change=self._gather,
                    ).props("dense")
                    self.again = ui.button("Draw others", icon="casino", on_click=self._redraw).props("flat dense")
                with card("What they receive"):
                    self.quality = self._slider("quality", "Quality of the picture", 0, 1, 0.01, 0.9, "{:.2f}")
                    self.delay = self._slider("delay", "Delay", 0, LONGEST_S, 0.1, 3.0, "{:.1f} s")
                    self.energy = self._slider(
                        "energy", "Energy, of what the battery holds", 0, LARGEST_SHARE, 0.5, 3.0, "{:.1f}%"
                    )
            with ui.column().classes("gap-4").style("flex: 3 1 520px; min-width: 0"):
                with card("What they think of it") as title:
                    with title:
                        ui.space()
                        ui.button("Ask again", icon="refresh", on_click=self._again).props("flat dense")
                        repeat_button(self._lines)
                    self.opinions = chart("280px")
                    self.reasons = ui.table(
                        rows=[],
                        columns=[
                            {"name": name, "label": name, "field": name, "align": "left" if name != "mean" else "right"}
                            for name in ("user", "mean", "complaint")
                        ],
                        row_key="user",
                    )
                    self.reasons.classes("w-full").props("flat dense hide-bottom")
                with card("Portraits") as title:
                    with title:
                        ui.space()
                        self.shown = ui.select([], label="Personas", multiple=True, on_change=self._portray)
                        self.shown.props("dense outlined").classes("w-72")
                    self.portraits = chart("320px")
                with card("How a policy pleases them") as title:
                    with title:
                        ui.space()
                        self.run = ui.select([], label="Run", on_change=self._please).props("dense outlined")
                        self.run.classes("w-72")
                    self.note = ui.label().classes("nd-muted")
                    self.pleased = chart("240px")
                ratings_card()
        self._gather()
        ui.timer(EVERY_S, self._runs)

    def _slider(
        self, name: str, label: str, low: float, high: float, step: float, value: float, form: str
    ) -> ui.slider:
        with ui.row().classes("w-full items-center no-wrap"):
            ui.label(label).classes("nd-muted")
            ui.space()
            told = ui.label(form.format(value))
        slider = ui.slider(min=low, max=high, step=step, value=value)
        slider.props(f'aria-label="{name}"')

        def change() -> None:
            told.text = form.format(slider.value)
            self._ask()

        return slider.on_value_change(change)

    @property
    def received(self) -> Experience:
        """What the sliders say."""
        quality, delay, energy = (round(float(one.value), 3) for one in (self.quality, self.delay, self.energy))
        return Experience(PROMPT, quality, delay, round(energy / 100, 5))

    def _gather(self) -> None:
        self.crowd = Crowd(int(self.kind.value or 0), self.crowd.seed)
        self.again.set_visibility(self.crowd.drawn > 0)
        names = [persona.name for persona in self.crowd.personas]
        chosen = [name for name in PORTRAITS if name in names] or names[:2]
        self.shown.set_options(names, value=chosen)
        self._ask()
        self._portray()

    def _redraw(self) -> None:
        self.crowd = Crowd(self.crowd.drawn, self.crowd.seed + 1)
        self._gather()

    def _again(self) -> None:
        self.seed += 1
        self._ask()

    def _ask(self) -> None:
        said = ask(self.crowd, self.received, self.seed)
        names = [one.name for one in said]
        options = bars_chart(
            names,
            {"mean opinion": [one.mean for one in said]},
            marks={"one rating": [one.drawn for one in said]},
            measure="opinion, 1 bad to 5 excellent",
            bottom=1.0,
            top=5.0,
        )
        show(self.opinions, options, f"Opinions of {', '.join(names)}")
        self.reasons.rows = [{"user": one.name, "mean": f"{one.mean:.2f}", "complaint": one.reason} for one in said]

    def _portray(self) -> None:
        chosen = [persona for persona in self.crowd.personas if persona.name in (self.shown.value or [])]
        traits = {persona.name: [getattr(persona, trait) for trait in TRAITS] for persona in chosen}
        show(self.portraits, radar_chart(TRAITS, traits), f"Traits of {', '.join(traits) or 'nobody'}")

    async def _runs(self) -> None:
        """Offer the runs whose evaluations tell of users, and draw the chosen one's latest."""
        names = [record.name for record in self.studio.records if record.problem == "shared-denoising"]
        if names != self.run.options:
            self.run.set_options(names, value=self.run.value if self.run.value in names else next(iter(names), None))
        await self._please()

    async def _please(self) -> None:
        name, wanted = str(self.run.value or ""), self._newest.ask()
        record = self.studio.record(name)
        try:
            found = None if record is None else await run.io_bound(pleased, record)
            note = "" if found else "Train shared-denoising to see how its policy pleases each kind of user."
        except (NetdiffuseError, OSError) as error:
            found, note = None, str(error)
        if not wanted():
            return
        self.note.text = note
        self.pleased.set_visibility(bool(found))
        if found:
            options = bars_chart(
                list(found), {"QoE": list(found.values())}, measure="mean opinion above 1, last evaluation", top=4.0
            )
            show(self.pleased, options, f"QoE of each persona in {name}")

    def _lines(self) -> Lines:
        return ask_lines(self.crowd, self.received, self.seed)

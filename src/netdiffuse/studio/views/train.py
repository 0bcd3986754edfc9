"""Train: a form, the queue, a run as it learns, and the list of all runs."""

from collections.abc import Callable
from typing import Any

from nicegui import run, ui

from netdiffuse.common import NetdiffuseError, checks
from netdiffuse.studio.fields import refusal
from netdiffuse.studio.form import Form
from netdiffuse.studio.frame import card, page, repeat_button, said
from netdiffuse.studio.repeat import Lines, Training
from netdiffuse.studio.state import EVERY_S, Studio
from netdiffuse.studio.views.queue import QueuePanel
from netdiffuse.studio.views.run_panel import RunPanel
from netdiffuse.studio.views.run_table import RunTable

MOST_SEEDS = 100


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/")
    def train(run: str = "") -> None:
        with page("/", str(studio.shown)), ui.row().classes("w-full gap-4 items-start"):
            with (
                ui.column()
                .classes("col-12 col-md-4 gap-4")
                .style("max-width: 420px; min-width: 300px; flex: 1 1 320px")
            ):
                form_card(studio, lambda name: choose(name))
            with ui.column().classes("col gap-4").style("flex: 3 1 420px; min-width: 0"):
                queue = QueuePanel(studio)
                panel = RunPanel(studio, run)
                table = RunTable(studio, panel.choose)

        def choose(name: str) -> None:
            panel.choose(name)

        async def refresh() -> None:
            queue.refresh()
            table.refresh()
            await panel.refresh()

        ui.timer(EVERY_S, refresh)


def wrong_count(value: Any) -> str | None:
    """What is wrong with a number of seeds, or None."""
    if value is None:  # also what a browser cannot read as a number, such as 1e999
        return f"give a number of seeds from 1 to {MOST_SEEDS}"
    try:
        checks.finite("seeds", value)
        checks.integer("seeds", int(value) if value == int(value) else value, maximum=MOST_SEEDS)
    except NetdiffuseError as error:
        return str(error)
    return None


def form_card(studio: Studio, choose: Callable[[str], None]) -> None:
    """The card of the form, with its buttons; `choose` is told the name of a run that is started."""
    with card("New run") as title:
        with title:
            ui.space()
            repeat_button(lambda: lines())
        form = Form()
        repeats = ui.number("Seeds", value=1, validation=wrong_count).classes("col")
        repeats.props('dense hide-bottom-space hint="runs, each with the next seed"')

        def lines() -> Lines | None:
            training = asked()
            if training is None:
                return None
            try:
                names = {seed: studio.free_name(training.problem, training.algorithm, seed) for seed in seeds(training)}
            except (NetdiffuseError, OSError) as error:
                said(error)
                return None
            return training.lines_of_seeds({seed: str(studio.shown / name) for seed, name in names.items()})

        def seeds(training: Training) -> range:
            count = int(repeats.value)
            first = int(training.options.get("seed", 0))
            return range(first, first + count)

        def asked() -> Training | None:
            training = form.training()  # shows all that is wrong, whether the number of seeds is or not
            return training if repeats.validate() else None

        async def start() -> None:
            training = asked()
            if training is None:
                return
            wanted = seeds(training)  # as it stands now: the field may change while the rest is looked at
            button.props("loading")
            try:
                wrong = await run.io_bound(refusal, training)
                if wrong is not None:
                    form.refuse(wrong)
                    return
                names = []
                for seed in wanted:
                    name = studio.free_name(training.problem, training.algorithm, seed)
                    seeded = training.with_seed(seed)
                    studio.jobs.add(name, seeded.words(str(studio.root / name)))
                    names.append(name)
                await studio.refresh()
                choose(names[0])
            except (NetdiffuseError, OSError) as error:
                said(error)
            finally:
                button.props(remove="loading")

        with ui.row().classes("w-full items-start no-wrap gap-3"):
            repeats.move(target_container=ui.column().classes("col"))
            button = ui.button("Start", icon="play_arrow", on_click=start, color="accent").classes("q-mt-sm")

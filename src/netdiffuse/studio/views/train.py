"""Train: a form, the queue, a run as it learns, and the list of all runs."""

from collections.abc import Callable
from typing import Any

from nicegui import app, run, ui
from nicegui.events import GenericEventArguments

from netdiffuse.common import NetdiffuseError
from netdiffuse.studio.fields import refusal
from netdiffuse.studio.form import MARK, Form
from netdiffuse.studio.frame import card, page, repeat_button, said
from netdiffuse.studio.repeat import Lines, Training
from netdiffuse.studio.state import EVERY_S, Studio
from netdiffuse.studio.views.queue import QueuePanel
from netdiffuse.studio.views.run_panel import RunPanel
from netdiffuse.studio.views.run_table import RunTable

MOST_SEEDS = 100
KEPT = "form"  # where a tab keeps what stands in it
SHOWN = f"""() => emit(Object.fromEntries(
  [...document.querySelectorAll('[{MARK}]')].map(field => [field.getAttribute('{MARK}'), field.value])))"""


def pages(studio: Studio) -> None:
    """Register the page."""

    @ui.page("/")
    async def train(run: str = "") -> None:
        with page("/", str(studio.shown)), ui.row().classes("w-full gap-4 items-start"):
            with (
                ui.column()
                .classes("col-12 col-md-4 gap-4")
                .style("max-width: 420px; min-width: 300px; flex: 1 1 320px")
            ):
                fill = form_card(studio, lambda name: choose(name))
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
        await ui.context.client.connected()
        fill()


def wrong_count(text: str) -> str | None:
    """What is wrong with a number of seeds, or None."""
    try:
        if 1 <= int(text) <= MOST_SEEDS:
            return None
    except ValueError:
        pass
    return f"give a whole number of seeds from 1 to {MOST_SEEDS}"


def form_card(studio: Studio, choose: Callable[[str], None]) -> Callable[[], None]:
    """The card of the form, with its buttons.

    Args:
        studio: starts the runs.
        choose: told the name of a run that is started.

    Returns:
        Fills in again what stood in the form before the page was loaded anew, once the page is connected.
    """
    with card("New run") as title:
        with title:
            ui.space()
            repeat_button(lambda: lines())

        def keep() -> None:
            app.storage.tab[KEPT] = {"form": form.entries, "seeds": repeats.value}

        def fill() -> None:
            kept: Any = app.storage.tab.get(KEPT)
            if kept is not None:
                form.fill(kept["form"])
                repeats.value = kept["seeds"]

        form = Form(keep)
        repeats = ui.input("Seeds", value="1", validation=wrong_count, on_change=keep).classes("col")
        repeats.props('dense hide-bottom-space inputmode=numeric hint="runs, each with the next seed"')
        repeats.props[MARK] = "seeds"

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
            first = int(training.options.get("seed", 0))
            return range(first, first + int(repeats.value))

        def asked() -> Training | None:
            training = form.training()  # shows all that is wrong, whether the number of seeds is or not
            return training if repeats.validate() else None

        async def start(shown: GenericEventArguments) -> None:
            form.take(shown.args)
            repeats.value = shown.args["seeds"]
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
            button = ui.button("Start", icon="play_arrow", color="accent").classes("q-mt-sm")
            button.on("click", start, js_handler=SHOWN)  # starts what is seen
    return fill

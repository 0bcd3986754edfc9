"""Train: a form, the queue, a run as it learns, and the list of all runs."""

import json
from collections.abc import Awaitable, Callable, Mapping

from nicegui import run, ui
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
SHOWN = f"""Object.fromEntries(
  [...document.querySelectorAll('[{MARK}]')].map(field => [field.getAttribute('{MARK}'), field.value]))"""
# A tab keeps its form itself: it outlives the studio, and knows what the studio has not heard of.
KEEP = "sessionStorage.setItem('nd-form', {}); sessionStorage.removeItem('nd-typed')"
FORGET = "sessionStorage.removeItem('nd-form'); sessionStorage.removeItem('nd-typed')"
KEEP_TYPED = f"""addEventListener('pagehide',
  () => sessionStorage.setItem('nd-typed', JSON.stringify({SHOWN})))"""
KEPT = "return [sessionStorage.getItem('nd-form'), sessionStorage.getItem('nd-typed')]"
TO_FIRST_WRONG = """setTimeout(() => {
  const field = document.querySelector('.q-field--error');
  field?.scrollIntoView({block: 'center', behavior: 'smooth'});
  field?.querySelector('input, textarea')?.focus({preventScroll: true});
}, 400)"""  # once its section is open
PATIENCE_S = 60.0  # with a browser


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
                queue = QueuePanel(studio, lambda name: choose(name))
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
        if not ui.context.client.is_deleted:  # as where no browser asked
            await fill()


def wrong_count(text: str) -> str | None:
    """What is wrong with a number of seeds, or None."""
    try:
        if 1 <= int(text) <= MOST_SEEDS:
            return None
    except ValueError:
        pass
    return f"give a whole number of seeds from 1 to {MOST_SEEDS}"


def form_card(studio: Studio, choose: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
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
            trouble.text = ""
            kept = json.dumps({"form": form.entries, "seeds": repeats.value})
            ui.run_javascript(KEEP.format(json.dumps(kept)))

        async def fill() -> None:
            try:
                kept, typed = await ui.run_javascript(KEPT, timeout=PATIENCE_S) or (None, None)
            except TimeoutError:  # the page was left
                return
            try:
                if kept is not None:
                    found = json.loads(kept)
                    form.fill(found["form"])
                    repeats.value = found["seeds"]
                if typed is not None:
                    take(json.loads(typed))
            except (ValueError, TypeError, LookupError, AttributeError, NetdiffuseError):  # of another version
                ui.run_javascript(FORGET)
            ui.run_javascript(KEEP_TYPED)

        def take(shown: Mapping[str, str]) -> None:
            form.take(shown)
            repeats.value = shown["seeds"]

        starting = False
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
            if repeats.validate() and training is not None:
                return training
            refused()
            return None

        def refused() -> None:
            """Lead to what is wrong, which may be far from the button."""
            names = form.wrong + (["Seeds"] if repeats.error else [])
            what = "1 entry is" if len(names) == 1 else f"{len(names)} entries are"
            trouble.text = f"{what} wrong: {', '.join(names)}"
            ui.run_javascript(TO_FIRST_WRONG)

        async def start(shown: GenericEventArguments) -> None:
            nonlocal starting
            if starting:  # a second press that came before the button was closed
                return
            take(shown.args)
            training = asked()
            if training is None:
                return
            starting = True
            wanted = seeds(training)  # as it stands now: the field may change while the rest is looked at
            button.props("loading")
            try:
                wrong = await run.io_bound(refusal, training)
                if button.is_deleted:  # the page was left
                    return
                if wrong is not None:
                    form.refuse(wrong)
                    refused()
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
                starting = False
                if not button.is_deleted:
                    button.props(remove="loading")

        with ui.row().classes("w-full items-start no-wrap gap-3"):
            repeats.move(target_container=ui.column().classes("col"))
            button = ui.button("Start", icon="play_arrow", color="accent").classes("q-mt-sm")
            button.on("click", start, js_handler=f"() => emit({SHOWN})")  # starts what is seen
        trouble = ui.label().classes("text-negative self-end").props('role="alert"')
    return fill

"""Asking for the new end of a training that is to go on."""

from nicegui import ui

from netdiffuse.common import NetdiffuseError, checks
from netdiffuse.studio.frame import said
from netdiffuse.studio.runs import RunRecord
from netdiffuse.studio.state import Studio


def go_on(studio: Studio, record: RunRecord) -> None:
    """Open a dialog that asks how much a finished run is to train in all, and has it go on."""
    assert record.config is not None  # a finished run is not damaged
    unit, old = next((unit, value) for unit, value in record.config.budget.items() if value is not None)

    def wrong(text: str) -> str | None:
        try:
            value = int(text) if unit == "timesteps" else checks.finite(unit, float(text))
        except (ValueError, NetdiffuseError):
            return f"give a number of {unit}"
        return None if value > old else f"give more than the {old:g} that are used"

    with ui.dialog(value=True) as dialog, ui.card().classes("w-80"):
        ui.label(f"Train on to a new end, of {old:g} {unit} so far").classes("nd-title")
        number = ui.input(f"{unit} in all", value=f"{2 * old:.15g}", validation=wrong)

        async def go() -> None:
            if not number.validate():
                return
            try:
                studio.jobs.resume(record.name, [f"--{unit}", number.value.strip()])
                dialog.close()
                await studio.refresh()
            except (NetdiffuseError, OSError) as error:
                said(error)

        with ui.row().classes("self-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat")
            ui.button("Go on", on_click=go, color="accent")
    dialog.on("hide", dialog.delete)

"""Ratings as they come in at an edge server."""

from datetime import datetime
from typing import TYPE_CHECKING

from nicegui import ui

from netdiffuse.studio.charts import bars_chart
from netdiffuse.studio.frame import chart, show
from netdiffuse.studio.views.watching import watch_card

if TYPE_CHECKING:
    from netdiffuse.denoising.edge.messages import Rated

SHOWN = 8  # of the newest, one by one
COLUMNS = ("time", "user", "rating", "quality", "delay", "policy", "reason")


def ratings_card() -> None:
    """A card that watches what users of an edge server say."""
    watch_card("Ratings coming in", _ask, _draw)


async def _ask(url: str, token: str) -> list["Rated"]:
    from netdiffuse.studio.edge import ask_ratings

    return await ask_ratings(url, token)


def _draw(ratings: list["Rated"]) -> None:
    from netdiffuse.studio.edge import mean_of_personas

    if not ratings:
        ui.label("Nobody has rated anything yet: netdiffuse denoise device --persona NAME --rate").classes("nd-muted")
        return
    means = mean_of_personas(ratings)
    mean = sum(rated.rating for rated in ratings) / len(ratings)
    ui.label(f"{len(ratings)} ratings, mean opinion {mean:.2f}").classes("nd-muted")
    bars = chart("220px")
    options = bars_chart(
        list(means), {"mean": list(means.values())}, measure="opinion, 1 bad to 5 excellent", bottom=1.0, top=5.0
    )
    show(bars, options, f"Mean rating of {', '.join(means)}")
    rows = [_row(rated) for rated in ratings[:SHOWN]]
    columns = [{"name": name, "label": name, "field": name, "align": "left"} for name in COLUMNS]
    ui.table(rows=rows, columns=columns, row_key="number").classes("w-full").props("flat dense hide-bottom")


def _row(rated: "Rated") -> dict[str, str | int]:
    return {
        "number": rated.number,
        "time": f"{datetime.fromtimestamp(rated.time):%H:%M:%S}",
        "user": rated.persona or "unknown",
        "rating": f"{rated.rating:.1f}",
        "quality": "" if rated.quality is None else f"{rated.quality:.2f}",
        "delay": "" if rated.delay_s is None else f"{rated.delay_s:.1f} s",
        "policy": rated.policy or "",
        "reason": rated.reason or "",
    }

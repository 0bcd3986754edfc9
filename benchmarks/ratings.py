"""How many opinions a second the parametric rater gives.

    python benchmarks/ratings.py

A batch is so many slots of ten users each; what is timed is `mean` and `draw`, from arrays to arrays, and `rate`, which
makes an `Opinion` with its reason of each.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import finish, machine, milliseconds, rounds, show

from netdiffuse.users import Experience, ParametricRater, Sensitivities, draw_personas

USERS = 10


def main(
    batches: tuple[int, ...] = (1, 100, 10_000),
    repeats: int = 5,
    processor_time: bool = False,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure ratings a second.

    Args:
        batches: slots in a batch.
        repeats: rounds, of which medians are taken.
        processor_time: count the time of this process alone, for a machine that others use.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    clock = time.process_time if processor_time else time.perf_counter
    result: dict[str, Any] = {"machine": machine(1), "clock": clock.__name__, "rows": []}
    random, rater = np.random.default_rng(0), ParametricRater()
    crowd = draw_personas(USERS, 0)
    people = Sensitivities.of(crowd)
    for slots in batches:
        shape = (slots, USERS)
        given = random.random(shape), 20 * random.random(shape), 0.2 * random.random(shape)
        calls = max(3, 200_000 // (slots * USERS))
        measures = {
            "mean": lambda given=given, calls=calls: milliseconds(lambda: rater.mean(people, *given), calls, clock),
            "draw": lambda given=given, calls=calls: milliseconds(lambda: rater.draw(people, *given), calls, clock),
        }
        if slots * USERS <= 1000:
            pairs = [Experience("a cat", *row) for row in zip(*(a.ravel().tolist() for a in given), strict=True)]
            asked = crowd * slots
            measures["rate"] = lambda asked=asked, pairs=pairs: milliseconds(
                lambda: rater.rate(asked, pairs), 20, clock
            )
        for name, taken in rounds(measures, repeats).items():
            rate = 1e3 * slots * USERS / float(np.median(taken))
            result["rows"].append({"call": name, "ratings": slots * USERS, "ratings_per_second": rate})
    if not json:
        show(
            ["call", "ratings a batch", "ratings/s"],
            [[r["call"], r["ratings"], f"{r['ratings_per_second']:,.0f}"] for r in result["rows"]],
        )
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

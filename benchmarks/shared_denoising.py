"""Shared denoising: how fast it steps, and whether its table of quality agrees with real pictures.

    python benchmarks/shared_denoising.py

The first part times `step` under random decisions, many sessions at once against one at a time, and rating alone; and
64 sessions whose users are corrected by people's ratings (extra [denoising]), against 64 whose users are not. The
second takes random decisions in random states and gives their rewards twice, by the table and by real pictures of the
small model (extra [denoising]; minutes): Spearman's rank correlation of the two, by mean opinions.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import finish, machine, milliseconds, rounds, show
from scipy.stats import bootstrap, spearmanr
from services import rate

from netdiffuse.problems.shared_denoising import SharedDenoisingEnv, SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.rating import CalibratedRating
from netdiffuse.users import Calibration, ParametricRater, Sensitivities

AT_ONCE = 100_000  # ratings
CORRECTED = 64  # sessions whose users are corrected


def single() -> Callable[[], None]:
    """One session with Gymnasium's `Env`."""
    env, random = SharedDenoisingEnv(), np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        if env.step(random.uniform(-1, 1, 24).astype(np.float32))[2]:
            env.reset()

    return step


def batched(n: int) -> Callable[[], None]:
    """N sessions with Gymnasium's `VectorEnv`."""
    env, random = SharedDenoisingVectorEnv(n), np.random.default_rng(0)
    env.reset(seed=0)
    return lambda: env.step(random.uniform(-1, 1, (n, 24)).astype(np.float32)) and None


def corrected(ratings: int, users: int) -> Callable[[], None]:
    """Sessions of so many users, who are corrected by as many ratings; none for users as they are."""
    env, random = SharedDenoisingVectorEnv(CORRECTED, users=users), np.random.default_rng(0)
    env.reset(seed=0)
    if ratings:
        people = env.simulator.population[random.integers(0, len(env.simulator.names), ratings)]
        quality, delay, share = random.random((3, ratings))
        felt = quality, 10 * delay, share
        rated = np.clip(ParametricRater(0).mean(Sensitivities.of(people), *felt) - share, 1, 5)
        env.simulator.rating = CalibratedRating(Calibration(people, *felt, rated))
    return lambda: env.step(random.uniform(-1, 1, (CORRECTED, 3 * users)).astype(np.float32)) and None


def rating() -> Callable[[], None]:
    """A hundred thousand ratings, of users who are known."""
    env, random = SharedDenoisingVectorEnv(1), np.random.default_rng(0)
    people = Sensitivities.of(env.simulator.population[random.integers(0, len(env.simulator.names), AT_ONCE)])
    rater, (quality, delay, share) = ParametricRater(0), random.random((3, AT_ONCE))
    return lambda: rater.draw(people, quality, 10 * delay, share) is None


def agreement(actions: int, seed: int = 0) -> dict[str, Any]:
    """Rewards of random decisions by the table and by real pictures."""
    table, real = (SharedDenoisingVectorEnv(actions, noisy=False, outcome=outcome) for outcome in ("table", "pictures"))
    table.reset(seed=seed)
    real.load_state_dict(table.state_dict())
    random = np.random.default_rng(seed)
    # Random numbers of steps at equal power and bandwidth: most wholly random decisions come late.
    shape = (actions, table.simulator.users)
    share = np.full(shape, 1 / shape[1])
    s = table.settings
    action = table.encode(random.integers(0, 12, shape), share * s.power_w, share * s.bandwidth_hz)
    by_table, by_pictures = table.step(action)[1], real.step(action)[1]
    spread = bootstrap(
        (by_table, by_pictures),
        lambda a, b: spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {
        "actions": actions,
        "spearman": float(spearmanr(by_table, by_pictures).statistic),
        "low": float(spread.low),
        "high": float(spread.high),
        "mean_by_table": float(by_table.mean()),
        "mean_by_pictures": float(by_pictures.mean()),
    }


def main(
    sessions: tuple[int, ...] = (1, 16, 64, 256, 1024),
    repeats: int = 5,
    actions: int = 200,
    ratings: tuple[int, ...] = (200, 1000),
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure both.

    Args:
        sessions: numbers of sessions in step.
        repeats: rounds, of which medians are taken.
        actions: random decisions whose pictures are made; 0 for none.
        ratings: of people, by which users are corrected.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "rows": []}
    steps = {"Env": (1, single())} | {f"VectorEnv, {n} sessions": (n, batched(n)) for n in sessions}
    steps["ratings alone"] = (AT_ONCE, rating())
    found = rounds({name: lambda step=step, n=n: rate(step, n) for name, (n, step) in steps.items()}, repeats)
    for name, rates in found.items():
        ratio = float(np.median(np.array(rates) / np.array(found["Env"])))
        result["rows"].append({"what": name, "per_second": float(np.median(rates)), "over_env": ratio})
    result["corrected"] = []
    for users in (4, 8) if ratings else ():
        calls = {n: corrected(n, users) for n in (0, *ratings)}
        timed = rounds({str(n): lambda step=step: milliseconds(step, 100) for n, step in calls.items()}, repeats)
        for n in calls:
            times = float(np.median(np.array(timed[str(n)]) / np.array(timed["0"])))
            row = {"users": users, "ratings": n, "milliseconds": float(np.median(timed[str(n)])), "times": times}
            result["corrected"].append(row)
    if actions:
        result["agreement"] = agreement(actions)
    if not json:
        show(
            ["what", "per second", "times Env"],
            [[row["what"], f"{row['per_second']:,.0f}", row["over_env"]] for row in result["rows"]],
        )
        if ratings:
            print(f"\na step of {CORRECTED} sessions, by the ratings that correct their users:")
            show(list(result["corrected"][0]), [list(row.values()) for row in result["corrected"]])
        if actions:
            print("\nrewards by the table and by real pictures:", result["agreement"])
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

"""How fast edge AIGC services step: many episodes at once against one at a time.

    python benchmarks/services.py

Choices are random, and finished episodes begin anew; what is timed is `step` of each environment, observations and all.
The last column is the ratio of steps a second to those of the single environment, taken in the same round.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tyro
from common import finish, machine, rounds, show

from netdiffuse.problems.aigc_services import AIGCServicesEnv, AIGCServicesVectorEnv
from netdiffuse.problems.batched import BatchedVecEnv

SECONDS = 1.0


def rate(step: Callable[[], None], episodes: int) -> float:
    """Environment steps a second."""
    step()
    count, end = 0, perf_counter() + SECONDS
    began = perf_counter()
    while perf_counter() < end:
        step()
        count += episodes
    return count / (perf_counter() - began)


def single() -> Callable[[], None]:
    """One episode with Gymnasium's `Env`."""
    env, random = AIGCServicesEnv(), np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        _, _, over, _, _ = env.step(int(random.integers(20)))
        if over:
            env.reset()

    return step


def batched(n: int) -> Callable[[], None]:
    """N episodes with Gymnasium's `VectorEnv`."""
    env, random = AIGCServicesVectorEnv(n), np.random.default_rng(0)
    env.reset(seed=0)
    return lambda: env.step(random.integers(0, 20, n)) and None


def vec_env(n: int) -> Callable[[], None]:
    """N episodes with Stable-Baselines3's `VecEnv`."""
    env, random = BatchedVecEnv(AIGCServicesVectorEnv(n), 0), np.random.default_rng(0)
    env.reset()
    return lambda: env.step(random.integers(0, 20, n)) and None


def main(
    episodes: tuple[int, ...] = (1, 16, 64, 256),
    repeats: int = 5,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure steps a second.

    Args:
        episodes: numbers of episodes in step.
        repeats: rounds, of which medians are taken.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "rows": []}
    steps = {"Env": (1, single())}
    steps |= {f"VectorEnv, {n} episodes": (n, batched(n)) for n in episodes}
    steps |= {f"SB3 VecEnv, {n} episodes": (n, vec_env(n)) for n in episodes if n > 1}
    found = rounds({name: lambda step=step, n=n: rate(step, n) for name, (n, step) in steps.items()}, repeats)
    for name, rates in found.items():
        ratio = float(np.median(np.array(rates) / np.array(found["Env"])))
        result["rows"].append({"environment": name, "steps_per_second": float(np.median(rates)), "over_env": ratio})
    if not json:
        show(
            ["environment", "steps/s", "times Env"],
            [[r["environment"], f"{r['steps_per_second']:,.0f}", r["over_env"]] for r in result["rows"]],
        )
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

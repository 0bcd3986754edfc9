"""How fast a decision is: latency of `model.predict(observations, deterministic=True)`.

    python benchmarks/inference.py

What is timed is all that a user calls: observations in as NumPy arrays, actions out as NumPy arrays. The last column is
the networks alone, on a tensor, so that the difference is what Stable-Baselines3's `predict` costs. The weights are
untrained, which takes as long. Stable-Baselines3's TD3, whose actor is a plain network, stands beside.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import tyro
from common import finish, machine, show
from stable_baselines3.common.base_class import BaseAlgorithm

from netdiffuse import GDDPG, make_problem
from netdiffuse.baselines import make_learner
from netdiffuse.common.seeding import generator
from netdiffuse.problems import Problem
from netdiffuse.problems.vecenv import ProblemVecEnv

POLICIES = ("MlpPolicy", "EquivariantPolicy")
WARM_UP = 3


def latencies(call: Callable[[], object], seconds: float, at_least: int = 5) -> list[float]:
    """Milliseconds of each call, called for so many seconds and so often at least."""
    for _ in range(WARM_UP):
        call()
    found: list[float] = []
    end = perf_counter() + seconds
    while len(found) < at_least or perf_counter() < end:
        began = perf_counter()
        call()
        found.append(1e3 * (perf_counter() - began))
    return found


def measure(model: BaseAlgorithm, problem: Problem, batch: int, seconds: float) -> dict[str, float]:
    """Latency of a decision for a batch of contexts, in milliseconds."""
    contexts = problem.sample_contexts(batch, generator(0))
    observations = contexts.numpy()
    whole = latencies(lambda: model.predict(observations, deterministic=True), seconds)
    with torch.no_grad():
        bare = latencies(lambda: model.policy._predict(contexts, deterministic=True), seconds / 2)
    return {
        "p50_ms": float(np.percentile(whole, 50)),
        "p99_ms": float(np.percentile(whole, 99)),
        "fastest_ms": float(np.min(whole)),
        "network_p50_ms": float(np.percentile(bare, 50)),
        "calls": len(whole),
    }


def main(
    problem: str = "power-allocation",
    batches: tuple[int, ...] = (1, 1024),
    candidates: tuple[int, ...] = (1, 32),
    seconds: float = 2.0,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure decisions.

    Args:
        problem: a problem's name.
        batches: contexts decided in one call.
        candidates: actions drawn for a decision, of which the critics' best is kept.
        seconds: seconds of calls for each row.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "problem": problem, "rows": []}
    made = make_problem(problem)
    models: list[tuple[str, int, BaseAlgorithm]] = [
        (f"gddpg {policy}", n, GDDPG(policy, made, n_candidates=n, seed=0)) for policy in POLICIES for n in candidates
    ]
    models.append(("td3 (SB3)", 1, make_learner("td3", ProblemVecEnv(made, 1, 0))))
    for name, n, model in models:
        for batch in batches:
            result["rows"].append(
                {"method": name, "candidates": n, "batch": batch, **measure(model, made, batch, seconds)}
            )
    if not json:
        columns = ["method", "candidates", "batch", "p50_ms", "p99_ms", "network_p50_ms"]
        show(
            [c.replace("_ms", " (ms)").replace("_", " ") for c in columns],
            [[row[c] for c in columns] for row in result["rows"]],
        )
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

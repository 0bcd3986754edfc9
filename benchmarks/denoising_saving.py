"""What sharing saves, and what it costs: 64 prompts in 8 groups of meaning, planned, shared, finished, judged.

    python benchmarks/denoising_saving.py               with the rule that netdiffuse ships
    python benchmarks/denoising_saving.py --most 0.7    another largest share of the steps

Rows of the UNet's batches are counted as they pass through it (guidance takes two a step). The seconds are those of one
host that makes every picture, without and with sharing, in batches of 32, and those of the shared steps alone, which is
all that an edge server does when devices finish their own pictures.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from common import finish, machine, show

from netdiffuse.common import mean_interval
from netdiffuse.denoising.default_model import load_classifier
from netdiffuse.denoising.default_model.captions import COLOURS, Scene
from netdiffuse.denoising.embeddings import default_encoder
from netdiffuse.denoising.families import Family
from netdiffuse.denoising.opening import opened
from netdiffuse.denoising.planner import SharingRule, fixed_plan, make_plan
from netdiffuse.denoising.sharing import share
from netdiffuse.denoising.state import ChainState, stack

GROUPS = (
    ("apple", "table"),
    ("lemon", "book"),
    ("cup", "book"),
    ("bird", "river"),
    ("dog", "grass"),
    ("tree", "river"),
    ("car", "road"),
    ("house", "grass"),
)
BATCH = 32


def prompts(seed: int) -> list[str]:
    """Eight wordings a group, each in two or so of three colours."""
    generator = np.random.default_rng(seed)
    found = []
    for name, place in GROUPS:
        colours = generator.choice(COLOURS, 3, replace=False)
        found += [Scene(name, str(generator.choice(colours)), place).words(generator) for _ in range(8)]
    return found


class Counter:
    """Counts rows and calls of the network."""

    def __init__(self, model: Family) -> None:
        self.rows = self.calls = 0
        model.network.register_forward_pre_hook(self)

    def __call__(self, _: Any, args: tuple[torch.Tensor, ...]) -> None:
        self.rows += len(args[0])
        self.calls += 1

    def take(self) -> int:
        """Rows since the last time."""
        rows, self.rows = self.rows, 0
        return rows


def finished(model: Family, states: Sequence[ChainState], conditioning: Any) -> list[Any]:
    """Every chain to its end with its own prompt, those at the same step in one batch."""
    pictures: dict[int, Any] = {}
    for step in sorted({state.step for state in states}):
        users = [user for user, state in enumerate(states) if state.step == step]
        for start in range(0, len(users), BATCH):
            part = users[start : start + BATCH]
            end = model.advance(stack([states[user] for user in part]), conditioning.select(part))
            pictures |= dict(zip(part, model.decode(end), strict=True))
    return [pictures[user] for user in range(len(states))]


def once(model: Family, judge: Any, counter: Counter, rule: SharingRule, steps: int, seed: int) -> dict[str, float]:
    """One draw of prompts and noise."""
    said = prompts(seed)
    conditioning = model.encode(said)
    plan = make_plan(default_encoder()(said), steps, rule=rule)
    seeds = [1000 * seed + user for user in range(len(said))]
    counter.take()

    began = time.perf_counter()
    alone = finished(
        model,
        share(model, fixed_plan(len(said), steps, 0), conditioning, lambda s: model.begin(s, steps), seeds=seeds),
        conditioning,
    )
    alone_seconds, alone_rows = time.perf_counter() - began, counter.take()

    began = time.perf_counter()
    states = share(model, plan, conditioning, lambda s: model.begin(s, steps), seeds=seeds)
    server_seconds, server_rows = time.perf_counter() - began, counter.take()
    shared = finished(model, states, conditioning)
    seconds, rows = time.perf_counter() - began, server_rows + counter.take()

    found = {"alone": judge.fidelity(alone, said), "shared": judge.fidelity(shared, said)}
    return {
        "groups": len(plan.roots),
        "shared_steps_mean": float(np.mean(plan.shared_steps)),
        "planned_saving_percent": 100 * plan.saved,
        "evaluations_alone": alone_rows,
        "evaluations_shared": rows,
        "evaluations_of_the_server": server_rows,
        "evaluations_saved_percent": 100 * (1 - rows / alone_rows),
        "seconds_alone": alone_seconds,
        "seconds_shared": seconds,
        "seconds_of_shared_steps": server_seconds,
        "seconds_saved_percent": 100 * (1 - seconds / alone_seconds),
        "server_seconds_saved_percent": 100 * (1 - server_seconds / alone_seconds),
        **{f"{name}_{key}_percent": found[name][key] for name in found for key in ("object_and_colour", "all")},
        "fidelity_lost_points": found["alone"]["all"] - found["shared"]["all"],
    }


def main(
    steps: int = 20,
    seeds: int = 5,
    low: float = SharingRule.low,
    high: float = SharingRule.high,
    most: float = SharingRule.most,
    threads: int = 2,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure what sharing saves.

    Args:
        steps: of a whole chain.
        seeds: draws of the prompts and the noise.
        low: cosine up to which nothing is shared.
        high: cosine from which most is shared.
        most: largest share of the steps.
        threads: of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {
        "machine": machine(threads),
        "steps": steps,
        "rule": {"low": low, "high": high, "most": most},
    }
    model, judge, rule = opened("default", "float32"), load_classifier(), SharingRule(low, high, most)
    counter = Counter(model)
    once(model, judge, counter, rule, 2, 0)  # warms up
    runs = [once(model, judge, counter, rule, steps, seed) for seed in range(seeds)]
    result["runs"] = runs
    result["mean"] = {key: str(mean_interval([run[key] for run in runs])) for key in runs[0]}
    if not json:
        show(
            ["what", f"mean over {seeds} draws, 95% interval"], [[key, value] for key, value in result["mean"].items()]
        )
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

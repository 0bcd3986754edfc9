"""The claims of the README in one go: each is measured over five seeds, and held against what it should be.

    python benchmarks/acceptance.py                 about an hour and a half on two cores
    python benchmarks/acceptance.py --only permuted one group

Called again, it goes on: every run is kept in --folder. Runs take one thread each, --jobs of them at a time. What is
required holds for every seed, so it is compared with the worst. The exit code is 1 where something is not met.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import candidates
import inference
import training
import transfer
import tyro
from common import finish, machine, show

from netdiffuse import load, make_problem
from netdiffuse.common import mean_interval
from netdiffuse.common.seeding import generator
from netdiffuse.experiments import Run
from netdiffuse.experiments.compare import compare
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.specs import parse_spec
from netdiffuse.problems import InterferenceChannel

PEERS = ("sac", "td3", "ddpg", "ppo")
LIKE_FOR_LIKE = ("gddpg", "gddpg:policy=MlpPolicy", "gddpg:actor=mlp", *PEERS)


@dataclass(frozen=True)
class Study:
    """Methods on a problem, each for so many seconds; `required` percent of the reference, where something is."""

    group: str
    problem: str
    seconds: float
    methods: tuple[str, ...]
    required: dict[str, float] = field(default_factory=dict)
    problem_args: dict[str, Any] = field(default_factory=dict)


STUDIES = (
    Study("power", "power-allocation", 30, ("gddpg",), {"gddpg": 99.3}),
    Study(
        "power",
        "power-allocation",
        20,
        ("diffusion-apg", "diffusion-bc"),
        {"diffusion-apg": 99.9, "diffusion-bc": 99.7},
    ),
    Study("compare", "power-allocation-deep-fade", 60, LIKE_FOR_LIKE, {"gddpg": 99.9}),
    Study("permuted", "power-allocation-permuted", 120, ("diffusion-bc", "gddpg"), {"diffusion-bc": 99.5, "gddpg": 95}),
    Study("transfer", transfer.PROBLEM, 60, ("diffusion-bc", "gddpg"), problem_args=transfer.FEWER),
    Study("interference", "interference-channel", 120, ("diffusion-apg", "gddpg", "sac", "ppo")),
    Study("compare", "power-allocation", 60, LIKE_FOR_LIKE),
)
Row = dict[str, Any]


def summary(what: str, values: list[float], required: float | None = None, most: bool = False) -> Row:
    """Mean, 95% interval and worst seed; `required` is the least (or the most) that the worst may be."""
    worst = max(values) if most else min(values)
    met = None if required is None else (worst <= required if most else worst >= required)
    return {
        "what": what,
        "interval": str(mean_interval(values)),
        "worst": worst,
        "required": required,
        "met": met,
        "values": values,
    }


def trained(study: Study, folder: Path, seeds: tuple[int, ...], jobs: int) -> dict[str, list[Run]]:
    """The finished runs of a study, one a seed."""
    out = folder / f"{study.group}-{study.problem}-{study.seconds:g}s"
    compare(
        study.problem,
        study.methods,
        seeds,
        seconds=study.seconds,
        out=out,
        jobs=jobs,
        problem_args=study.problem_args,
        report=lambda text: print(f"  {text}", flush=True),
    )
    return {word: [load(out / f"{parse_spec(word).folder}-s{s}") for s in seeds] for word in study.methods}


def learned(study: Study, runs: dict[str, list[Run]]) -> list[Row]:
    """Optimality and gap closed of every method of a study."""
    rows = []
    for word, own in runs.items():
        found = [run.summary["evaluation"] for run in own if run.summary is not None]
        what = f"{study.problem}, {word}, {study.seconds:g} s"
        row = summary(what, [e["optimality_percent"] for e in found], study.required.get(word))
        gaps = [e["gap_closed_percent"] for e in found]
        rows.append(row | {"gap_closed": str(mean_interval(gaps)), "gap_closed_worst": min(gaps)})
    return rows


def moved(runs: dict[str, list[Run]]) -> list[Row]:
    """Policies trained on 20 channels deciding for 100."""
    rows = []
    for word, own in runs.items():
        judged = [transfer.judge(run, 5000) for run in own]
        rows.append(summary(f"{word} on 100 channels, trained on 20", [j["transferred_percent"] for j in judged]))
        rows.append(summary(f"{word}, points lost by that", [j["loss"] for j in judged], 1.0, most=True))
    return rows


def drawn(runs: list[Run], figure: Path) -> list[Row]:
    """What drawing candidates is worth, on 10 links and on 20."""
    problem, wide = make_problem("interference-channel"), make_problem("interference-channel", links=20)
    assert isinstance(problem, InterferenceChannel)
    assert isinstance(wide, InterferenceChannel)
    here, there = problem.sample_contexts(2000, generator(SEED)), wide.sample_contexts(500, generator(SEED))
    levels = candidates.rules(problem, here)
    models: list[Any] = [run.model for run in runs]
    judged = [candidates.judge(model, problem, here, candidates.DRAWS) for model in models]
    larger = [candidates.judge(model.transfer(wide), wide, there, 32) for model in models]
    candidates.draw(judged, levels, figure)
    rows = [summary(f"interference-channel, {name}", [value]) for name, value in levels.items()]
    for links, policies, least in ((10, judged, (None, 100.0, 104.0)), (20, larger, (None, None, None))):
        rows += [
            summary(f"{links} links, deterministic", [p["deterministic"] for p in policies], least[0]),
            summary(f"{links} links, one draw", [p["best_of"][1] for p in policies], least[1]),
            summary(f"{links} links, best of 32", [p["best_of"][32] for p in policies], least[2]),
        ]
    return rows


def speed() -> list[Row]:
    """Latency of a decision and time of a gradient step, one thread."""
    problem = make_problem("power-allocation")
    model = inference.GDDPG("MlpPolicy", problem, seed=0)
    equivariant = inference.GDDPG("EquivariantPolicy", problem, seed=0)
    step = training.gradient_steps("power-allocation", 256, 5, (256, 256), False, 15, training.time.perf_counter)

    def p50(policy: Any) -> list[float]:
        return [inference.measure(policy, problem, 1, 2.0)["p50_ms"] for _ in range(5)]

    step_ms = step["gradient_step_ms"]["gddpg"]
    return [
        summary("ms a decision, MlpPolicy, batch 1, p50", p50(model), 0.5, most=True),
        summary("ms a decision, EquivariantPolicy, batch 1, p50", p50(equivariant)),
        summary("ms a gradient step, batch 256, 5 steps, 256 x 256", [step_ms], 20, most=True),
        summary("the same over its matrix-product roofline", [step["gddpg_over_roofline"]], 3, most=True),
    ]


def main(
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    only: Literal["power", "compare", "permuted", "transfer", "interference", "speed"] | None = None,
    folder: Path = Path("runs/acceptance"),
    jobs: int = 2,
    json: bool = False,
    out: Path | None = None,
    figure: Path = Path("candidates.png"),
) -> None:
    """Measure everything that is claimed.

    Args:
        seeds: seeds of every method.
        only: one group alone.
        folder: where the runs are.
        jobs: runs at the same time.
        json: print JSON beside the table.
        out: write the JSON here too.
        figure: where the figure of candidates goes.
    """
    about = machine(1)
    rows: list[Row] = []
    also: dict[str, Callable[[dict[str, list[Run]]], list[Row]]] = {
        "transfer": moved,
        "interference": lambda runs: drawn(runs["diffusion-apg"], figure),
    }
    for study in STUDIES:
        if only in (None, study.group):
            print(f"{study.problem}, {study.seconds:g} s", flush=True)
            runs = trained(study, folder, seeds, jobs)
            rows += learned(study, runs)
            if study.group in also:
                rows += also[study.group](runs)
            if study.group == "compare":
                rows.append(against_the_best(study, rows))
    if only in (None, "speed"):
        rows += speed()
    columns = ["what", "interval", "worst", "required", "met"]
    show(columns, [[row[c] for c in columns] for row in rows])
    finish({"machine": about, "seeds": list(seeds), "jobs": jobs, "rows": rows}, json, out)
    sys.exit(any(row["met"] is False for row in rows))


def against_the_best(study: Study, rows: list[Row]) -> Row:
    """Points by which G-DDPG is ahead of the best of SB3's methods in the mean, seed by seed."""
    prefix = f"{study.problem}, "
    values = {
        word: next(r["values"] for r in rows if r["what"] == f"{prefix}{word}, {study.seconds:g} s")
        for word in study.methods
    }
    best = max(PEERS, key=lambda word: statistics.mean(values[word]))
    ahead = [ours - theirs for ours, theirs in zip(values["gddpg"], values[best], strict=True)]
    row = summary(f"{prefix}points of gddpg ahead of {best}", ahead)
    mean, half = mean_interval(ahead)
    return row | {"met": mean + half >= 0}  # level: not behind by more than chance


if __name__ == "__main__":
    tyro.cli(main)

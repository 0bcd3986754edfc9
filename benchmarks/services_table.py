"""The tables of edge AIGC services in the README: D2SAC among its baselines, its ablation, and two classic tasks.

    python benchmarks/services_table.py                   about three hours on two cores
    python benchmarks/services_table.py --only classics   one group

Called again, it goes on: every run is kept in --folder. Runs take one thread each, --jobs of them at a time. Every
method is judged on the same 100 fresh episodes, and given as a share of the prophet, who knows the hidden qualities.
When a method first beats crash-avoid is read off its evaluations during training, which are of 20 episodes each: it is
the time of an evaluation, and mostly of the first one after the start, so no more than a bound.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from common import finish, machine, milliseconds, show

from netdiffuse import D2SAC, load
from netdiffuse.algorithms.d2sac.losses import entropy_of
from netdiffuse.common import mean_interval
from netdiffuse.experiments import Run
from netdiffuse.experiments.compare import Comparison, compare
from netdiffuse.experiments.specs import parse_spec
from netdiffuse.problems.aigc_services import AIGCServicesVectorEnv

SERVICES = "aigc-services"
STEPS = (1, 2, 3, 5, 8)
RULES = ("random", "round-robin", "crash-avoid", "prophet")
CRASH_AVOID, PROPHET = 355.3, 556.4  # their mean returns, 1,000 episodes
PAPER = {  # returns in Du et al. (arXiv 2303.13052), on episodes of its own
    "random": -35.0,
    "round-robin": 280.0,
    "crash-avoid": 400.0,
    "dqn": 503.0,
    "ppo": 481.0,
    "d2sac:actor=mlp": 436.0,  # its SAC
    "d2sac": 537.0,
    "prophet": 596.0,
}  # and Rainbow: 450


@dataclass(frozen=True)
class Study:
    """Methods on a task, each with the seeds 0, 1, .. and for so many seconds."""

    problem: str
    seconds: float
    seeds: int
    methods: tuple[str, ...]


STUDIES = {
    "ablation": (
        Study(SERVICES, 180, 5, ("d2sac", "d2sac:actor=mlp")),
        Study(SERVICES, 180, 3, tuple(f"d2sac:denoising_steps={n}" for n in STEPS if n != 3)),
    ),
    "table": (
        Study(SERVICES, 600, 5, ("d2sac", "d2sac:actor=mlp")),
        Study(SERVICES, 600, 3, ("dqn", "ppo", "qr-dqn", "a2c")),
    ),
    # Where an episode's length is the reward, n-step returns carry it faster. Acrobot's only reward is its end, which
    # random play reaches when it keeps its actions for a while, and seldom otherwise.
    "classics": (
        Study(
            "Acrobot-v1",
            300,
            5,
            ("d2sac:n_steps=3:ent_coef=0.05:final_ent_coef=0.003:tau=0.005:learning_starts=16000:repeat=5",),
        ),
        Study("CartPole-v1", 240, 5, ("d2sac:n_steps=5",)),
    ),
}
Row = dict[str, Any]


def compare_all(study: Study, out: Path, jobs: int) -> Comparison:
    """Train what is not trained yet."""
    return compare(
        study.problem,
        (*study.methods, *(RULES if study.problem == SERVICES else ())),
        range(study.seeds),
        seconds=study.seconds,
        out=out,
        jobs=jobs,
        report=lambda text: print(f"  {text}", flush=True),
    )


def first_above(run: Run, percent: float) -> tuple[float, float]:
    """Steps and seconds of training at the first evaluation above a share of the prophet; infinite without one."""
    above = run.curve[run.curve["prophet_percent"] > percent]
    return (float(above["timesteps"].iloc[0]), float(above["seconds"].iloc[0])) if len(above) else (np.inf, np.inf)


def learned(method: str, runs: list[Run]) -> Row:
    """A method that learns, over its seeds; of times, the longest."""
    summaries = [run.summary for run in runs if run.summary is not None]
    found = [summary["evaluation"] for summary in summaries]
    percent = [e["prophet_percent"] for e in found]
    crash_avoid = [first_above(run, 100 * CRASH_AVOID / PROPHET) for run in runs]
    return {
        "method": method,
        "seeds": len(runs),
        "return": str(mean_interval([e["return_mean"] for e in found])),
        "prophet_percent": str(mean_interval(percent)),
        "worst": min(percent),
        "crash_percent": float(np.mean([e["crash_percent"] for e in found])),
        "train_seconds": float(np.mean([summary["train_seconds"] for summary in summaries])),
        "timesteps": float(np.mean([summary["timesteps"] for summary in summaries])),
        "steps_to_beat_crash_avoid": max(steps for steps, _ in crash_avoid),
        "seconds_to_beat_crash_avoid": max(seconds for _, seconds in crash_avoid),
        "seconds_to_90_percent": max(first_above(run, 90)[1] for run in runs),
        "seconds_to_95_percent": max(first_above(run, 95)[1] for run in runs),
        "paper": paper(method),
    }


def rule(method: str, evaluations: list[dict[str, Any]], prophet: float) -> Row:
    """A rule, which learns nothing."""
    mean = float(np.mean([one["return_mean"] for one in evaluations]))
    return {
        **dict.fromkeys(COLUMNS["table"]),
        "method": method,
        "return": mean,
        "prophet_percent": 100 * mean / prophet,
        "crash_percent": float(np.mean([one["crash_percent"] for one in evaluations])),
        "paper": paper(method),
    }


def paper(method: str) -> float | None:
    """The paper's return as a share of its prophet's, percent."""
    return 100 * PAPER[method] / PAPER["prophet"] if method in PAPER else None


def services(group: Literal["table", "ablation"], folder: Path, jobs: int) -> list[Row]:
    """The rows of a group of studies on edge services."""
    out, rows = folder / group, []
    for study in STUDIES[group]:
        found = compare_all(study, out, jobs)
        for method in study.methods:
            runs = [load(out / f"{parse_spec(method).folder}-s{seed}") for seed in range(study.seeds)]
            row = learned(method, runs)
            if group == "ablation":
                row["ms_a_decision"] = decision_ms(runs[0])
                row["ms_a_vector_step"] = 1e3 * 64 * row["train_seconds"] / row["timesteps"]
            rows.append(row)
    if group == "table":
        # Their seeds differ in what rules draw, not in the episodes.
        evaluations = {name: [row["evaluation"] for row in found.rows if row["method"] == name] for name in RULES}
        prophet = float(np.mean([one["return_mean"] for one in evaluations["prophet"]]))
        rows += [rule(name, evaluations[name], prophet) for name in RULES]
    return rows


def decision_ms(run: Run) -> float:
    """Milliseconds for one deterministic choice, the shortest of five rounds."""
    model = run.model
    observation = np.full((1, 42), 0.5, dtype=np.float32)
    return min(milliseconds(lambda: model.predict(observation, deterministic=True), 200) for _ in range(5))


def classics(folder: Path, jobs: int) -> list[Row]:
    """D2SAC on Gymnasium's classic control, judged on 100 episodes."""
    rows = []
    for study in STUDIES["classics"]:
        out, (method,) = folder / study.problem, study.methods
        compare_all(study, out, jobs)
        runs = [load(out / f"{parse_spec(method).folder}-s{seed}") for seed in range(study.seeds)]
        returns = [one.evaluate(100)["return_mean"] for one in runs]
        timesteps = [one.summary["timesteps"] for one in runs if one.summary is not None]
        rows.append(
            {"problem": study.problem, "method": method, "seeds": study.seeds, "return": str(mean_interval(returns))}
            | {"worst": min(returns), "returns": returns, "seconds": study.seconds, "timesteps": np.mean(timesteps)}
        )
    return rows


def first_policy(seeds: int = 5) -> Row:
    """Entropy of the untrained policy in nats, mean and least over seeds, and that of the uniform one."""
    observations = torch.from_numpy(AIGCServicesVectorEnv(64).reset(seed=0)[0])
    entropies = []
    for seed in range(seeds):
        model = D2SAC("MlpPolicy", AIGCServicesVectorEnv(64), seed=seed)
        with torch.no_grad():
            x0 = model.actor(model.policy.context(observations))
            entropies.append(float(entropy_of(model.policy.log_probs(x0, None)).mean()))
    return {"method": "d2sac, untrained", "entropy": float(np.mean(entropies)), "least": min(entropies)} | {
        "uniform": float(np.log(20))
    }


COLUMNS = {
    "table": (
        "method",
        "seeds",
        "return",
        "prophet_percent",
        "worst",
        "crash_percent",
        "timesteps",
        "steps_to_beat_crash_avoid",
        "seconds_to_beat_crash_avoid",
        "seconds_to_90_percent",
        "seconds_to_95_percent",
        "paper",
    ),
    "ablation": ("method", "seeds", "return", "prophet_percent", "worst", "ms_a_decision", "ms_a_vector_step"),
    "classics": ("problem", "method", "seeds", "return", "worst", "seconds", "timesteps"),
    "first": ("method", "entropy", "least", "uniform"),
}


def main(
    only: Literal["first", "table", "ablation", "classics"] | None = None,
    folder: Path = Path("runs/services"),
    jobs: int = 2,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure D2SAC and its baselines.

    Args:
        only: one group alone.
        folder: where the runs are.
        jobs: runs at the same time.
        json: print JSON beside the tables.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(1), "jobs": jobs}
    for group in ("first", "ablation", "table", "classics") if only is None else (only,):
        print(group, flush=True)
        if group == "first":
            rows = [first_policy()]
        else:
            rows = classics(folder, jobs) if group == "classics" else services(group, folder, jobs)
        show(COLUMNS[group], [[row[c] for c in COLUMNS[group]] for row in rows])
        result[group] = rows
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

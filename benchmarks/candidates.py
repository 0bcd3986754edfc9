"""What drawing several candidates is worth: interfering links, where good decisions are many.

    python benchmarks/candidates.py runs/interference-s0 runs/interference-s1   finished runs
    python benchmarks/candidates.py --seconds 120 --seeds 0 1 2                 trains them first, into --folder

For each run of `diffusion-apg` on `interference-channel` the policy draws 64 actions a context; the best of the first n
by utility (which is known: it is the sum rate) is kept, n = 1, 2, 4 .. 64. The figure shows their mean utility as a
percentage of WMMSE's, with a 95% interval over the runs, beside the exhaustive search over links that are on or off,
the best single link and the policy's deterministic decision. Then the same policy decides for 20 links, untrained on
them, as a percentage of WMMSE there.
"""

from pathlib import Path
from typing import Any

import torch
import tyro
from common import finish, machine, show, trained
from torch import Tensor

from netdiffuse import load, make_problem
from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.common import mean_interval
from netdiffuse.common.seeding import generator
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.figures.style import POLICY, level_lines, new_figure, save, styled
from netdiffuse.problems import InterferenceChannel
from netdiffuse.problems.on_off import best_single_link, exhaustive_on_off

DRAWS = 64
COUNTS = (1, 2, 4, 8, 16, 32, 64)
CHUNK = 2**21  # numbers that an entity or a pair carries, held at a time


@torch.no_grad()
def best_of(model: DiffusionAlgorithm, problem: InterferenceChannel, contexts: Tensor, draws: int) -> Tensor:
    """Mean utility of the best of the first 1, 2, .. `draws` candidates, shape (draws,)."""
    model.policy.set_training_mode(False)
    total = torch.zeros(draws)
    rows = max(1, CHUNK // (draws * problem.links**2 * model.policy.width))
    for chunk in contexts.split(rows):
        actions = model.policy.candidates(chunk, draws)  # (n, draws, action_size)
        repeated = chunk.repeat_interleave(draws, 0)
        utility = problem.utility(repeated, problem.feasible.decode(actions.flatten(0, 1)))
        total += utility.reshape(-1, draws).cummax(1).values.sum(0)
    return total / len(contexts)


def deterministic(model: DiffusionAlgorithm, problem: InterferenceChannel, contexts: Tensor) -> float:
    """Mean utility of the policy's deterministic decisions."""
    actions = [torch.as_tensor(model.predict(c.numpy(), deterministic=True)[0]) for c in contexts.split(256)]
    return float(problem.utility(contexts, problem.feasible.decode(torch.cat(actions))).mean())


def judge(model: DiffusionAlgorithm, problem: InterferenceChannel, contexts: Tensor, draws: int) -> dict[str, Any]:
    """A policy as percentages of WMMSE: its deterministic decision, and the best of n draws."""
    percent = 100 / float(problem.utility(contexts, problem.reference(contexts)).mean())
    torch.manual_seed(0)
    best = (best_of(model, problem, contexts, draws) * percent).tolist()
    return {
        "deterministic": deterministic(model, problem, contexts) * percent,
        "best_of": {n: best[n - 1] for n in COUNTS if n <= draws},
    }


def rules(problem: InterferenceChannel, contexts: Tensor) -> dict[str, float]:
    """The levels to compare with, as percentages of WMMSE."""
    found = {"WMMSE": problem.reference(contexts), "best single link": best_single_link(contexts, problem.max_power)}
    found["exhaustive on/off"] = exhaustive_on_off(contexts, problem.noise_power, problem.max_power)
    means = {name: float(problem.utility(contexts, decisions).mean()) for name, decisions in found.items()}
    return {name: 100 * value / means["WMMSE"] for name, value in means.items()}


def draw(judged: list[dict[str, Any]], levels: dict[str, float], path: Path) -> Path:
    """The figure: percent of WMMSE against the number of candidates."""
    with styled():
        figure = new_figure(6.8, 4.2)
        axes = figure.subplots()
        intervals = [mean_interval([one["best_of"][n] for one in judged]) for n in COUNTS]
        means = [interval.mean for interval in intervals]
        half = None if len(judged) == 1 else [interval.half_width for interval in intervals]
        axes.errorbar(COUNTS, means, half, color=POLICY, marker="o", markersize=4, capsize=3, elinewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
        axes.set_xlabel("candidates drawn, of which the best is kept")
        axes.set_ylabel("sum rate (% of WMMSE)")
        runs = f"{len(judged)} runs, mean and 95% interval" if half else "one run"
        axes.set_title(f"diffusion-apg on interference-channel, {runs}")
        span = [*means, *levels.values()]
        margin = 0.08 * (max(span) - min(span))
        axes.set_ylim(min(span) - margin, max(span) + 2 * margin)
        level_lines(axes, levels, COUNTS[-1])
        return save(figure, path)


def main(
    runs: tyro.conf.Positional[tuple[Path, ...]] = (),
    /,
    seconds: float = 120.0,
    seeds: tuple[int, ...] = (0, 1, 2),
    folder: Path = Path("runs/benchmark-candidates"),
    contexts: int = 2000,
    larger: int = 20,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
    figure: Path = Path("candidates.png"),
) -> None:
    """Measure what candidates are worth.

    Args:
        runs: folders of finished runs of diffusion-apg on interference-channel; none to train them.
        seconds: seconds of training of each run that is not there yet.
        seeds: their seeds.
        folder: where they are.
        contexts: contexts to decide in.
        larger: links of the channel that the policies are taken to.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
        figure: where the figure goes.
    """
    about = machine(threads)
    opened = [load(path) for path in runs] or trained("interference-channel", "diffusion-apg", seeds, seconds, folder)
    problem = make_problem("interference-channel")
    wide = make_problem("interference-channel", links=larger)
    assert isinstance(problem, InterferenceChannel)
    assert isinstance(wide, InterferenceChannel)
    here, there = (
        problem.sample_contexts(contexts, generator(SEED)),
        wide.sample_contexts(contexts // 4, generator(SEED)),
    )
    levels = rules(problem, here)
    judged, moved = [], []
    for run in opened:
        assert isinstance(run.model, DiffusionAlgorithm)
        judged.append(judge(run.model, problem, here, DRAWS))
        moved.append(judge(run.model.transfer(wide), wide, there, 32))
    result = {
        "machine": about,
        "runs": [str(run.path) for run in opened],
        "contexts": contexts,
        "links": problem.links,
        "percent_of_wmmse": levels,
        "policies": judged,
        "larger_links": larger,
        "larger_policies": moved,
        "figure": str(draw(judged, levels, figure)),
    }
    if not json:
        _show(result, judged, moved, levels)
    finish(result, json, out)


def _show(result: dict[str, Any], judged: list[Any], moved: list[Any], levels: dict[str, float]) -> None:
    def over_runs(policies: list[Any], n: int | None) -> str:
        return str(mean_interval([p["deterministic"] if n is None else p["best_of"][n] for p in policies]))

    larger = f"{result['larger_links']} links"
    rows: list[list[object]] = [[f"best of {n}", over_runs(judged, n), ""] for n in COUNTS]
    for row, n in zip(rows, COUNTS, strict=True):
        row[2] = over_runs(moved, n) if n in moved[0]["best_of"] else ""
    rows.insert(0, ["deterministic", over_runs(judged, None), over_runs(moved, None)])
    rows += [[name, f"{value:.2f}", ""] for name, value in levels.items()]
    show(["percent of WMMSE", f"{result['links']} links", larger], rows)
    print(f"{len(judged)} runs, {result['contexts']} contexts; figure {result['figure']}")


if __name__ == "__main__":
    tyro.cli(main)

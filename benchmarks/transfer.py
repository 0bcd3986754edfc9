"""How well an equivariant policy decides for more channels than it was trained on.

    python benchmarks/transfer.py runs/permuted-20/diffusion-bc-s0 runs/permuted-20/diffusion-bc-s1
    python benchmarks/transfer.py --seconds 30 --seeds 0 1 2        trains them first, into --folder

The runs are on `power-allocation-permuted` with 20 channels and a total power of 2.4. Their policies decide, without
retraining, for 100 channels and a total power of 12, which is as much a channel.
"""

from pathlib import Path
from typing import Any

import tyro
from common import finish, machine, show, trained

from netdiffuse import load, make_problem
from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.experiments import LearnedPolicy, Run, evaluate
from netdiffuse.problems import Simplex

PROBLEM = "power-allocation-permuted"
FEWER = {"channels": 20, "total_power": 2.4}
MORE = {"channels": 100, "total_power": 12.0}


def judge(run: Run, contexts: int) -> dict[str, Any]:
    """Optimality of a run's policy where it was trained and where it was not."""
    assert isinstance(run.model, DiffusionAlgorithm)
    assert isinstance(run.problem.feasible, Simplex)
    # The coordinates keep the scale that the policy knows.
    larger = make_problem(PROBLEM, **MORE, scale=run.problem.feasible.scale)
    moved = LearnedPolicy(run.model.transfer(larger), larger)
    own = run.evaluate(contexts)["optimality_percent"]
    other = evaluate(moved, larger, contexts=contexts)["optimality_percent"]
    return {"run": str(run.path), "trained_percent": own, "transferred_percent": other, "loss": own - other}


def main(
    runs: tyro.conf.Positional[tuple[Path, ...]] = (),
    /,
    algorithm: str = "diffusion-bc",
    seconds: float = 30.0,
    seeds: tuple[int, ...] = (0, 1, 2),
    folder: Path = Path("runs/benchmark-transfer"),
    contexts: int = 5000,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure what moving to more channels costs.

    Args:
        runs: folders of finished runs on power-allocation-permuted with 20 channels; none to train them.
        algorithm: what to train.
        seconds: seconds of training of each run that is not there yet.
        seeds: their seeds.
        folder: where they are.
        contexts: contexts to decide in.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    about = machine(threads)
    opened = [load(path) for path in runs] or trained(PROBLEM, algorithm, seeds, seconds, folder, FEWER)
    rows = [judge(run, contexts) for run in opened]
    if not json:
        columns = ["run", "trained_percent", "transferred_percent", "loss"]
        titles = ["run", f"{FEWER['channels']} channels (%)", f"{MORE['channels']} channels (%)", "loss (points)"]
        show(titles, [[row[c] for c in columns] for row in rows])
    finish({"machine": about, "trained_on": FEWER, "moved_to": MORE, "rows": rows}, json, out)


if __name__ == "__main__":
    tyro.cli(main)

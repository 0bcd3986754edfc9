"""Personalities matter: G-DDPG that sees the users' personas against G-DDPG that does not, on shared denoising.

    python benchmarks/sharing_personas.py                     a quarter of an hour on a core
    python benchmarks/sharing_personas.py --seeds 0 1 2       fewer pairs

Called again, it goes on: every run is kept in --folder. Both of a pair have a seed, and are judged on the same fresh
sessions: the same users, prompts and channels. The difference is taken pair by pair.
"""

from pathlib import Path
from typing import Any

import tyro
from common import finish, machine, show
from rich.progress import track

from netdiffuse import load
from netdiffuse.common import InvalidValueError, mean_interval
from netdiffuse.experiments import Run, resume, train

PROBLEM = "shared-denoising"


def trained(folder: Path, seed: int, shown: bool, timesteps: int) -> Run:
    """The finished run: that in the folder, or trained now."""
    path = folder / f"{'seen' if shown else 'hidden'}-s{seed}"
    if path.exists():
        run = load(path)
        if run.config.budget["timesteps"] != timesteps:
            raise InvalidValueError(f"{path} was made with budget {run.config.budget}: choose another --folder")
        return run if run.finished else resume(path)
    arguments = {"show_personas": shown}
    return train(PROBLEM, "gddpg", timesteps=timesteps, seed=seed, out=path, problem_args=arguments)


def main(
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    timesteps: int = 120_000,
    sessions: int = 200,
    folder: Path = Path("runs/sharing-personas"),
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Train and judge the pairs.

    Args:
        seeds: one pair each.
        timesteps: of training.
        sessions: fresh ones that each run is judged on.
        folder: where the runs are kept.
        threads: threads of torch.
        json: print JSON instead of tables.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "timesteps": timesteps, "sessions": sessions}
    pairs = []
    for seed in track(seeds, "pairs", disable=json):
        pairs.append([trained(folder, seed, shown, timesteps).evaluate(sessions) for shown in (True, False)])
    names = [name for name in pairs[0][0] if name.startswith("qoe")]
    rows = []
    for name in ["return_mean", *names]:
        seen, hidden = ([float(pair[which][name]) for pair in pairs] for which in (0, 1))
        margin = [a - b for a, b in zip(seen, hidden, strict=True)]
        rows.append({"measure": name, "seen": seen, "hidden": hidden, "margin": margin})
    result["rows"] = rows
    if not json:
        columns = ["measure", "sees personas", "does not", "margin"]
        table = [[row["measure"], *(_interval(row[part]) for part in ("seen", "hidden", "margin"))] for row in rows]
        show(columns, table)
    finish(result, json, out)


def _interval(values: list[float]) -> str:
    mean, half = mean_interval(values)[:2]
    return f"{mean:.3f} +- {half:.3f}"


if __name__ == "__main__":
    tyro.cli(main)

"""The loop closed: does a policy please its users more after it has learned from their ratings?

    python benchmarks/closed_loop.py                        20 minutes on two cores
    python benchmarks/closed_loop.py --shift 1              users as the simulator has them
    python benchmarks/closed_loop.py --matters delay --shift 2
    python benchmarks/closed_loop.py --keep runs/closed_loop && netdiffuse plot runs/closed_loop/seed-0/run

A policy is trained in the simulator, where users rate as `ParametricRater` says, and serves a real edge server with the
small model (extra [denoising]). Devices with personas ask, finish their pictures, and rate what they measured; but
these users are others than the simulator's: their batteries (or waiting) matter `--shift` times as much to them. The
policy explores, learns from their ratings, and serves the same requests again. What is reported is their mean opinion,
a user's part of the reward and the server's joules a user, before and after, both without exploration, with 95%
intervals over seeds; and, as a control, the same after as many more seconds of training in the simulator without any
ratings. Seconds, not timesteps, of which either takes as many as it can: they are told too.
"""

import dataclasses
import shutil
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import tyro
import uvicorn
from common import finish, machine, show

from netdiffuse.common import mean_interval
from netdiffuse.denoising.default_model import default_model_path
from netdiffuse.denoising.device import EdgeDevice
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Report
from netdiffuse.denoising.edge.ratings import RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.embeddings import default_encoder
from netdiffuse.denoising.families import Family, open_model
from netdiffuse.denoising.study import make_judge
from netdiffuse.experiments import Run, resume, train
from netdiffuse.experiments.allocation import make_allocator
from netdiffuse.problems.shared_denoising.experience import effort, opinion
from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import STEPS
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator
from netdiffuse.users import PRESETS, Persona

Matters = Literal["battery", "delay"]


class Asked(NamedTuple):
    """Who asks: how many, and what matters to them, how many times as much as to the simulator's users."""

    users: int
    matters: Matters
    shift: float


def shifted(persona: Persona, matters: Matters, shift: float) -> Persona:
    """The same person, to whom one thing matters `shift` times as much, who tolerates that much less of it."""
    wants = persona.preferences
    if matters == "battery":
        changed = {
            "energy_importance": min(1.0, shift * wants.energy_importance),
            "energy_tolerance": wants.energy_tolerance / shift,
        }
    else:
        changed = {
            "delay_importance": min(1.0, shift * wants.delay_importance),
            "patience_s": max(1.01 * wants.unnoticed_s, wants.patience_s / shift),
        }
    return dataclasses.replace(persona, preferences=dataclasses.replace(wants, **changed))


@contextmanager
def serving(run: Run, model: Family, users: int, ratings: Path, explore: float | None) -> Iterator[str]:
    """An edge server by a run's policy: its address."""
    allocator = make_allocator(run, default_encoder(), explore)
    engine = LocalEngine.of(model, allocator, STEPS)
    settings = ServerSettings(window_s=60.0, enough_in_window=users, most_in_window=users, rate=0, call_rate=0)
    with TemporaryDirectory() as folder, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = make_server(
            engine, Journal(Path(folder) / "journal.sqlite"), settings, RatingStore(ratings), allocator.check
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


def opinions(
    run: Run,
    models: list[Family],
    windows: int,
    asked: Asked,
    ratings: Path,
    explore: float | None,
    seed: int,
) -> dict[str, float]:
    """What the users of some windows say, who ask, finish and rate over HTTP; the same windows for the same seed.

    Returns:
        Means over all users: `opinion`, `reward` (a user's part of it) and `server_j`.
    """
    users = asked.users
    world = SharedDenoisingSimulator(1, SharedDenoisingSettings(users=users, slots=1))
    world.seed(seed)
    judge = make_judge("classifier")
    people, captions = list(PRESETS.values()), library().captions

    def use(url: str, window: int, user: int) -> None:
        persona = people[world.person[0, user]]
        report = Report(
            gain_db=float(10 * np.log10(world.slot.gain[0, user])),
            frequency_ghz=float(world.frequency_hz[0, user] / 1e9),
            battery=float(world.left_j[0, user] / world.settings.battery_j),
            persona=persona.name,
            wants=tuple(world.population[world.person[0, user]].tolist()),
        )
        prompt = captions[world.slot.caption[0, user]]
        device = EdgeDevice(models[user], url, report=report, patience_s=600)
        outcome = device.make(prompt, request_id=f"s{seed}-w{window}-u{user}")
        if outcome.source == "alone":
            raise RuntimeError(f"the server did not help: {outcome.reason}")
        took = effort(outcome.grant, outcome.shared_steps, STEPS, report)
        (quality,) = [0.0] if took.lost else judge([outcome.picture], [prompt])
        who = shifted(persona, asked.matters, asked.shift)
        device.rate(
            outcome.request_id,
            opinion(who, prompt, quality, took.delay_s, took.energy_share, outcome.request_id),
        )
        device.close()

    with serving(run, models[-1], users, ratings, explore) as url, ThreadPoolExecutor(users) as devices:
        for window in range(windows):
            world.begin()
            list(devices.map(use, [url] * users, [window] * users, range(users)))
    with closing(sqlite3.connect(ratings)) as db:
        rows = np.array(db.execute("SELECT rating, server_j FROM ratings").fetchall(), np.float64)
    if len(rows) != windows * users or np.isnan(rows).any():
        raise RuntimeError(f"{windows * users} ratings with joules were to be kept, {ratings} has {len(rows)}")
    rating, server_j = rows.T
    reward = rating - 1 - world.settings.energy_weight * server_j
    return {"opinion": float(rating.mean()), "reward": float(reward.mean()), "server_j": float(server_j.mean())}


def trained_for(run: Run) -> dict[str, int]:
    """The timesteps of a run that has come to a stop."""
    return {"timesteps": run.summary["timesteps"]}


def once(
    seed: int,
    models: list[Family],
    folder: Path,
    asked: Asked,
    seconds: float,
    windows: int,
    judged: int,
    explore: float,
) -> dict[str, Any]:
    """One run, served, rated, learned from, and served again.

    Returns:
        The `seed`; what `opinions` says and the `timesteps` trained in all, `before`, `after` and of the `control`; and
        of the `ratings` how many were learned from, and how many were of no use (`left_out`).
    """
    arguments = {"users": asked.users, "slots": 1}
    run = train(
        "shared-denoising",
        "gddpg",
        seconds=seconds,
        seed=seed,
        out=folder / "run",
        problem_args=arguments,
        policy="EquivariantPolicy",
    )
    test, ratings = 10_000 + seed, folder / "ratings.sqlite"
    before = opinions(run, models, judged, asked, folder / "before.sqlite", None, test)
    opinions(run, models, windows, asked, ratings, explore, seed)
    shutil.copytree(run.path, folder / "control")
    found: dict[str, Any] = {"before": before | trained_for(run)}
    for name, path, given in (("after", run.path, ratings), ("control", folder / "control", None)):
        further = resume(path, seconds=2 * seconds, ratings=given)
        told = opinions(further, models, judged, asked, folder / f"{name}.sqlite", None, test)
        found[name] = told | trained_for(further)
        if given is not None:
            found["ratings"] = {count: further.summary["ratings"][count] for count in ("ratings", "left_out")}
    return {"seed": seed, **found}


def main(
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    users: int = 4,
    seconds: float = 25.0,
    windows: int = 50,
    judged: int = 50,
    matters: Matters = "battery",
    shift: float = 3.0,
    explore: float = 0.1,
    threads: int = 1,
    keep: Path | None = None,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure it.

    Args:
        seeds: of the trainings and of the requests.
        users: devices in a window.
        seconds: of training before serving, and as many again with ratings, or without in the control.
        windows: served while exploring, whose ratings are learned from.
        judged: windows served before and after, others than those.
        matters: what matters to the users otherwise than to the simulator's.
        shift: how many times as much it matters.
        explore: standard deviation of the noise while exploring.
        threads: threads of torch.
        keep: a folder where the runs and ratings of all seeds are kept; those of seed 0 in seed-0/run, and so on.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "rows": []}
    # One for each device and one for the server, as in processes of their own: models are not made for threads.
    models = [open_model(str(default_model_path())) for _ in range(users + 1)]
    for seed in seeds:
        with TemporaryDirectory() if keep is None else nullcontext(keep / f"seed-{seed}") as folder:
            asked = Asked(users, matters, shift)
            result["rows"].append(once(seed, models, Path(folder), asked, seconds, windows, judged, explore))
            print(result["rows"][-1], file=sys.stderr)  # minutes each
    rows = result["rows"]
    whens = ("before", "after", "control")
    table = []
    for measure in ("opinion", "reward", "server_j", "timesteps"):
        digits = 0 if measure == "timesteps" else 3
        columns = {when: np.array([row[when][measure] for row in rows]) for when in whens}
        columns |= {f"after - {when}": columns["after"] - columns[when] for when in ("before", "control")}
        result[measure] = {}
        for name, values in columns.items():
            mean, half_width = mean_interval(values.tolist())
            result[measure][name] = {"mean": mean, "half_width": half_width if len(values) > 1 else None}
            table.append([measure, name, f"{mean:.{digits}f}", f"{half_width:.{digits}f}" if len(values) > 1 else ""])
    result |= {"users": users, "seconds": seconds, "windows": windows, "judged": judged, "matters": matters}
    result |= {"shift": shift, "explore": explore}
    if not json:
        show(["measure", "when", "mean", "95% interval, +-"], table)
        counts = ", ".join("{ratings} and {left_out}".format(**row["ratings"]) for row in rows)
        print(f"\nratings learned from, and of no use, seed by seed: {counts}")
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

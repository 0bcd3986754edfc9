"""How fast training is: milliseconds a gradient step, the roofline, and seconds to a given optimality.

    python benchmarks/training.py                    batch 256, 5 denoising steps, hidden layers of 256
    python benchmarks/training.py --defaults         GDDPG as it comes
    python benchmarks/training.py --time-to 99       seconds of training to 99% of the optimum

**A gradient step** is one call of `train(1)`: a batch from the replay buffer, the critics' update and the actor's, and
the target networks'. GDDPG and Stable-Baselines3's algorithms take theirs in turn in one process, at the same batch and
widths, on the same problem; the ratios are taken within each round. (TD3 updates its actor at every second step.)

**The roofline** is the time that the matrix products of a step would take if each ran as fast as a product of two
512 x 512 matrices does on this machine with the same threads. Their number follows from the shapes of the layers. A
layer from `a` to `b` takes 2 a b FLOP a row forwards, as many for the gradient of its weights, and as many again for
the gradient of its input. With batch B, context c, action s, hidden layers of h and T denoising steps, a step is

    critics, regression      2 networks: forward and weights, and input but for the first layer, (c + s) h
    critics, under the actor 2 networks: forward and input (their weights are frozen)
    actor, reading contexts  once a chain, c h + h h: forward and weights, and input but for the first layer
    actor, denoising         T times s h + h h + h s: forward and weights, and input but for s h at the first step,
                             which starts at noise

A one-shot episode ends with its step, so nothing is bootstrapped and the target networks are not evaluated. Everything
else (activations, normalisation, Adam, the projection onto the feasible set, Python) counts as zero, so a ratio of 1
cannot be reached. Without `--json` the count is compared with what torch's own counter finds.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from common import Clock, finish, machine, milliseconds, rounds, show
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.utils.flop_counter import FlopCounterMode

from netdiffuse import GDDPG, make_problem
from netdiffuse.algorithms.common.policies import DiffusionPolicy
from netdiffuse.baselines import make_learner, n_envs
from netdiffuse.experiments import Report, train
from netdiffuse.problems import Problem
from netdiffuse.problems.vecenv import ProblemVecEnv

SIZE = 512  # of the matrices whose product sets the roofline
PEERS = ("sac", "td3", "ddpg")


@dataclass(frozen=True)
class Shape:
    """The numbers that the count of FLOP depends on."""

    batch: int
    context: int
    action: int
    hidden: list[int]
    steps: int


def step_flop(shape: Shape) -> int:
    """FLOP of the matrix products in one gradient step of GDDPG with `MlpPolicy`; see the top of this file."""
    h, s, c = shape.hidden, shape.action, shape.context
    inner = sum(a * b for a, b in pairwise(h))  # between hidden layers
    q_first = (c + s) * h[0]
    q = q_first + inner + h[-1]
    regression = 2 * (3 * q - q_first)
    judging = 2 * (2 * q)
    reading = 3 * (c * h[0] + h[0] * h[0]) - c * h[0]
    denoising = 3 * shape.steps * (s * h[0] + inner + h[-1] * s) - s * h[0]
    return 2 * shape.batch * (regression + judging + reading + denoising)


def counted_flop(model: GDDPG, batch: int) -> int:
    """The same as torch's own counter finds it."""
    with FlopCounterMode(display=False) as counter:
        model.train(1, batch)
    return int(counter.get_total_flops())


def shape_of(model: GDDPG, problem: Problem, batch: int) -> Shape:
    """The numbers of a model."""
    policy = model.policy
    assert type(policy) is DiffusionPolicy  # an MLP
    context = int(np.prod(problem.context_shape))
    return Shape(batch, context, problem.feasible.action_size, policy.net_arch, len(policy.actor.schedule))


def matmul_gflop_per_second(clock: Clock) -> float:
    """What a product of two square matrices reaches."""
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    out = torch.empty(SIZE, SIZE)
    return 2 * SIZE**3 / milliseconds(lambda: torch.mm(a, b, out=out), 20, clock) / 1e6


def filled(model: BaseAlgorithm) -> BaseAlgorithm:
    """The model past its warm-up, with transitions to learn from."""
    env = model.get_env()
    assert env is not None
    return model.learn(max(20_000, 20 * env.num_envs), log_interval=10**9)  # a row of logs would cost time


def stepper(model: Any, batch: int, clock: Clock) -> Callable[[], float]:
    """Measures the mean milliseconds of a gradient step."""
    return lambda: milliseconds(lambda: model.train(1, batch), 10, clock)


def gradient_steps(
    problem_name: str, batch: int, steps: int, hidden: tuple[int, ...], defaults: bool, count: int, clock: Clock
) -> dict[str, Any]:
    """Milliseconds a gradient step of each algorithm, and GDDPG's roofline."""
    problem = make_problem(problem_name)
    chosen: dict[str, Any] = {} if defaults else {"denoising_steps": steps, "batch_size": batch}
    policy = {} if defaults else {"net_arch": list(hidden)}
    # Learning begins late and seldom, for the time of filling is not measured.
    ours = GDDPG(
        "MlpPolicy",
        problem,
        learning_starts=10_000,
        train_freq=10,
        critic_warmup=0,
        policy_kwargs=policy,
        seed=0,
        **chosen,
    )
    models: dict[str, Any] = {"gddpg": ours}
    for name in PEERS:
        arguments: dict[str, Any] = {"batch_size": ours.batch_size, "policy_kwargs": {"net_arch": ours.policy.net_arch}}
        env = ProblemVecEnv(problem, n_envs(name), 0)
        models[name] = make_learner(name, env, learning_starts=19_000, **arguments)
    for model in models.values():
        filled(model)
    shape = shape_of(ours, problem, ours.batch_size)
    measures: dict[str, Callable[[], float]] = {"matmul": lambda: matmul_gflop_per_second(clock)}
    measures |= {name: stepper(model, ours.batch_size, clock) for name, model in models.items()}
    rounds(measures, 1)  # warms up
    found = rounds(measures, count)
    flop = step_flop(shape)
    roofline = [flop / (gflop * 1e6) for gflop in found["matmul"]]  # in milliseconds
    return {
        "problem": problem_name,
        "batch": ours.batch_size,
        "denoising_steps": shape.steps,
        "hidden": shape.hidden,
        "gradient_step_ms": {name: float(np.median(found[name])) for name in models},
        "gddpg_over": {name: _median_ratio(found["gddpg"], found[name]) for name in PEERS},
        "matmul_flop": flop,
        "matmul_flop_counted_by_torch": counted_flop(ours, ours.batch_size),
        "matmul_gflop_per_second": float(np.median(found["matmul"])),
        "roofline_ms": float(np.median(roofline)),
        "gddpg_over_roofline": _median_ratio(found["gddpg"], roofline),
    }


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return float(np.median(np.array(ours) / np.array(theirs)))


def seconds_to(
    problem: str, target: float, methods: list[str], seeds: list[int], seconds: float
) -> dict[str, list[float | None]]:
    """Seconds of training until an evaluation first reaches the target; None where `seconds` did not do.

    A run is stopped when it gets there. Its learning rates decay over `seconds` all the same, as a run of that length
    would have them.
    """
    found: dict[str, list[float | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for method in methods:
            found[method] = []
            for seed in seeds:
                out = Path(folder) / f"{method}-{seed}"
                found[method].append(_time_to(problem, target, method, seed, seconds, out))
    return found


def _time_to(problem: str, target: float, method: str, seed: int, seconds: float, out: Path) -> float | None:
    stop = threading.Event()
    reached: list[float] = []

    def look(report: Report) -> None:
        if report.fresh and not reached and report.evaluation["optimality_percent"] >= target:
            reached.append(report.seconds)
            stop.set()

    train(problem, method, seed=seed, seconds=seconds, out=out, stop=stop, report=look, contexts=1000)
    return reached[0] if reached else None


def main(
    problem: str = "power-allocation",
    batch: int = 256,
    steps: int = 5,
    hidden: tuple[int, ...] = (256, 256),
    defaults: bool = False,
    repeats: int = 15,
    time_to: float | None = None,
    methods: tuple[str, ...] = ("gddpg", "sac", "td3", "ddpg", "ppo", "a2c"),
    seeds: tuple[int, ...] = (0, 1, 2),
    seconds: float = 60.0,
    threads: int = 1,
    cpu_time: bool = False,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Measure training.

    Args:
        problem: a problem's name.
        batch: transitions in a gradient step.
        steps: denoising steps.
        hidden: widths of the hidden layers of every network.
        defaults: GDDPG with its own batch, steps and widths instead.
        repeats: rounds of measurements, of which medians are taken.
        time_to: measure seconds of training to this percentage of the reference instead.
        methods: which algorithms, with --time-to.
        seeds: which seeds, with --time-to.
        seconds: the most seconds of a run, with --time-to.
        threads: threads of torch.
        cpu_time: count the processor's time instead of the wall clock's, for a gradient step on a busy machine.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "clock": "process" if cpu_time else "wall"}
    clock = time.process_time if cpu_time else time.perf_counter
    if time_to is not None:
        found = seconds_to(problem, time_to, list(methods), list(seeds), seconds)
        result |= {"problem": problem, "percent": time_to, "budget_seconds": seconds, "seconds": found}
        if not json:
            show(
                ["method", *(f"seed {s}" for s in seeds)],
                [[m, *_or_more(times, seconds)] for m, times in found.items()],
            )
    else:
        result |= gradient_steps(problem, batch, steps, hidden, defaults, repeats, clock)
        if not json:
            _show_steps(result)
    finish(result, json, out)


def _or_more(times: list[float | None], seconds: float) -> list[object]:
    return [f"> {seconds:g} s" if t is None else f"{t:.1f} s" for t in times]


def _show_steps(result: dict[str, Any]) -> None:
    over = {"gddpg": 1.0} | {name: 1 / ratio for name, ratio in result["gddpg_over"].items()}
    show(
        ["algorithm", "ms a gradient step", "relative to gddpg"],
        [[name, ms, over[name]] for name, ms in result["gradient_step_ms"].items()],
    )
    own, torchs = result["matmul_flop"], result["matmul_flop_counted_by_torch"]
    print(
        f"batch {result['batch']}, {result['denoising_steps']} denoising steps, hidden {result['hidden']}: "
        f"{own / 1e6:.0f} MFLOP in matrix products (torch counts {torchs / 1e6:.0f})\n"
        f"{SIZE} x {SIZE} product: {result['matmul_gflop_per_second']:.0f} GFLOP/s, so at least "
        f"{result['roofline_ms']:.2f} ms; GDDPG takes {result['gddpg_over_roofline']:.2f} times that"
    )


if __name__ == "__main__":
    tyro.cli(main)

"""Compare methods on a problem: a run for each method and seed, in a process of its own with one thread."""

import concurrent.futures
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from netdiffuse.common import InvalidValueError, RunError, checks
from netdiffuse.common.files import write_json
from netdiffuse.experiments import methods as known
from netdiffuse.experiments.config import plain, portable_name
from netdiffuse.experiments.evaluation import Evaluation, measure_of
from netdiffuse.experiments.results import RESULTS, Row, plot_comparison
from netdiffuse.experiments.run import CONFIG, Run
from netdiffuse.experiments.specs import MethodSpec, parse_spec
from netdiffuse.experiments.tasks import OneShotTask, make_task


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes:
        path: its folder.
        rows: as in results.json: `problem`, `method` (the word it was asked for with), `seed`, `seconds`,
            `timesteps`, `optimality_percent`, `curve` (pairs of seconds and value), `policy`, `settings` and
            `measure`, which names the number that stands in `optimality_percent` and `curve` where it is
            another (`measure_of`).
        figures: where they are.
    """

    path: Path
    rows: list[Row]
    figures: list[Path]


def compare(
    problem: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    seconds: float = 30.0,
    out: str | Path | None = None,
    jobs: int = 1,
    problem_args: Mapping[str, Any] | None = None,
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Train each method with each seed, and write results.json and figures.

    What is finished in the folder is kept, and an unfinished run resumed, so a stopped comparison goes on
    when it is called again. Rules take no training: their rows are constant.

    Args:
        problem: a name, "file.py:Class" or a Gymnasium id.
        methods: names of algorithms, learners and rules, with settings after colons, as in
            "gddpg:batch_size=64:policy=MlpPolicy".
        seeds: seeds, 0 or more.
        seconds: seconds of training a run.
        out: the folder; runs/compare-PROBLEM by default.
        jobs: runs at the same time.
        problem_args: keyword arguments of the problem.
        report: told what is done.

    Raises:
        UnknownNameError: an unknown problem, method or setting.
        InvalidValueError: no methods or seeds, or one twice, or a setting of another type.
        RunError: a run failed, or the folder holds runs with another budget.
    """
    checks.positive("seconds", seconds)
    checks.integer("jobs", jobs)
    for name, values in (("methods", list(methods)), ("seeds", list(seeds))):
        if not values or len(set(values)) < len(values):
            raise InvalidValueError(f"{name} must be given, each once, got {values}")
    specs = [parse_spec(word) for word in methods]
    if len({spec.folder for spec in specs}) < len(specs):
        raise InvalidValueError(f"methods must differ in more than signs, got {list(methods)}")
    for seed in seeds:
        checks.integer("seed", seed, minimum=0)
    task = make_task(problem, problem_args)
    arguments = plain(problem_args or {})
    word = re.sub(r"[^\w.]+", "-", problem.rpartition(":")[2]).strip("-")
    path = Path("runs") / f"compare-{word}" if out is None else Path(out)
    tell = report or (lambda _: None)
    rules = [spec for spec in specs if known.is_rule(spec.method)]
    rows = {(rule.label, seed): _rule_row(task, rule.method, seed, seconds) for rule in rules for seed in seeds}
    learned = [(spec, seed) for seed in seeds for spec in specs if spec not in rules]
    for spec, seed in learned:
        _check_same(path / f"{spec.folder}-s{seed}", portable_name(problem), arguments, seconds, spec)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        pending = {
            pool.submit(_train, path / f"{spec.folder}-s{seed}", problem, spec, seed, seconds, arguments): (
                spec.label,
                seed,
            )
            for spec, seed in learned
        }
        try:
            for done in concurrent.futures.as_completed(pending):
                label, seed = pending[done]
                rows[label, seed] = done.result()
                value = rows[label, seed]["optimality_percent"]
                tell(f"{label}, seed {seed}: {value:.4g} ({len(rows)} of {len(methods) * len(seeds)})")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    ordered = [rows[method, seed] for method in methods for seed in seeds]
    write_json(path / RESULTS, ordered)
    return Comparison(path, ordered, plot_comparison(path))


def _check_same(path: Path, problem: str, problem_args: dict[str, Any], seconds: float, spec: MethodSpec) -> None:
    """Refuse a run that was made with something else."""
    if not (path / CONFIG).is_file():
        return
    config = Run(path).config
    wanted = {
        "problem": problem,
        "problem_args": problem_args,
        "algorithm": spec.method,
        "settings": spec.settings,
        "budget": {"seconds": seconds, "timesteps": None},
    }
    if spec.policy is not None:
        wanted["policy"] = spec.policy
    wanted = json.loads(json.dumps(wanted))  # as config.json has it: tuples are lists
    for key, value in wanted.items():
        if getattr(config, key) != value:
            raise RunError(f"{path} was made with {key} {getattr(config, key)}, not {value}: choose another --out")


def _train(
    run_dir: Path, problem: str, spec: MethodSpec, seed: int, seconds: float, problem_args: dict[str, Any]
) -> Row:
    """Make sure that a run is finished, and return its row."""
    if not (run_dir / CONFIG).is_file():
        words = [problem, "--algorithm", spec.method, "--seed", str(seed), "--seconds", str(seconds)]
        for key, value in problem_args.items():
            words += ["--problem-set", f"{key}={value!r}"]
        for key, value in spec.settings.items():
            words += ["--set", f"{key}={value!r}"]
        if spec.policy is not None:
            words += ["--policy", spec.policy]
        _netdiffuse("train", *words, "--threads", "1", "--out", str(run_dir))
    elif not Run(run_dir).finished:
        _netdiffuse("train", "--resume", str(run_dir))
    run = Run(run_dir)
    summary = run.summary
    assert summary is not None  # training came to its end
    measure = measure_of(summary["evaluation"])
    curve = run.curve
    # A reference of about zero may be positive on the final evaluation's contexts alone: then there is no curve.
    known_curve = curve[["seconds", measure]].to_numpy().tolist() if measure in curve else []
    return {
        "problem": run.config.problem,
        "method": spec.label,
        "seed": seed,
        "seconds": summary["train_seconds"],
        "timesteps": summary["timesteps"],
        "optimality_percent": summary["evaluation"][measure],
        "curve": known_curve,
        "policy": run.config.policy,
        "settings": run.config.settings,
        "measure": measure,
    }


def _netdiffuse(*words: str) -> None:
    """Run the command line in a process of its own.

    Raises:
        KeyboardInterrupt: it was stopped by Ctrl-C.
        RunError: it failed.
    """
    result = subprocess.run([sys.executable, "-m", "netdiffuse", *words], capture_output=True, text=True, check=False)
    if result.returncode in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["it said nothing"]
        raise RunError(f"netdiffuse {' '.join(words)} failed: {lines[-1]}")


def _rule_row(task: Any, rule: str, seed: int, seconds: float) -> Row:
    if not isinstance(task, OneShotTask):
        raise InvalidValueError(f"'{rule}' is a rule for one-shot problems; {task.name} is sequential")
    with torch.no_grad():
        decide = known.rule_decide(rule, task.problem, seed)
        evaluation = Evaluation(task.problem)(decide, baselines=False)
    measure = measure_of(evaluation)
    value = evaluation[measure]
    return {
        "problem": portable_name(task.name),
        "method": rule,
        "seed": seed,
        "seconds": 0.0,
        "timesteps": 0,
        "optimality_percent": value,
        "curve": [[0.0, value], [seconds, value]],
        "policy": None,
        "settings": {},
        "measure": measure,
    }

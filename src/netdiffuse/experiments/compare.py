"""Compare methods on a problem: a run for each method and seed, in a process of its own with one thread."""

import concurrent.futures
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netdiffuse.common import InvalidValueError, RunError, checks
from netdiffuse.common.files import write_json
from netdiffuse.experiments import methods as known
from netdiffuse.experiments.children import Children
from netdiffuse.experiments.config import plain, portable_name
from netdiffuse.experiments.evaluation import measure_of
from netdiffuse.experiments.policies import undisturbed
from netdiffuse.experiments.results import RESULTS, Row, plot_comparison, read_rows
from netdiffuse.experiments.run import CONFIG, Run
from netdiffuse.experiments.specs import MethodSpec, method_label, parse_spec
from netdiffuse.experiments.tasks import AnyTask, make_task
from netdiffuse.experiments.training import check_resumable


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes:
        path: its folder.
        rows: as in results.json, those of methods and seeds that earlier calls have asked for among them: `problem`,
            `method` (the word it was asked for with), `seed`, `seconds`, `timesteps`, `optimality_percent`, `curve`
            (pairs of seconds and value), `policy`, `settings`, `measure`, which names the number that stands in
            `optimality_percent` and `curve` where it is another (`measure_of`), `problem_args`, the whole
            `evaluation`, `curve_timesteps`, the environment steps of each point of the curve, and `curve_levels`, what
            rules reach on the curve's own contexts or episodes.
        figures: where they are; of all rows.
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
    when it is called again. Further methods and seeds on the same problem, with the same budget, are added to what is
    in results.json; another problem is refused. Rules take no training: their rows are constant.

    Ctrl-C, or the end of this process, stops the trainings with everything saved.

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
        UnsupportedError: a method that cannot learn this problem.
        RunError: a run failed, or the folder holds something on another problem or with another budget.
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
        checks.seed("seed", seed)
    task = make_task(problem, problem_args)
    arguments = plain(problem_args or {})
    word = re.sub(r"[^\w.]+", "-", problem.rpartition(":")[2]).strip("-")
    path = Path("runs") / f"compare-{word}" if out is None else Path(out)
    tell = report or (lambda _: None)
    rules = [spec for spec in specs if known.is_rule(spec.method)]
    learned = {path / f"{spec.folder}-s{seed}": (spec, seed) for seed in seeds for spec in specs if spec not in rules}
    common = {
        "problem": portable_name(task.name),
        "problem_args": json.loads(json.dumps(arguments)),  # as files have it: tuples are lists
        "budget": {"seconds": seconds, "timesteps": None},
    }
    _other_rows(path, common, ())
    for config in sorted(path.glob(f"*/{CONFIG}")):
        _check_same(config.parent, common, learned.get(config.parent, (None, 0))[0])
    for spec in specs:
        if spec not in rules:
            check_learns(spec, task)
    rows = {(rule.label, seed): _rule_row(task, rule.method, seed, common) for rule in rules for seed in seeds}
    for (label, seed), row in rows.items():
        tell(f"{label}, seed {seed}: {row['optimality_percent']:.4g} (a rule, nothing to train)")
    if learned:
        tell(f"{len(learned)} runs of {seconds:g} s of training, {jobs} at a time; finished ones are kept")
    done_count = 0
    try:
        # On an error the children are told to stop, then the pool waits for them.
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool, Children() as children:
            pending = {
                pool.submit(_train, children, run_dir, problem, spec, seed, seconds, arguments): (spec.label, seed)
                for run_dir, (spec, seed) in learned.items()
            }
            for done in concurrent.futures.as_completed(pending):
                label, seed = pending[done]
                rows[label, seed] = done.result()
                value = rows[label, seed]["optimality_percent"]
                done_count += 1
                tell(f"{label}, seed {seed}: {value:.4g} ({done_count} of {len(learned)})")
    except KeyboardInterrupt:
        tell(f"stopped early, with everything saved in {path}: call it again to go on")
        raise
    ordered = [rows[method, seed] for method in methods for seed in seeds] + _other_rows(path, common, rows)
    write_json(path / RESULTS, ordered)
    return Comparison(path, ordered, plot_comparison(path))


def _other_rows(path: Path, common: Mapping[str, Any], asked: Collection[tuple[str, int]]) -> list[Row]:
    """The rows that a folder has of methods and seeds that are not asked for now; of another problem it is refused."""
    if not (path / RESULTS).exists():
        return []
    rows = read_rows(path)
    for row in rows:
        for key in ("problem", "problem_args"):
            if row.get(key, common[key]) != common[key]:
                raise RunError(
                    f"{path} holds a comparison with {key} {row[key]}, not {common[key]}: choose another --out"
                )
    return [row for row in rows if (row["method"], row["seed"]) not in asked]


def _check_same(run_dir: Path, common: Mapping[str, Any], spec: MethodSpec | None) -> None:
    """Refuse a run that was made with something else."""
    config = Run(run_dir).config
    wanted = dict(common)
    if spec is not None:
        wanted |= {"algorithm": spec.method, "settings": json.loads(json.dumps(spec.settings))}
        if spec.policy is not None:
            wanted["policy"] = spec.policy
    for key, value in wanted.items():
        if getattr(config, key) != value:
            raise RunError(f"{run_dir} was made with {key} {getattr(config, key)}, not {value}: choose another --out")


def check_learns(spec: MethodSpec, task: AnyTask) -> None:
    """Make a method's model and forget it: what cannot be trained is to be known before anything else is.

    Raises:
        UnsupportedError, InvalidValueError: the method cannot learn this, or refuses its settings.
    """
    check_resumable(spec.settings)
    with undisturbed():
        env = task.training_env(known.default_n_envs(spec.method, task.one_shot, task.batched), seed=0)
        known.make_model(
            spec.method,
            env,
            policy=spec.policy or known.default_policy(spec.method, task.policy),
            seed=0,
            device="auto",
            settings=spec.settings,
            one_shot=task.one_shot,
        )
        env.close()


def _train(
    children: Children,
    run_dir: Path,
    problem: str,
    spec: MethodSpec,
    seed: int,
    seconds: float,
    problem_args: dict[str, Any],
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
        children.run("train", *words, "--threads", "1", "--out", str(run_dir))
    elif not Run(run_dir).finished:
        children.run("train", "--resume", str(run_dir))
    return row_of(Run(run_dir), spec.label)


def row_of(run: Run, label: str | None = None) -> Row:
    """A run that has come to a stop as a comparison's row; see `Comparison`.

    Args:
        run: the run.
        label: what its method is called; its algorithm, with what was set of it, unless told.

    Raises:
        RunError: it has not come to a stop yet, or its files are damaged.
    """
    summary = run.summary
    if summary is None:
        raise RunError(f"{run.path} has no result yet: wait until it stops, or stop it")
    measure = measure_of(summary["evaluation"])
    curve = run.curve
    # A reference of about zero may be positive on the final evaluation's contexts alone: then there is no curve.
    known_curve = curve[["seconds", measure]].to_numpy().tolist() if measure in curve else []
    return {
        "problem": run.config.problem,
        "method": label or method_label(run.config),
        "seed": run.config.seed,
        "seconds": summary["train_seconds"],
        "timesteps": summary["timesteps"],
        "optimality_percent": summary["evaluation"][measure],
        "curve": known_curve,
        "policy": run.config.policy,
        "settings": run.config.settings,
        "measure": measure,
        "problem_args": run.config.problem_args,
        "evaluation": summary["evaluation"],
        "curve_timesteps": curve["timesteps"].tolist() if measure in curve else [],
        "curve_levels": run.curve_levels,
    }


def _rule_row(task: AnyTask, rule: str, seed: int, common: Mapping[str, Any]) -> Row:
    evaluation = task.score_rule(rule, seed)
    measure = measure_of(evaluation)
    value = evaluation[measure]
    return {
        "problem": common["problem"],
        "method": rule,
        "seed": seed,
        "seconds": 0.0,
        "timesteps": 0,
        "optimality_percent": value,
        "curve": [[0.0, value], [common["budget"]["seconds"], value]],
        "policy": None,
        "settings": {},
        "measure": measure,
        "problem_args": common["problem_args"],
        "evaluation": evaluation,
        "curve_timesteps": [0, 0],
        "curve_levels": {},
    }

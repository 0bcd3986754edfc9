"""`netdiffuse train`."""

import json
import sys
from typing import Annotated, Literal

import tyro

from netdiffuse.cli.arguments import (
    AsJson,
    Assignments,
    Count,
    File,
    Folder,
    Name,
    Seconds,
    arguments_of,
    checked,
    flag,
    refuse_of_llm,
)
from netdiffuse.common import DataFileError, InvalidValueError, RunError, checks
from netdiffuse.users.llm.options import LLMRewardOptions

RaterOptions = Annotated[LLMRewardOptions, tyro.conf.arg(constructor=arguments_of(LLMRewardOptions, "rater"))]


def train(
    problem: tyro.conf.Positional[Name] = None,
    algorithm: Name = None,
    seconds: Seconds = None,
    timesteps: Count = None,
    seed: Count = None,
    out: Folder = None,
    resume: Folder = None,
    policy: Name = None,
    set: Assignments = (),
    problem_set: Assignments = (),
    n_envs: Count = None,
    threads: Count = None,
    device: Name = None,
    contexts: Count = None,
    ratings: File = None,
    rater: Literal["parametric", "llm"] = "parametric",
    llm: RaterOptions = LLMRewardOptions(),  # noqa: B008 (frozen)
    json_: AsJson = False,
) -> int:
    """Train a policy, and leave the run in a folder. Ctrl-C stops cleanly with everything saved.

    Args:
        problem: a problem's name (see `netdiffuse problems`), your own file.py:Class, or a Gymnasium id.
        algorithm: the method's name (see `netdiffuse algorithms`); gddpg unless told.
        seconds: seconds of training, imports and evaluations not counted; 30 unless told.
        timesteps: environment steps to train for, instead of seconds.
        seed: seed of the training; 0 unless told.
        out: the run's folder; runs/PROBLEM-ALGORITHM-sSEED unless told.
        resume: go on with the run in this folder, as if it had never stopped.
        policy: MlpPolicy or EquivariantPolicy; what suits the problem unless told.
        set: a setting of the algorithm (see `netdiffuse algorithms NAME`).
        problem_set: an argument of the problem.
        n_envs: contexts a vector step; what suits the algorithm unless told.
        threads: threads of torch; 1 unless told, for more seldom pay with networks this small.
        device: cpu, cuda, ...; auto unless told.
        contexts: contexts (or episodes) of the final evaluation.
        ratings: with --resume, a file of ratings that `denoise serve --ratings` has written: the simulated users are
            corrected by it from then on.
        rater: who rewards the training of shared-denoising: parametric, or llm for a language model.
            Evaluations stay with the parametric rater, so that runs can be compared.
        llm: of the language model, with --rater llm. Answers are kept in the run's folder unless told, so
            that each question costs once; at most timesteps x users are asked.
        json_: print summary.json on standard output instead of the tables.
    """
    # Refuse before the heavy imports what needs none.
    llm = checked(llm, LLMRewardOptions)
    if resume is not None:
        given = {
            "PROBLEM": problem,
            "--algorithm": algorithm,
            "--seed": seed,
            "--out": out,
            "--policy": policy,
            "--set": set or None,
            "--problem-set": problem_set or None,
            "--n-envs": n_envs,
            "--threads": threads,
            "--device": device,
            "--rater": None if rater == "parametric" else rater,
        } | {f"--{flag(name, 'rater')}": name for name in llm.given}
        refused = [name for name, value in given.items() if value is not None]
        if refused:
            raise InvalidValueError(f"--resume takes all but the budget from the run: leave out {refused[0]}")
        if not resume.is_dir():
            raise RunError(f"there is no run {resume}")
        if ratings is not None and not ratings.is_file():
            raise DataFileError(
                f"there is no file of ratings {ratings}: netdiffuse denoise serve --ratings {ratings} writes one"
            )
    elif ratings is not None:
        raise InvalidValueError("--ratings judge the decisions of a run: give it with --resume RUN")
    elif problem is None:
        raise InvalidValueError("name a PROBLEM (netdiffuse problems lists them), or give --resume RUN")
    if rater != "llm":
        refuse_of_llm(llm.given, "rater")
    if seed is not None:
        checks.seed("seed", seed)
    for name, value, most in (
        ("n_envs", n_envs, checks.MOST_ENVS),
        ("threads", threads, checks.MOST_THREADS),
        ("contexts", contexts, checks.MOST_SAMPLES),
    ):
        if value is not None:
            checks.integer(name, value, maximum=most)

    from netdiffuse import experiments
    from netdiffuse.cli.output import alone_on_stdout, show_run
    from netdiffuse.experiments.figures import plot_run
    from netdiffuse.experiments.progress import ProgressLine
    from netdiffuse.experiments.run import NOT_JUDGED
    from netdiffuse.experiments.settings import parse_assignments

    with alone_on_stdout(json_), ProgressLine() as line:
        if resume is not None:
            run = experiments.resume(
                resume,
                seconds=seconds,
                timesteps=timesteps,
                contexts=contexts,
                ratings=ratings,
                report=line,
            )
        else:
            assert problem is not None  # refused above
            run = experiments.train(
                problem,
                algorithm or "gddpg",
                seconds=seconds,
                timesteps=timesteps,
                seed=seed or 0,
                out=out,
                settings=parse_assignments(set),
                problem_args=parse_assignments(problem_set, "--problem-set"),
                policy=policy,
                n_envs=n_envs,
                device=device or "auto",
                threads=threads,
                contexts=contexts,
                rater=llm if rater == "llm" else None,
                report=line,
            )
        line.say("drawing figures")
        figures = plot_run(run)
    summary = run.summary
    assert summary is not None  # written by training
    if json_:
        print(json.dumps(summary))
    else:
        show_run(run.path, summary, figures)
    if summary.get(NOT_JUDGED):
        judged = "the final evaluation was interrupted, above is the last one of the training"
        print(f"{judged}; go on with: netdiffuse train --resume {run.path}", file=sys.stderr)
        return 130
    if not run.finished:
        print(f"stopped early; go on with: netdiffuse train --resume {run.path}", file=sys.stderr)
        return 130
    return 0

"""Train a method on a problem into a run's folder, and go on with a run that was stopped."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.common.files import write_json
from netdiffuse.experiments import methods
from netdiffuse.experiments.budget import UNLIMITED, Budget, TimeBudget, release
from netdiffuse.experiments.checkpoints import (
    CURRENT,
    PREVIOUS,
    checkpoint_dir,
    load_model,
    load_state,
    restore_buffer,
)
from netdiffuse.experiments.clock import TrainingClock, warm_up
from netdiffuse.experiments.config import Config, check_device, default_out, plain, portable_name, versions
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.interrupts import interrupts_held, stop_on_interrupt
from netdiffuse.experiments.monitor import Monitor, Report, TrainingStopped
from netdiffuse.experiments.options import check_options
from netdiffuse.experiments.policies import undisturbed
from netdiffuse.experiments.ratings import learn_from_ratings
from netdiffuse.experiments.rewards import Reward, check_reward, rewarding
from netdiffuse.experiments.run import CONFIG, NOT_JUDGED, SUMMARY, Run, refuse_occupied
from netdiffuse.experiments.tasks import AnyTask, Score, make_task
from netdiffuse.problems.base import Problem
from netdiffuse.users.llm import LLMRewardOptions

TRAINING_SCORE_SEED = SEED + 1  # other contexts than those of the final evaluation


def train(
    problem: str | Problem,
    algorithm: str = "gddpg",
    *,
    seconds: float | None = None,
    timesteps: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    problem_args: Mapping[str, Any] | None = None,
    policy: str | None = None,
    n_envs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    checkpoint_seconds: float = 10.0,
    contexts: int | None = None,
    rater: LLMRewardOptions | None = None,
    stop: threading.Event | None = None,
    report: Callable[[Report], None] | None = None,
) -> Run:
    """Train a policy, and leave everything in a run's folder.

    Nothing is written before every argument has been checked. Ctrl-C stops at the next rollout boundary with
    everything saved: the returned run is then not `finished`, and `resume` goes on with it. Ctrl-C during the final
    evaluation leaves that out: the last evaluation of the training stands in, the returned run is not `finished`, and
    `resume` judges. A second Ctrl-C before the boundary raises KeyboardInterrupt, and what is newer than the last
    checkpoint is lost.

    Args:
        problem: a name, "file.py:Class", a Gymnasium id, or a `Problem` of your own.
        algorithm: name of one of our algorithms or of a Stable-Baselines3 learner.
        seconds: seconds of training to use; imports, evaluations and checkpoints do not count.
        timesteps: environment steps to take, instead of seconds.
        seed: seeds the algorithm and the training contexts, 0 or more.
        out: the run's folder; by default runs/PROBLEM-ALGORITHM-sSEED, numbered where that exists.
        settings: keyword arguments of the algorithm.
        problem_args: keyword arguments of the problem.
        policy: "MlpPolicy" or "EquivariantPolicy"; by default what suits the problem.
        n_envs: contexts a vector step; by default what suits the algorithm.
        device: torch device, "auto" for a GPU where there is one.
        threads: torch's threads while it trains; by default 1, for networks this small gain nothing from more, and
            lose much where the processor is busy.
        checkpoint_seconds: wall-clock seconds between checkpoints.
        contexts: contexts (or episodes) of the final evaluation.
        rater: a language model whose ratings are the reward of shared-denoising's training; evaluations stay with the
            parametric rater. None for the problem's own reward.
        stop: set from another thread, stops the training like Ctrl-C.
        report: called with how far the training is, several times a second.

    Raises:
        UnknownNameError: an unknown problem, algorithm or setting.
        InvalidValueError: a value outside its range.
        UnsupportedError: an algorithm that cannot learn this problem, a setting that cannot be resumed, or a rater
            where nobody rates.
        RatingError: the rater does not answer.
        RunError: the folder is not empty.
    """
    budget = Budget(30.0 if seconds is None and timesteps is None else seconds, timesteps)
    methods.check_trainable(algorithm)
    check_options(algorithm, {"seed": seed, "threads": threads, "policy": policy, "n_envs": n_envs})
    task = make_task(problem, problem_args)
    if n_envs is None:
        n_envs = methods.default_n_envs(algorithm, task.one_shot, task.batched)
    config = Config(
        problem=portable_name(task.name),
        problem_args=plain(problem_args or {}),
        algorithm=algorithm,
        settings=plain(methods.check_method_settings(algorithm, settings or {})),
        policy=policy or methods.default_policy(algorithm, task.policy),
        seed=seed,
        budget=budget.as_dict(),
        n_envs=n_envs,
        device=check_device(device),
        threads=1 if threads is None else threads,
        versions=versions(),
        contexts=contexts,
        rater=None if rater is None else rater.to_dict(),
    )
    path = default_out(config) if out is None else Path(out)
    refuse_occupied(path)
    with _torch_threads(config.threads):
        # Before the folder is made, as both may refuse: the model its settings, the evaluation its contexts.
        if rater is not None:
            check_reward(task, rater, seed, path)
        model = _make_model(config, task)
        final = _final_score(config, task)
        run = Run.create(path, config, problem if isinstance(problem, Problem) else None)
        with run.locked(), rewarding(config, path, model) as reward:
            return _fit(run, task, model, None, final, checkpoint_seconds, stop, report, reward)


def resume(
    run_dir: str | Path,
    *,
    seconds: float | None = None,
    timesteps: int | None = None,
    problem: Problem | None = None,
    checkpoint_seconds: float = 10.0,
    contexts: int | None = None,
    ratings: str | Path | None = None,
    stop: threading.Event | None = None,
    report: Callable[[Report], None] | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, as if it had never stopped.

    Args:
        run_dir: the run's folder.
        seconds: a new budget instead of the run's own; schedules then stretch to it.
        timesteps: likewise in timesteps.
        problem: the problem, for a run on an object of one's own whose class is not importable here.
        checkpoint_seconds: as in `train`.
        contexts: as in `train`; by default as many as the run was asked for.
        ratings: file of ratings that an edge server has kept, of a run on shared denoising: the users of its training
            are corrected by them, as `learn_from_ratings` says, from now on and whenever it goes on.
        stop: as in `train`.
        report: as in `train`.

    Raises:
        RunError: the folder is missing, is no run, is being trained, or its checkpoint is damaged.
        InvalidValueError: a budget that the run has already used, one too small to learn anything from ratings, or
            contexts below 1.
        UnsupportedError: the run's device cannot be used here, or it cannot learn from ratings.
        DataFileError: ratings that cannot be learned from.
        MissingExtraError: ratings without the extra [denoising].
    """
    run = Run(run_dir, problem)
    config = run.config if contexts is None else dataclasses.replace(run.config, contexts=contexts)
    check_device(config.device)
    new_budget = None if seconds is None and timesteps is None else Budget(seconds, timesteps)
    with run.locked(), _torch_threads(config.threads):
        task = run.task
        model, state = _load(run, task)
        if new_budget is not None:
            done = _elapsed(state)
            if new_budget.fraction(done, model.num_timesteps) >= 1:
                raise InvalidValueError(
                    f"{run.path} has already used {done:.1f} s and {model.num_timesteps} timesteps: ask for more"
                )
            config = dataclasses.replace(config, budget=new_budget.as_dict())
        elif run.finished:
            raise InvalidValueError(f"{run.path} is finished: give --seconds or --timesteps beyond its budget to go on")
        if ratings is not None and Budget(**config.budget).fraction(_elapsed(state), model.num_timesteps) >= 1:
            raise InvalidValueError(
                f"{run.path} has used its budget, and would learn nothing from {ratings}: give --seconds or "
                "--timesteps beyond it"
            )
        final = _final_score(config, task)
        # The last that may refuse, for it writes.
        learned = learn_from_ratings(run, model, state, Budget(**config.budget), ratings)
        if config != run.config:
            write_json(run.path / CONFIG, config.as_dict())
            run = Run(run_dir, problem)
        with rewarding(config, run.path, model) as reward:
            return _fit(run, task, model, state, final, checkpoint_seconds, stop, report, reward, learned)


def _elapsed(state: dict[str, Any] | None) -> float:
    """Seconds of training that a checkpoint remembers."""
    return float(state["progress"]["elapsed"]) if state else 0.0


def check_resumable(settings: Mapping[str, Any]) -> None:
    """Refuse settings with which a resumed run would not equal an uninterrupted one.

    Raises:
        UnsupportedError: one of them is `use_sde`.
    """
    if settings.get("use_sde"):
        raise UnsupportedError(
            "use_sde=True is not supported: Stable-Baselines3 draws its noise before a rollout begins and does not "
            "save it, so that the run could not be resumed as if it had never stopped"
        )


def _make_model(config: Config, task: AnyTask) -> BaseAlgorithm:
    """The model of a run that has not begun, in environments of its own.

    Raises:
        UnsupportedError, InvalidValueError: the method cannot learn this, or refuses its settings.
    """
    check_resumable(config.settings)
    return methods.make_model(
        config.algorithm,
        task.training_env(config.n_envs, config.seed),
        policy=config.policy,
        seed=config.seed,
        device=config.device,
        settings=config.settings,
        one_shot=task.one_shot,
    )


def _load(run: Run, task: AnyTask) -> tuple[BaseAlgorithm, dict[str, Any] | None]:
    """The model of a run and what its last checkpoint remembers; None where it was stopped before the first one."""
    config = run.config
    if not any((run.path / name).is_dir() for name in (CURRENT, PREVIOUS)):
        return _make_model(config, task), None
    checkpoint = checkpoint_dir(run.path)
    state = load_state(checkpoint)
    env = task.training_env(config.n_envs, config.seed)
    model = load_model(checkpoint, methods.method_class(config.algorithm), env, config.device)
    restore_buffer(checkpoint, model, state)
    if not task.batched:
        model._last_obs = None  # Gymnasium cannot save an environment: new episodes begin
    return model, state


def _final_score(config: Config, task: AnyTask) -> Score:
    """The final evaluation, made before the training: what cannot be made is to be known then."""
    with undisturbed():
        return task.score(task.samples if config.contexts is None else config.contexts, SEED)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Give torch this many threads for the length of a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(
    run: Run,
    task: AnyTask,
    model: BaseAlgorithm,
    state: dict[str, Any] | None,
    final: Score,
    checkpoint_seconds: float,
    stop: threading.Event | None,
    report: Callable[[Report], None] | None,
    reward: Reward | None,
    learned: Mapping[str, Any] | None = None,
) -> Run:
    stop = stop or threading.Event()
    clock = TrainingClock(state["progress"]["elapsed"] if state else 0.0)
    monitor = Monitor(
        run.path,
        run.budget,
        clock,
        task.score(task.quick_samples, TRAINING_SCORE_SEED),
        evaluations=task.evaluations,
        state=state,
        checkpoint_seconds=checkpoint_seconds,
        stop=stop,
        report=report or (lambda _: None),
        counters=dict if reward is None else reward.counters,
    )
    callbacks: list[BaseCallback] = [monitor]
    total = UNLIMITED
    if run.budget.seconds is not None:
        callbacks.insert(0, TimeBudget(run.budget.seconds, clock))
    elif run.budget.timesteps is not None:
        total = run.budget.timesteps
    with stop_on_interrupt(stop):
        warm_up()
        try:
            # Stable-Baselines3 adds the steps already taken to the total itself.
            model.learn(
                total - model.num_timesteps,
                CallbackList(callbacks),
                log_interval=None,  # type: ignore[arg-type] # rows are written by the monitor
                reset_num_timesteps=state is None,
            )
        except TrainingStopped:
            pass
        finally:
            clock.stop()
            release(model)
    summary: dict[str, Any] = {
        "problem": run.config.problem,
        "algorithm": run.config.algorithm,
        "seed": run.config.seed,
        "timesteps": model.num_timesteps,
        "train_seconds": clock.elapsed,
    }
    try:
        monitor.finish()
        summary["evaluation"] = final(model)
    except KeyboardInterrupt:  # all that was learned is saved: what was last known of it stands in
        summary |= {"evaluation": monitor.evaluation, NOT_JUDGED: True}
    with interrupts_held():
        if reward is not None:
            summary["rater"] = reward.summary()
        if learned is not None:
            summary["ratings"] = dict(learned)
        write_json(run.path / SUMMARY, summary)
    return run

"""Edge AIGC services from end to end: train, judge, resume, compare, draw."""

import json

import numpy as np
import pytest
import torch

from netdiffuse import D2SAC
from netdiffuse.baselines.service_rules import SERVICE_RULES
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.experiments import load, resume, train
from netdiffuse.experiments.compare import compare
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.figures import plot_run
from netdiffuse.experiments.tasks import make_task
from netdiffuse.experiments.tasks.batched import BatchedTask, play
from netdiffuse.experiments.training import TRAINING_SCORE_SEED
from netdiffuse.problems.aigc_services import AIGCServicesEnv

from .test_training import assert_equal_models, stop_beyond

# Four providers with a fifth of the tasks; episodes of 50 of them.
SMALL = {"instance": "random", "providers": 4, "instance_seed": 1, "rate": 2e-4, "horizon": 2.5e5}
TINY = {"learning_starts": 64, "batch_size": 32, "gradient_steps": 1, "policy_kwargs": {"net_arch": [32, 32]}}
RUN = {"problem_args": SMALL, "n_envs": 8, "contexts": 12}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "services"
    return train("aigc-services", "d2sac", timesteps=1200, settings=TINY, out=out, **RUN)


def task_model(task):
    return D2SAC("MlpPolicy", task.training_env(2, 0), seed=0)


def test_names_lead_to_the_environment():
    for name in ("aigc-services", "netdiffuse/AIGCServices-v0"):
        task = make_task(name, SMALL)
        assert isinstance(task, BatchedTask)
        assert task.name == "aigc-services"
        assert task.training_env(3, 0).observation_space.shape == (10,)
    with pytest.raises(InvalidValueError, match="rate must be positive"):
        make_task("aigc-services", {"rate": -1.0})
    with pytest.raises(UnsupportedError, match="refuses its arguments"):
        make_task("aigc-services", {"speed": 2})


def test_the_summary_keeps_its_contract(finished):
    summary = json.loads((finished.path / "summary.json").read_text())
    evaluation = summary["evaluation"]
    assert set(evaluation) == {
        "episodes", "return_mean", "return_std", "prophet_return_mean", "prophet_percent", "crash_percent", "baselines",
    }  # fmt: skip
    assert evaluation["episodes"] == 12
    assert list(evaluation["baselines"]) == ["random", "round-robin", "crash-avoid", "prophet"]
    assert evaluation["prophet_return_mean"] == evaluation["baselines"]["prophet"]
    percent = 100 * evaluation["return_mean"] / evaluation["prophet_return_mean"]
    assert evaluation["prophet_percent"] == pytest.approx(percent)
    assert load(finished.path).evaluate(12) == evaluation
    assert load(finished.path).evaluate(12, seed=5) != evaluation
    assert {"return_mean", "prophet_percent", "crash_percent", "seconds", "timesteps"} <= set(finished.curve)


def test_the_discount_is_the_problems_own_unless_told(finished, tmp_path):
    assert finished.model.gamma == 0.95
    other = train("aigc-services", "dqn", timesteps=16, settings={"gamma": 0.5}, out=tmp_path / "r", **RUN)
    assert other.model.gamma == 0.5
    assert other.config.n_envs == 8


def test_rules_are_judged_as_one_episode_at_a_time_would_be():
    task = make_task("aigc-services", SMALL)
    for rule in ("crash-avoid", "prophet", "round-robin"):
        env = task.make(5)
        returns, measures = play(env, lambda e, _, rule=rule: SERVICE_RULES[rule].choose(e.simulator, None), seed=3)
        env.reset(seed=3)
        arrivals, needs = env.simulator._arrivals.copy(), env.simulator._needs.copy()
        served = crashed = 0
        for row in range(5):
            single = AIGCServicesEnv(**SMALL)
            single.reset(seed=0)
            tasks = int(env.simulator._tasks[row])
            single.simulator._arrivals, single.simulator._needs = arrivals[row : row + 1], needs[row : row + 1]
            single.simulator._tasks[:] = tasks
            total, over = 0.0, False
            while not over:
                choice = SERVICE_RULES[rule].choose(single.simulator, None)[0]
                _, reward, over, _, info = single.step(choice)
                total += reward
            assert returns[row] == pytest.approx(total)
            served += info["served"]
            crashed += info["crashed"]
        assert measures["crash_percent"] == pytest.approx(100 * crashed / served)
    # whatever the seed of their choices, rules meet the episodes that learners are judged by
    prophet = task.score_rule("prophet", 0)
    assert prophet == task.score_rule("prophet", 7)
    assert prophet["return_mean"] == task.score(100, SEED)(task_model(task))["prophet_return_mean"]
    assert task.score_rule("random", 0) != task.score_rule("random", 7)
    with pytest.raises(UnknownNameError, match="unknown rule of aigc-services 'equal'"):
        task.score_rule("equal", 0)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [("d2sac", TINY | {"action_masks": True, "ent_coef": "auto"}), ("maskable-ppo", {"n_steps": 16, "batch_size": 32})],
)
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, algorithm, settings):
    arguments = {"timesteps": 1024, "settings": settings, "seed": 2, **RUN}
    whole = train("aigc-services", algorithm, out=tmp_path / "whole", **arguments)
    part = train("aigc-services", algorithm, out=tmp_path / "part", **arguments, **stop_beyond(0.4))
    assert not part.finished
    again = resume(part.path)
    assert again.finished
    assert_equal_models(whole.model, again.model)
    assert whole.summary["evaluation"] == again.summary["evaluation"]


def test_figures_are_drawn(finished):
    names = [path.name for path in plot_run(finished)]
    assert names == ["learning_curve.png", "crashes.png", "load.png", "denoising.png"]
    assert all((finished.path / "figures" / name).stat().st_size > 5000 for name in names)


def test_methods_and_rules_are_compared(tmp_path):
    specs = ["d2sac:batch_size=32:gradient_steps=1", "prophet", "crash-avoid"]
    result = compare("aigc-services", specs, [0], seconds=1.0, out=tmp_path / "c", problem_args=SMALL)
    learned, prophet, avoid = result.rows
    prophet_again = make_task("aigc-services", SMALL).score_rule("prophet", 0)
    assert learned["measure"] == prophet["measure"] == "return_mean"
    assert prophet["optimality_percent"] > avoid["optimality_percent"]
    assert len(learned["curve"]) == len(learned["curve_timesteps"]) >= 2
    assert learned["evaluation"]["prophet_return_mean"] == prophet["optimality_percent"]
    assert prophet["evaluation"]["crash_percent"] == prophet_again["crash_percent"]
    assert {path.name for path in result.figures} == {"learning_curves.png", "comparison.png"}


def test_a_small_instance_is_learned(tmp_path):
    settings = {
        "learning_starts": 512, "batch_size": 128, "ent_coef": 0.1, "final_ent_coef": 0.01,
        "policy_kwargs": {"net_arch": [64, 64]},
    }  # fmt: skip
    run = train(
        "aigc-services", "d2sac", timesteps=24_000, settings=settings, problem_args=SMALL, n_envs=32, contexts=50,
        out=tmp_path / "r", threads=1,
    )  # fmt: skip
    evaluation = run.summary["evaluation"]
    assert evaluation["baselines"]["crash-avoid"] < 0.6 * evaluation["prophet_return_mean"]
    assert evaluation["prophet_percent"] > 85
    assert evaluation["crash_percent"] < 5
    assert np.isfinite(run.curve["return_mean"]).all()
    assert torch.get_num_threads() == 1


def test_curves_are_held_against_rules_on_their_own_episodes(finished):
    task, final = finished.task, finished.summary["evaluation"]["baselines"]
    levels = finished.curve_levels
    assert set(levels) == set(final)
    assert levels["prophet"] == pytest.approx(float(finished.curve["prophet_return_mean"].iloc[-1]))
    quick = task.score(task.quick_samples, TRAINING_SCORE_SEED)(finished.model)["baselines"]
    assert levels == pytest.approx(quick)
    assert levels["prophet"] != final["prophet"]  # other episodes

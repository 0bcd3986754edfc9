"""Shared denoising from end to end: train, judge, draw."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from netdiffuse.baselines.denoising_rules import DENOISING_RULES
from netdiffuse.experiments import train
from netdiffuse.experiments.compare import compare
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.figures.plot import plot_run
from netdiffuse.experiments.figures.sharing import (
    all_alike,
    bins,
    compared_qoe,
    energy_figure,
    play_sessions,
    qoe_figure,
    sharing_figure,
)
from netdiffuse.experiments.run import Run
from netdiffuse.experiments.tasks import make_task
from netdiffuse.experiments.tasks.batched import play
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.users import PRESETS

SMALL = {"users": 4, "groups": 2, "slots": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {"learning_starts": 64, "critic_warmup": 2, "policy_kwargs": {"width": 8, "blocks": 1}}
    out = tmp_path_factory.mktemp("runs") / "sharing"
    return train(
        "shared-denoising",
        "gddpg",
        timesteps=300,
        settings=settings,
        out=out,
        problem_args=SMALL,
        n_envs=8,
        contexts=12,
    )


def test_users_are_read_as_entities_with_the_settings_for_many_episodes(run):
    assert make_task("shared-denoising", SMALL).policy == "EquivariantPolicy"
    model = Run(run.path).model
    assert model.batch_size == 256
    assert model.gamma == 0.9
    assert model.replay_buffer_kwargs["entities"] == 4
    evaluation = run.evaluate(12)
    assert {"return_mean", "greedy_percent", "qoe", "late_percent", "qoe_frugal"} <= set(evaluation)


def test_short_sessions_are_judged_by_more_of_them():
    usual, short = make_task("shared-denoising"), make_task("shared-denoising", {"users": 4, "slots": 1})
    assert (usual.samples, usual.quick_samples) == (100, 20)
    assert (short.samples, short.quick_samples) == (1200, 240)  # as many slots in all


def test_a_rule_that_searches_is_played_only_where_it_is_asked_for():
    task = make_task("shared-denoising", {"users": 2, "groups": 1, "slots": 1})
    greedy = task.score_rule("greedy", seed=0)

    class Idle:
        def predict(self, observations, deterministic):
            return -np.ones((len(observations), 6), np.float32), None

    evaluation = task.score(20, SEED)(Idle())
    assert set(evaluation["baselines"]) == {"random", "alone", "equal-shares", "greedy"}
    assert task.score_rule("exhaustive", seed=0)["return_mean"] >= greedy["return_mean"] - 1e-6


def test_its_figures_are_drawn(run):
    names = {path.name for path in plot_run(Run(run.path))}
    assert names == {"learning_curve.png", "qoe.png", "sharing.png", "energy.png"}


def greedy(env, _):
    return DENOISING_RULES["greedy"].choose(env, None)


def test_sessions_are_those_that_a_run_is_judged_by():
    env = SharedDenoisingVectorEnv(30, **SMALL)
    played = play_sessions(env, greedy, seed=3)
    returns, measures = play(env, greedy, 3)
    assert played.qoe == pytest.approx(measures["qoe"])
    assert played.shared.shape == (3, 30, 4)
    for number, name in enumerate(env.simulator.names):
        assert played.qoe_of(number) == pytest.approx(measures[f"qoe_{name}"])
    server = measures["server_energy_j"]
    assert played.slot_joules > server
    assert returns.mean() == pytest.approx(3 * (4 * played.qoe - 0.01 * server))
    np.testing.assert_array_equal(play_sessions(env, lambda e, _: all_alike(e, 7)).shared, 7)


def test_bars_and_points_stand_where_the_numbers_are():
    env = SharedDenoisingVectorEnv(20, **SMALL)
    ours, alone = (play_sessions(env, act) for act in (greedy, lambda e, _: all_alike(e, 0)))
    axes = qoe_figure({"greedy": ours, "alone": alone}, env.simulator.names).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    expected = []
    for sessions in (ours, alone):
        for person in range(6):
            said = [
                sessions.opinions[index] - 1 for index in np.ndindex(sessions.person.shape)
                if sessions.person[index] == person
            ]  # fmt: skip
            expected.append(np.mean(said))
    np.testing.assert_allclose(heights, expected)
    figure = energy_figure("ours", ours, {0: alone}, {0.01: ours})
    line, front, point = figure.axes[0].lines
    joules = np.mean(ours.joules.sum(-1))
    np.testing.assert_allclose(np.ravel(point.get_data()), [joules, ours.opinions.mean() - 1])
    np.testing.assert_allclose(front.get_xydata()[0], [joules, ours.opinions.mean() - 1])
    np.testing.assert_allclose(line.get_xydata()[0], [np.mean(alone.joules.sum(-1)), alone.opinions.mean() - 1])


def test_bins_hold_every_entry_once():
    over = np.concatenate([np.random.default_rng(0).uniform(size=100), np.ones(100)])  # half of all are one number
    found = bins(over)
    assert len(found) > 1
    np.testing.assert_array_equal(sum(which.astype(int) for which in found), 1)
    assert len(bins(np.ones(7))) == 1


def test_shared_steps_are_drawn_as_counted_one_by_one():
    env = SharedDenoisingVectorEnv(20, **SMALL)
    played = play_sessions(env, greedy)
    figure = sharing_figure({"greedy": played, "five": play_sessions(env, lambda e, _: all_alike(e, 5))})
    for axes, over in zip(figure.axes, (played.similarity, played.snr_db), strict=True):
        ours, five = axes.lines
        np.testing.assert_array_equal(five.get_ydata(), 5)
        edges = sorted(set(np.quantile(over, np.linspace(0, 1, 7))))
        x, y = [], []
        for low, high in pairwise(edges):
            last = high == edges[-1]
            pairs = [
                (at, k) for at, k in zip(over.flat, played.shared.flat, strict=True)
                if low <= at and (at < high or last)
            ]  # fmt: skip
            if pairs:
                x.append(sum(at for at, _ in pairs) / len(pairs))
                y.append(sum(k for _, k in pairs) / len(pairs))
        assert len(x) > 2
        np.testing.assert_allclose(ours.get_xydata(), np.transpose([x, y]))


def test_names_of_points_stay_inside_the_axes():
    env = SharedDenoisingVectorEnv(20, **SMALL)
    alike = {k: play_sessions(env, lambda e, _, k=k: all_alike(e, k)) for k in range(12)}
    figure = energy_figure("ours", alike[5], alike, {0.0: alike[7], 0.1: alike[3]})
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} >= {"alone", "k = 5", "k = 11", "0 a joule", "0.1 a joule"}
    for text in axes.texts:
        box = text.get_window_extent()
        assert axes.bbox.contains(box.x0, box.y0), text
        assert axes.bbox.contains(box.x1, box.y1), text
    joules = [np.mean(played.joules.sum(-1)) for played in alike.values()]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), joules)


def test_a_comparison_shows_what_personas_think_of_its_best_methods():
    names = list(PRESETS)
    evaluations = {
        f"m{m}": [{"qoe": m + seed, **{f"qoe_{name}": 10 * m + i + seed for i, name in enumerate(names)}}
                  for seed in (0, 2)]
        for m in range(8)
    }  # fmt: skip
    axes = compared_qoe(evaluations).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, [10 * m + i + 1 for m in (7, 6, 5, 4, 3, 2) for i in range(len(names))])
    assert compared_qoe({"ppo": [{"qoe": 1.0}]}) is None  # random personas have no names


def test_rules_compared_are_drawn_by_persona(tmp_path):
    made = compare("shared-denoising", ["greedy", "alone"], [0, 1], out=tmp_path, problem_args=SMALL)
    assert {path.name for path in made.figures} == {"comparison.png", "qoe.png"}

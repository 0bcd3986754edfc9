import warnings

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy import stats

from netdiffuse.common.seeding import generator
from netdiffuse.experiments.figures import (
    Curve,
    comparison_figure,
    curves_figure,
    decisions_figure,
    regret_figure,
    trajectory_figure,
)
from netdiffuse.experiments.figures.style import save
from netdiffuse.problems import make_problem


def lines(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_ydata() for line in figure.axes[panel].lines}


def curve(end: float, bend: float = 3.0) -> Curve:
    seconds = np.linspace(0, 30, 31)
    return Curve(seconds.tolist(), (end - 15 * np.exp(-seconds / bend)).tolist())


def test_several_seeds_are_drawn_as_their_mean():
    figure = curves_figure({"sac": [curve(97), curve(99)], "ppo": [curve(95)]}, title="t")
    assert lines(figure)["sac"][-1] == pytest.approx(98, abs=0.01)
    assert lines(figure, 1)["_child0"][-1] == pytest.approx(2, abs=0.01)  # what is missing to 100%


@pytest.mark.parametrize("runs", [2, 4, 5, 8])
def test_the_band_is_the_range_of_few_runs_and_the_interval_of_five(runs):
    ends = np.linspace(95, 99, runs)
    figure = curves_figure({"sac": [curve(end) for end in ends], "ppo": [curve(90)]}, title="t")
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    at_end = corners[np.isclose(corners[:, 0], 30), 1]
    half = stats.t.ppf(0.975, runs - 1) * ends.std(ddof=1) / np.sqrt(runs) if runs >= 5 else 2.0
    assert at_end.min() == pytest.approx(97 - half, abs=0.02)
    assert at_end.max() == pytest.approx(97 + half, abs=0.02)


def test_the_axis_shows_the_interesting_range():
    start = Curve([0.0, 1.0, *range(2, 60)], [-500.0, 60.0, *[99.0] * 58])
    axes = curves_figure({"a": [start]}, title="t", levels={"equal": 84.7, "random": 20.0}).axes[0]
    low, high = axes.get_ylim()
    assert 60 < low < 84.7
    assert 100 < high < 105


def test_without_a_reference_every_rule_is_shown():
    levels = {"random": -134.0, "prophet": 555.0}
    axes = curves_figure({"a": [curve(400)]}, title="t", reference=None, levels=levels).axes[0]
    low, high = axes.get_ylim()
    assert low < -134
    assert high > 555
    assert {text.get_text() for text in axes.texts} == {"random", "prophet"}


def test_curves_that_rise_from_far_below_are_shown_where_they_end():
    rising = Curve(list(range(101)), [-500.0, 300.0, *np.linspace(500, 550, 99)])
    levels = {"random": -134.0, "prophet": 555.0, "halfway": 530.0}
    figure = curves_figure({"a": [rising]}, title="t", reference=None, levels=levels)
    low, high = figure.axes[1].get_ylim()
    assert 490 < low < 510
    assert 550 < high < 565
    assert {text.get_text() for text in figure.axes[1].texts} == {"halfway"} | ({"prophet"} if high > 555 else set())


def test_above_the_reference_there_is_no_panel_of_what_is_missing():
    assert len(curves_figure({"a": [curve(104)]}, title="t").axes) == 1
    assert len(curves_figure({"a": [curve(20)]}, title="t", reference=None).axes) == 1


@pytest.mark.parametrize("name", ["power-allocation", "power-allocation-deep-fade", "interference-channel"])
def test_figures_of_every_kind_of_problem_are_written(tmp_path, name):
    problem = make_problem(name)
    contexts = problem.sample_contexts(2, generator(0))
    reference = problem.reference(contexts)
    figure = decisions_figure(problem, contexts, reference, reference)
    assert any("100.0% of the reference" in axes.get_title(loc="left") for axes in figure.axes)
    assert save(figure, tmp_path / "decisions.png").stat().st_size > 10_000
    chain = torch.randn(4, 2, problem.feasible.action_size, generator=generator(1))
    figure = trajectory_figure(problem, contexts, chain, reference)
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(drawn) == problem.feasible.action_size
    assert drawn[0].get_ydata() == pytest.approx(problem.feasible.decode(chain)[:, 0, 0].numpy())
    assert save(figure, tmp_path / "chain.png").stat().st_size > 10_000


def test_the_histogram_accounts_for_all_contexts(tmp_path):
    regret = torch.rand(1000, generator=generator(0)) ** 2
    figure = regret_figure(regret, "bit/s/Hz", ("equal", regret + 1))
    shares = sum(patch.get_height() for patch in figure.axes[0].patches)
    beyond = int(figure.get_supxlabel().split()[0])
    assert shares + beyond / 10 == pytest.approx(100, abs=0.2)
    assert "bit/s/Hz" in figure.axes[0].get_xlabel()
    save(regret_figure(torch.zeros(5), ""), tmp_path / "zero.png")


def test_the_comparison_puts_the_best_on_top():
    figure = comparison_figure({"good": [99, 99.5], "bad": [90]}, title="t", measure="m")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["bad", "good"]


def test_methods_with_many_settings_leave_room_for_the_picture(tmp_path):
    name = "d2sac:n_steps=3:ent_coef=0.05:final_ent_coef=0.003:tau=0.005:learning_starts=16000:repeat=5"
    figure = comparison_figure({name: [1.0, 2.0], "ppo": [0.5]}, title="t", measure="m")
    label = next(text.get_text() for text in figure.axes[0].get_yticklabels() if "d2sac" in text.get_text())
    assert label.replace("\n", "") == name
    assert max(len(line) for line in label.split("\n")) <= 29
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where nothing is left for the axes
        save(figure, tmp_path / "comparison")
    assert figure.axes[0].get_position().width > 0.4

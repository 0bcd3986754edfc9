import dataclasses

import numpy as np
import pytest

from netdiffuse import experiments
from netdiffuse.common import UnsupportedError
from netdiffuse.experiments.figures.services import prophets_choice
from netdiffuse.studio.inside import has_picture, look_into


@pytest.fixture(scope="module")
def power(tmp_path_factory):
    path = tmp_path_factory.mktemp("inside") / "power"
    experiments.train(
        "power-allocation", "diffusion-apg", timesteps=2048, contexts=100, settings={"denoising_steps": 4}, out=path
    )
    return look_into(str(path))


def test_the_chain_ends_in_the_decision_and_every_step_is_feasible(power):
    context = power.sample(seed=1)
    look = power.look(context, None)
    decided = power.run.decide(np.array([context]))[0]
    assert look.steps[-1] == pytest.approx(decided.tolist(), abs=1e-5)
    assert np.sum(look.steps, axis=1) == pytest.approx([10.0] * len(look.steps), rel=1e-5)
    assert len(look.steps) == 5


def test_water_stands_level_over_the_channels_in_use(power):
    look = power.look(power.sample(seed=2), None)
    heights = np.add(look.floors, look.reference)
    used = np.array(look.reference) > 1e-6
    assert heights[used] == pytest.approx(look.level, rel=1e-4)
    assert (np.array(look.floors)[~used] >= look.level * (1 - 1e-4)).all()
    rate = np.log2(1 + np.array(look.reference) / np.array(look.floors)).sum()
    assert look.reference_utility == pytest.approx(rate, rel=1e-5)
    assert max(look.utilities) <= rate * (1 + 1e-6)


def test_noise_is_drawn_from_its_seed(power):
    context = power.sample(seed=3)
    assert power.look(context, 1) == power.look(context, 1)
    assert power.look(context, 1).steps[0] != power.look(context, 2).steps[0]
    assert power.sample(seed=3) == context


def test_a_run_that_decides_in_one_step(tmp_path):
    settings = {"n_steps": 8, "batch_size": 32}
    experiments.train(
        "interference-channel", "ppo", timesteps=256, n_envs=8, contexts=50, settings=settings, out=tmp_path / "r"
    )
    inside = look_into(str(tmp_path / "r"))
    look = inside.look(inside.sample(seed=0), None)
    assert len(look.steps) == 1
    assert look.floors is None
    assert np.shape(inside.shaped(inside.sample(seed=0))) == (10, 10)


def test_probabilities_of_providers(tmp_path):
    experiments.train(
        "aigc-services", "d2sac", timesteps=512, contexts=1, out=tmp_path / "r", problem_args={"horizon": 1e5}
    )
    inside = look_into(str(tmp_path / "r"))
    context = inside.sample(seed=0)
    look = inside.look(context, None)
    assert np.sum(look.steps, axis=1) == pytest.approx([1.0] * len(look.steps), rel=1e-5)
    assert look.reference.index(1.0) == prophets_choice(np.array(context), inside.env.simulator)
    assert len(inside.names) == len(context) == 42


def test_other_peoples_environments_have_no_picture(tmp_path, power):
    settings = {"n_steps": 64, "batch_size": 32}
    experiments.train("CartPole-v1", "ppo", timesteps=64, n_envs=1, contexts=1, settings=settings, out=tmp_path / "r")
    with pytest.raises(UnsupportedError, match="has no picture here"):
        look_into(str(tmp_path / "r"))
    other, own = experiments.load(tmp_path / "r").config, power.run.config
    assert (has_picture(other), has_picture(own)) == (False, True)
    for problem, algorithm, told in (
        ("aigc-services", "d2sac", True),
        ("aigc-services", "ppo", False),
        ("shared-denoising", "gddpg", False),
        ("mine.py:Own", "ppo", True),
        ("module:Their-v3", "ppo", False),
    ):
        assert has_picture(dataclasses.replace(own, problem=problem, algorithm=algorithm)) == told

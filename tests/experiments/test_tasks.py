"""What a name stands for is found, and tried once, before anything is written."""

import re

import gymnasium
import pytest
import torch

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.experiments import train
from netdiffuse.experiments.tasks import OneShotTask, SequentialTask, make_task

from .toys import Target


class Fragile(gymnasium.Env):
    """Takes any argument, and trips over some at its first step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, weight=1.0, package=None):
        self.weight = weight
        if package is not None:
            __import__(package)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        return action * 0, 1.0 / self.weight, True, False, {}


@pytest.fixture
def fragile():
    gymnasium.register("Fragile-v0", entry_point=Fragile)
    yield "Fragile-v0"
    del gymnasium.registry["Fragile-v0"]


def test_names_of_our_environments_are_those_of_their_presets():
    task = make_task("netdiffuse/PowerAllocation-v0", {"channels": 3})
    assert isinstance(task, OneShotTask)
    assert (task.name, task.problem.context_shape) == ("power-allocation", (3,))
    for name in ("netdiffuse/PowerAllocation-v9", "netdiffuse/Nothing-v0", "Nothing-v0"):
        with pytest.raises(UnknownNameError, match=re.escape(name)):
            make_task(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": "heavy"}, "refuses its arguments {'weight': 'heavy'}: unsupported operand"),
        ({"weight": 0}, "refuses its arguments"),
        ({"colour": "red"}, "refuses its arguments"),
        ({"package": "a_package_that_is_not_there"}, "needs more packages"),
    ],
)
def test_an_environment_is_stepped_once_before_a_folder_is_made(fragile, tmp_path, arguments, message):
    assert isinstance(make_task(fragile, {"weight": 2}), SequentialTask)
    with pytest.raises(UnsupportedError, match=message):
        train(fragile, "ppo", timesteps=8, problem_args=arguments, out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_observations_that_no_network_reads_are_refused_in_one_line(tmp_path):
    with pytest.raises(UnsupportedError, match=r"ppo cannot learn here: Tuple.*not supported"):
        train("Blackjack-v1", "ppo", timesteps=8, out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_seeds_and_numbers_beyond_all_use_are_refused():
    sequential, one_shot = make_task("Pendulum-v1"), make_task(Target())
    for task in (sequential, one_shot):
        for seed in (-1, 2**32):
            with pytest.raises(InvalidValueError, match="seed"):
                task.score(1, seed)
        with pytest.raises(InvalidValueError, match=r"episodes|contexts"):
            task.score(10**12, 0)
        with pytest.raises(InvalidValueError, match="n_envs"):
            task.training_env(10**12, 0)


class Column(Target):
    def utility(self, contexts, decisions):
        return super().utility(contexts, decisions)[:, None]


def test_a_broken_problem_is_refused_before_a_folder_is_made_and_disturbs_nothing(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(InvalidValueError, match=r"Column\.utility"):
        train(Column(), "gddpg", timesteps=8, out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
    make_task(Target())
    assert torch.equal(torch.rand(1), expected)

import gymnasium
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from netdiffuse.algorithms.common.setup import LinearDecay, as_env, decaying, problem_of
from netdiffuse.common import UnsupportedError
from netdiffuse.problems import PowerAllocation
from netdiffuse.problems.environments import ProblemEnv
from netdiffuse.problems.vecenv import ProblemVecEnv

from .toys import Target


@pytest.mark.parametrize(
    "make",
    [
        lambda: PowerAllocation(),
        lambda: "power-allocation",
        lambda: "netdiffuse/PowerAllocation-v0",
        lambda: gymnasium.make("netdiffuse/PowerAllocation-v0"),
        lambda: ProblemEnv(PowerAllocation()),
    ],
)
def test_a_problem_in_any_form_is_batched(make):
    env = as_env(make(), 7, 0)
    assert isinstance(env, ProblemVecEnv)
    assert env.num_envs == 7
    assert isinstance(problem_of(env), PowerAllocation)


def test_what_the_user_wrapped_stays_wrapped():
    halved = gymnasium.wrappers.TransformReward(ProblemEnv(Target()), lambda r: r / 2)
    assert as_env(halved, 7, 0) is halved
    monitored = Monitor(gymnasium.make("netdiffuse/PowerAllocation-v0"))
    assert as_env(monitored, 7, 0) is monitored
    assert as_env("Pendulum-v1", 7, 0).spec.id == "Pendulum-v1"
    assert problem_of(DummyVecEnv([lambda: monitored])) is not None
    assert problem_of(DummyVecEnv([lambda: halved])) is None  # another reward than the problem's utility


def test_rates_decay_in_a_line_and_schedules_are_kept():
    decay = decaying("learning_rate", 2.0, 0.25)
    assert [decay(p) for p in (1, 0.5, 0)] == [2, 1.25, 0.5]
    assert LinearDecay(2.0, 0.25)(-0.3) == 0.5  # a last batch may overshoot the end

    def schedule(progress):
        return progress**2

    assert decaying("learning_rate", schedule, 0.25) is schedule


def test_environments_of_different_problems_are_refused():
    env = DummyVecEnv([lambda: ProblemEnv(Target())] * 2)
    assert problem_of(env) is not None
    env.envs[1] = ProblemEnv(PowerAllocation())
    with pytest.raises(UnsupportedError, match="different problems"):
        problem_of(env)

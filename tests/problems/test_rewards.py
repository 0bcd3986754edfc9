import pytest
import torch

from netdiffuse.common.seeding import generator
from netdiffuse.problems import PowerAllocation
from netdiffuse.problems.rewards import reward_statistics

PROBLEM = PowerAllocation(channels=3, total_power=3.0)


def test_they_are_those_of_random_actions():
    statistics = reward_statistics(PROBLEM)
    contexts = PROBLEM.sample_contexts(20_000, generator(9))
    actions = 2 * torch.rand(20_000, 3, generator=generator(10)) - 1
    utility = PROBLEM.utility(contexts, PROBLEM.feasible.decode(actions))
    assert statistics["reward_mean"] == pytest.approx(float(utility.mean()), rel=0.05)
    assert statistics["reward_std"] == pytest.approx(float(utility.std()), rel=0.05)


class Scaled(PowerAllocation):
    """The same in another unit, or nothing at all."""

    unit = 1e-9

    def utility(self, contexts, decisions):
        return self.unit * super().utility(contexts, decisions)


def test_they_follow_the_unit_however_small_and_never_vanish():
    plain, scaled = reward_statistics(PROBLEM), reward_statistics(Scaled(channels=3, total_power=3.0))
    assert scaled["reward_std"] == pytest.approx(1e-9 * plain["reward_std"], rel=1e-4)
    flat = Scaled(channels=3, total_power=3.0)
    flat.unit = 0.0
    assert reward_statistics(flat) == {"reward_mean": 0.0, "reward_std": 1.0}

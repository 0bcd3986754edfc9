"""Every algorithm learns problems of two or three entities: regret as a share of that of uniformly drawn actions."""

import pytest
import torch

from netdiffuse import GDDPG, DiffusionAPG, DiffusionBC
from netdiffuse.problems.feasible import Budget, Integer, Product

from .toys import SMALL, Links, Mixed, Share, Target, random_regret, regret

SEEDS = (0, 1, 2)
BLACK_BOX = {"n_envs": 64, "batch_size": 64, "learning_starts": 512, "critic_warmup": 30}


def shares(cls, problem, updates, policy="MlpPolicy", seeds=SEEDS, batch_size=128, **kwargs):
    """Regret after this many updates, over that of random actions, for each seed."""
    chance = random_regret(problem)
    models = (cls(policy, problem, batch_size=batch_size, policy_kwargs=SMALL, seed=s, **kwargs) for s in seeds)
    return [regret(model.learn(updates * batch_size), problem) / chance for model in models]


@pytest.mark.parametrize("problem", [Target(), Share(), Mixed()], ids=["box", "simplex", "product"])
@pytest.mark.parametrize("cls", [DiffusionBC, DiffusionAPG])
def test_learning_from_the_problem_itself(cls, problem):
    assert max(shares(cls, problem, 150)) < 0.02


@pytest.mark.parametrize(
    ("problem", "kwargs"),
    [
        (Target(), {}),
        (Share(), {}),
        (Target(), {"actor_update": "action_gradient"}),
        (Target(), {"actor": "mlp"}),
    ],
    ids=["box", "simplex", "action-gradient", "mlp"],
)
def test_learning_from_rewards(problem, kwargs):
    assert max(shares(GDDPG, problem, 150, **BLACK_BOX, **kwargs)) < 0.1


class Tiny(Target):
    """Utilities in another unit."""

    def utility(self, contexts, decisions):
        return 1e-6 * super().utility(contexts, decisions)


def test_the_unit_of_the_reward_does_not_matter():
    assert max(shares(GDDPG, Tiny(), 150, seeds=(0,), **BLACK_BOX)) < 0.1


class Offset(Mixed):
    """Utilities with a large part that no decision changes, as a sum rate has."""

    def utility(self, contexts, decisions):
        return 100 + super().utility(contexts, decisions)


def test_a_constant_part_of_the_utility_does_not_matter():
    assert max(shares(DiffusionAPG, Offset(), 150, seeds=(0, 1))) < 0.02
    assert max(shares(GDDPG, Offset(), 150, seeds=(0,), **BLACK_BOX)) < 0.2


class Levels(Target):
    """Integer and Budget: name the whole number, and the two shares of at most 1, that the context asks for."""

    def __init__(self):
        self.context_shape = (3,)
        self.feasible = Product(level=Integer(0, 4), share=Budget(2, 1.0))

    def utility(self, contexts, decisions):
        return -((decisions - self.wish(contexts)) / torch.tensor([4.0, 1.0, 1.0])).square().sum(-1)

    def wish(self, contexts):
        return torch.cat([2.5 * contexts[:, :1] + 2, contexts[:, 1:].abs() / 2], 1)

    def reference(self, contexts):
        return self.feasible.project(self.wish(contexts))


@pytest.mark.parametrize(("cls", "kwargs"), [(DiffusionBC, {}), (DiffusionAPG, {}), (GDDPG, BLACK_BOX)])
def test_learning_whole_numbers_and_a_budget(cls, kwargs):
    assert max(shares(cls, Levels(), 200, seeds=(0,), **kwargs)) < 0.1


def test_learning_to_pick_from_rewards():
    assert max(shares(GDDPG, Mixed(), 150, seeds=(0,), **BLACK_BOX)) < 0.2


@pytest.mark.parametrize("cls", [DiffusionBC, DiffusionAPG])
def test_the_mlp_ablation_learns_too(cls):
    assert max(shares(cls, Target(), 150, actor="mlp")) < 0.02


def test_equivariant_networks_learn_pairs_and_their_policy_moves_to_more_entities():
    model = DiffusionAPG(
        "EquivariantPolicy", Links(3), batch_size=128, policy_kwargs={"width": 16, "blocks": 1}, seed=0
    ).learn(300 * 128)
    assert regret(model, Links(3)) / random_regret(Links(3)) < 0.01
    assert regret(model.transfer(Links(6)), Links(6)) / random_regret(Links(6)) < 0.05

"""Every constructor refuses what it cannot work with, and says what."""

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from netdiffuse import GDDPG, DiffusionAPG, DiffusionBC
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError

from .toys import Pick, Share, Target

NAN = float("nan")
EVERY = [
    ({"learning_rate": NAN}, InvalidValueError, "learning_rate must be finite"),
    ({"learning_rate": 0.0}, InvalidValueError, "learning_rate must be positive"),
    ({"final_learning_rate": 1.5}, InvalidValueError, "final_learning_rate must be in"),
    ({"batch_size": 0}, InvalidValueError, "batch_size must be an integer of at least 1"),
    ({"batch_size": 2.5}, InvalidValueError, "batch_size must be an integer"),
    ({"denoising_steps": 0}, InvalidValueError, "denoising_steps must be an integer of at least 1"),
    ({"schedule": "cosin"}, UnknownNameError, "unknown schedule 'cosin'.*'cosine'"),
    ({"prediction": "epsilon"}, UnknownNameError, "unknown prediction 'epsilon'"),
    ({"sampler": "ddpn"}, UnknownNameError, "unknown sampler 'ddpn'.*'ddpm'"),
    ({"actor": "transformer"}, UnknownNameError, "unknown actor 'transformer'"),
    ({"n_candidates": 0}, InvalidValueError, "n_candidates must be an integer of at least 1"),
    ({"n_candidates": 4, "actor": "mlp"}, InvalidValueError, "n_candidates must be 1 with actor='mlp'"),
    ({"policy": "CnnPolicy"}, ValueError, "CnnPolicy"),
    ({"policy": "EquivariantPolicy"}, UnsupportedError, "use 'MlpPolicy'"),
    ({"policy_kwargs": {"net_arch": []}}, InvalidValueError, "at least one hidden layer"),
    ({"policy_kwargs": {"net_arch": [0]}}, InvalidValueError, "net_arch must be"),
    ({"env": "power-alocation"}, gymnasium.error.Error, "power-alocation"),
]
GDDPG_ALONE = [
    ({"critic_learning_rate": -1.0}, InvalidValueError, "critic_learning_rate must be positive"),
    ({"buffer_size": 0}, InvalidValueError, "buffer_size must be"),
    ({"learning_starts": -1}, InvalidValueError, "learning_starts must be"),
    ({"critic_warmup": -1}, InvalidValueError, "critic_warmup must be"),
    ({"gamma": 2.0}, InvalidValueError, "gamma must be in"),
    ({"tau": -0.1}, InvalidValueError, "tau must be in"),
    ({"train_freq": 0}, InvalidValueError, "train_freq must be"),
    ({"train_freq": (1, "episode")}, UnsupportedError, "train_freq counts vector steps"),
    ({"gradient_steps": -2}, InvalidValueError, "gradient_steps must be"),
    ({"n_steps": 0}, InvalidValueError, "n_steps must be"),
    ({"n_envs": 0}, InvalidValueError, "n_envs must be"),
    ({"priority_exponent": 1.1}, InvalidValueError, "priority_exponent must be in"),
    ({"exploration_noise": -0.1}, InvalidValueError, "exploration_noise must be non-negative"),
    ({"final_exploration_noise": NAN}, InvalidValueError, "final_exploration_noise must be finite"),
    ({"target_noise": -1}, InvalidValueError, "target_noise must be non-negative"),
    ({"actor_update": "reinforce"}, UnknownNameError, "unknown actor_update 'reinforce'"),
    ({"action_gradient_steps": 0}, InvalidValueError, "action_gradient_steps must be"),
    ({"action_gradient_step_size": 0}, InvalidValueError, "action_gradient_step_size must be positive"),
    ({"pull_weight": -1}, InvalidValueError, "pull_weight must be non-negative"),
    ({"bc_weight": -1}, InvalidValueError, "bc_weight must be non-negative"),
    ({"env": "CartPole-v1"}, UnsupportedError, "a Box of one dimension, got Discrete"),
    ({"env": "FrozenLake-v1"}, UnsupportedError, "a Box of one dimension, got Discrete"),
    ({"env": VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))}, UnsupportedError, "VecNormalize"),
]
X = torch.zeros(4, 2)
BC_ALONE = [
    ({"env": "Pendulum-v1"}, UnsupportedError, "made from a netdiffuse Problem"),
    ({"env": Target(known=False)}, UnsupportedError, "Target has no reference: give dataset="),
    ({"dataset": (X, X[:2])}, InvalidValueError, "as many contexts as decisions, and some, got 4 and 2"),
    ({"dataset": (X[:0], X[:0])}, InvalidValueError, "got 0 and 0"),
    ({"dataset": (X[:, :1], X)}, InvalidValueError, "contexts must have shape"),
    ({"dataset": (X, X[:, :1])}, InvalidValueError, "decisions must have shape"),
    ({"dataset": (X + NAN, X)}, InvalidValueError, "row 0, context_0 must be finite"),
    (
        {"dataset": (X, np.where(np.arange(4)[:, None] == 2, NAN, 0) + X.numpy())},
        InvalidValueError,
        "decision 2 of the",
    ),
    ({"dataset": (X, X + 3)}, InvalidValueError, "decision 0 of the data set is not feasible: not in Box"),
]
CASES = [
    *((cls, *case) for cls in (GDDPG, DiffusionAPG, DiffusionBC) for case in EVERY),
    *((GDDPG, *case) for case in GDDPG_ALONE),
    *((DiffusionBC, *case) for case in BC_ALONE),
    (DiffusionAPG, {"max_grad_norm": 0.0}, InvalidValueError, "max_grad_norm must be positive"),
    (DiffusionAPG, {"pull_weight": -0.1}, InvalidValueError, "pull_weight must be non-negative"),
    (DiffusionAPG, {"env": "Pendulum-v1"}, UnsupportedError, "made from a netdiffuse Problem"),
]


@pytest.mark.parametrize(("cls", "kwargs", "error", "message"), CASES)
def test_bad_arguments_are_named(cls, kwargs, error, message):
    with pytest.raises(error, match=message):
        cls(**{"policy": "MlpPolicy", "env": Target(), "policy_kwargs": {"net_arch": [8]}} | kwargs)


def test_a_utility_without_gradient_is_for_gddpg():
    problem = Pick()
    problem.differentiable = False
    with pytest.raises(UnsupportedError, match=r"differentiable = False\): use GDDPG"):
        DiffusionAPG("MlpPolicy", problem)
    model = DiffusionAPG("MlpPolicy", Pick())
    with pytest.raises(UnsupportedError, match="use GDDPG"):
        model.set_env(problem)


def test_candidates_need_something_to_compare_them_by(tmp_path):
    DiffusionAPG("MlpPolicy", Target(), n_candidates=3).save(tmp_path / "model")
    with pytest.raises(UnsupportedError, match="load the model with env="):
        DiffusionAPG.load(tmp_path / "model").predict(np.zeros((1, 2), dtype=np.float32))


def test_transfer_needs_an_equivariant_policy_and_the_same_scale():
    with pytest.raises(UnsupportedError, match="transfer needs 'EquivariantPolicy'"):
        DiffusionAPG("MlpPolicy", Share()).transfer(Share(5))
    model = DiffusionAPG("EquivariantPolicy", Share(), policy_kwargs={"width": 4})
    with pytest.raises(InvalidValueError, match=r"scale 1.5, the new problem's have 2.5: make it with scale=1.5"):
        model.transfer(Share(5))


class BadReward(Target):
    def utility(self, contexts, decisions):
        return super().utility(contexts, decisions).log()


@pytest.mark.parametrize("cls", [GDDPG])
def test_a_reward_that_is_no_number_stops_learning(cls):
    with pytest.raises(InvalidValueError, match=r"BadReward.utility must be finite, got nan for row 0"):
        cls("MlpPolicy", BadReward(), n_envs=4).learn(10)

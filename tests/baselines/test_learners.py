"""Every learner builds, learns, decides feasibly, and comes back from disk the same."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from netdiffuse.baselines import LEARNERS, make_learner, n_envs
from netdiffuse.baselines.learners import tuned_defaults
from netdiffuse.baselines.rewards import (
    StandardisedReplayBuffer,
    StandardisedRolloutBuffer,
)
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import InterferenceChannel, PowerAllocation
from netdiffuse.problems.aigc_services import AIGCServicesEnv, AIGCServicesVectorEnv
from netdiffuse.problems.batched import BatchedVecEnv
from netdiffuse.problems.environments import ProblemEnv
from netdiffuse.problems.features import StandardisedContext
from netdiffuse.problems.rewards import reward_statistics
from netdiffuse.problems.vecenv import ProblemVecEnv

PROBLEM = PowerAllocation(channels=3, total_power=3.0)
SMALL = {"policy_kwargs": {"net_arch": [32, 32]}}
ONE_SHOT = [name for name, settings in LEARNERS.items() if settings.actions != "discrete"]
DISCRETE = [name for name, settings in LEARNERS.items() if settings.actions != "continuous"]


def make_env(n=32):
    return ProblemVecEnv(PROBLEM, n, seed=0)


@pytest.mark.parametrize("name", ONE_SHOT)
def test_learns_decides_and_survives_a_save(name, tmp_path):
    warm_up = {"learning_starts": 64} if LEARNERS[name].off_policy else {}
    model = make_learner(name, make_env(), device="cpu", **warm_up, **SMALL)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(1, log_interval=10**9)  # one rollout on-policy, the warm-up off-policy
    model.learn(320, log_interval=10**9, reset_num_timesteps=False)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert model.gamma == 0
    assert isinstance(model.policy, torch.nn.Module)
    assert any(isinstance(module, StandardisedContext) for module in model.policy.modules())

    contexts = PROBLEM.sample_contexts(100, generator(1))
    actions, _ = model.predict(contexts.numpy(), deterministic=True)
    decisions = PROBLEM.feasible.decode(torch.as_tensor(actions))
    assert PROBLEM.feasible.contains(decisions).all()

    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", env=make_env(), device="cpu")
    np.testing.assert_array_equal(loaded.predict(contexts.numpy(), deterministic=True)[0], actions)
    loaded.learn(256, log_interval=10**9)
    kind = "replay" if LEARNERS[name].off_policy else "rollout"
    expected = reward_statistics(PROBLEM)
    assert getattr(loaded, f"{kind}_buffer").reward_mean == expected["reward_mean"]
    assert getattr(loaded, f"{kind}_buffer").reward_std == expected["reward_std"]


def test_equal_seeds_give_equal_weights():
    def weights(seed):
        model = make_learner("sac", make_env(), seed=seed, device="cpu", **SMALL).learn(640, log_interval=10**9)
        return torch.cat([p.detach().flatten() for p in model.policy.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_ppo_learns_power_allocation():
    model = make_learner("ppo", make_env(128), device="cpu", n_steps=4, batch_size=128, **SMALL)
    model.learn(128 * 4 * 25)
    contexts = PROBLEM.sample_contexts(2000, generator(1))
    actions = torch.as_tensor(model.predict(contexts.numpy(), deterministic=True)[0])
    utility = PROBLEM.utility(contexts, PROBLEM.feasible.decode(actions)).mean()
    reference = PROBLEM.utility(contexts, PROBLEM.reference(contexts)).mean()
    equal = PROBLEM.utility(contexts, torch.ones(2000, 3)).mean()
    assert utility > equal + 0.7 * (reference - equal)


@pytest.mark.parametrize(
    ("name", "overrides"), [("sac", {"learning_starts": 8}), ("ppo", {"n_steps": 16, "batch_size": 16})]
)
def test_pairs_and_a_single_environment(name, overrides):
    env = ProblemEnv(InterferenceChannel(links=3))
    model = make_learner(name, env, device="cpu", **overrides, **SMALL).learn(16, log_interval=10**9)
    assert model.predict(np.ones((5, 3, 3), np.float32))[0].shape == (5, 3)


@pytest.mark.parametrize(("envs", "steps"), [(256, 8), (32, 64), (4096, 1)])
def test_the_rollout_does_not_depend_on_the_number_of_environments(envs, steps):
    assert make_learner("ppo", make_env(envs), device="cpu", **SMALL).n_steps == steps


@pytest.mark.parametrize("name", LEARNERS)
def test_settings_for_episodes_of_many_steps(name):
    env = gymnasium.make("Pendulum-v1" if name in ONE_SHOT else "CartPole-v1")
    if name == "maskable-ppo":
        with pytest.raises(UnsupportedError, match=r"'maskable-ppo' needs an environment with a method action_masks"):
            make_learner(name, env)
        env = AIGCServicesEnv()
    model = make_learner(name, env, device="cpu", **SMALL)
    assert model.gamma == 0.99
    assert not any(isinstance(module, StandardisedContext) for module in model.policy.modules())
    model.learn(32 if LEARNERS[name].off_policy else 256, log_interval=10**9)
    assert n_envs(name, one_shot=False) <= 8


def test_one_shot_is_a_choice():
    assert make_learner("sac", make_env(), device="cpu", one_shot=False, **SMALL).gamma == 0.99
    assert make_learner("sac", gymnasium.make("Pendulum-v1"), device="cpu", one_shot=True, **SMALL).gamma == 0


def test_overrides_win():
    model = make_learner("sac", make_env(), device="cpu", batch_size=64, policy_kwargs={"net_arch": [8]})
    assert model.batch_size == 64
    assert model.policy.net_arch == [8]
    assert model.policy.features_extractor_class is StandardisedContext


@pytest.mark.parametrize("name", LEARNERS)
def test_the_defaults_that_are_shown_are_those_that_are_used(name):
    shown = tuned_defaults(name)
    env: Any = make_env(n_envs(name)) if name in ONE_SHOT else AIGCServicesEnv()
    model = make_learner(name, env, device="cpu")
    for key in {"n_steps", "batch_size", "gamma", "replay_buffer_class", "rollout_buffer_class"} & set(shown):
        assert getattr(model, key) == shown[key]
    assert shown["policy_kwargs"].items() <= model.policy_kwargs.items()
    if "target_entropy" in shown:
        assert (shown["target_entropy"], model.target_entropy) == ("-3 x action coordinates", -9)
    if "action_noise" in shown:
        assert "0.3" in shown["action_noise"]
        assert (model.action_noise._sigma == 0.3).all()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("ppo", {"n_epochs": 0}, r"n_epochs of ppo must be in \[1, "),
        ("ppo", {"gamma": 7}, "gamma"),
        ("ppo", {"clip_range": -1}, "clip_range"),
        ("ppo", {"learning_rate": 1e6}, "learning_rate"),
        ("ppo", {"learning_rate": float("inf")}, "learning_rate of ppo must be finite"),
        ("ppo", {"policy_kwargs": {"net_arch": [-3]}}, "layer in net_arch of ppo"),
        ("ppo", {"policy_kwargs": {"net_arch": {"pi": [64], "vf": [10**9]}}}, "layer in net_arch of ppo"),
        ("ppo", {"policy_kwargs": {"log_std_init": float("nan")}}, "policy_kwargs of ppo must be finite"),
        ("a2c", {"n_steps": 0}, "n_steps"),
        ("sac", {"train_freq": 0}, "train_freq"),
        ("sac", {"train_freq": (0, "step")}, "train_freq"),
        ("sac", {"train_freq": (1, "episode")}, "needs n_envs=1, got 32"),
        ("sac", {"target_entropy": float("nan")}, "target_entropy"),
        ("sac", {"target_entropy": "nan"}, "target_entropy"),
        ("sac", {"ent_coef": "auto_nan"}, "ent_coef"),
        ("sac", {"batch_size": 0}, "batch_size"),
        ("sac", {"buffer_size": -1}, "buffer_size"),
        ("sac", {"buffer_size": 10**11}, "buffer_size"),
        ("td3", {"policy_delay": 0}, "policy_delay"),
        ("tqc", {"top_quantiles_to_drop_per_net": 5}, "some of 5 quantiles"),
    ],
)
def test_settings_that_cannot_learn_are_refused(name, overrides, message):
    with pytest.raises((InvalidValueError, UnsupportedError), match=message):
        make_learner(name, make_env(), device="cpu", **overrides)


def test_settings_that_are_no_numbers_pass():
    model = make_learner(
        "sac", make_env(1), device="cpu", learning_rate=lambda _: 1e-3, ent_coef="auto_0.1", train_freq=(1, "episode")
    )
    assert model.ent_coef == "auto_0.1"
    assert make_learner("ppo", make_env(), device="cpu", clip_range_vf=None).clip_range_vf is None


def test_buffers_standardise_rewards():
    box = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    statistics = {"reward_mean": 10.0, "reward_std": 4.0}
    rewards, one = np.array([14.0, 2.0], np.float32), np.zeros((2, 1), np.float32)
    replay = StandardisedReplayBuffer(8, box, box, "cpu", n_envs=2, **statistics)
    replay.add(one, one, one, rewards, np.ones(2), [{}, {}])
    assert set(replay.sample(50).rewards.flatten().tolist()) == {1.0, -2.0}
    rollout = StandardisedRolloutBuffer(1, box, box, "cpu", n_envs=2, **statistics)
    rollout.add(one, one, rewards, np.ones(2), torch.zeros(2), torch.zeros(2))
    assert rollout.rewards.tolist() == [[1.0, -2.0]]
    assert rewards.tolist() == [14.0, 2.0]


def test_bad_arguments():
    with pytest.raises(UnknownNameError, match=r"unknown learner 'sacc'.*Did you mean 'sac'"):
        make_learner("sacc", make_env())
    with pytest.raises(UnknownNameError):
        n_envs("dqm")
    with pytest.raises(InvalidValueError, match=r"'ppo' has no setting 'buffer_size'.*n_steps"):
        make_learner("ppo", make_env(), buffer_size=10)
    with pytest.raises(UnsupportedError, match=r"'sac' needs continuous actions.*ppo"):
        make_learner("sac", DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]))
    with pytest.raises(UnsupportedError, match=r"'dqn' needs discrete actions.*ppo or a2c"):
        make_learner("dqn", make_env())
    assert make_learner("a2c", gymnasium.make("CartPole-v1"), device="cpu").gamma == 0.99


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_learners_choose_among_services_and_survive_a_save(name, tmp_path):
    def env():
        return BatchedVecEnv(AIGCServicesVectorEnv(4, rate=1e-4, horizon=3e5), seed=0)

    rollout = {"n_steps": 8, **({} if name == "a2c" else {"batch_size": 16})}
    short = {"learning_starts": 64, "gradient_steps": 1, "batch_size": 32} if LEARNERS[name].off_policy else rollout
    model = make_learner(name, env(), device="cpu", **short, **SMALL)
    assert model.gamma == 0.95  # the problem's
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(320, log_interval=10**9)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    observations = env().reset()
    actions, _ = model.predict(observations, deterministic=True)
    assert set(actions.tolist()) <= set(range(20))
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", env=env(), device="cpu")
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], actions)

import re

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from netdiffuse import GDDPG
from netdiffuse.baselines.batched_rules import rules_of
from netdiffuse.baselines.denoising_rules import DENOISING_RULES
from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.problems.batched import BatchedVecEnv
from netdiffuse.problems.shared_denoising import SharedDenoisingEnv, SharedDenoisingVectorEnv

ID = "netdiffuse/SharedDenoising-v0"


def test_it_passes_gymnasiums_and_stable_baselines3s_checkers():
    check_env(gymnasium.make(ID, slots=3).unwrapped)
    sb3_check_env(SharedDenoisingEnv(slots=3))


def test_the_single_environment_is_the_first_of_many():
    one, many = SharedDenoisingEnv(slots=4), SharedDenoisingVectorEnv(1, slots=4)
    observation, _ = one.reset(seed=7)
    observations, _ = many.reset(seed=7)
    np.testing.assert_array_equal(observation, observations[0])
    for step in range(4):
        action = np.random.default_rng(step).uniform(-1, 1, 24).astype(np.float32)
        observation, reward, over, truncated, info = one.step(action)
        observations, rewards, overs, _, infos = many.step(action[None])
        assert reward == rewards[0]
        assert over == overs[0] == (step == 3)
        assert not truncated
        np.testing.assert_array_equal(observation, (infos["final_obs"] if over else observations)[0])
    assert info["qoe"] == infos["final_info"]["qoe"][0]
    with pytest.raises(gymnasium.error.ResetNeeded):
        one.step(action)


def test_the_reward_is_opinions_above_the_floor_less_the_servers_energy():
    env = SharedDenoisingVectorEnv(5, energy_weight=0.02)
    env.reset(seed=1)
    total = np.zeros(5)
    for step in range(12):
        _, rewards, over, _, infos = env.step(np.random.default_rng(step).uniform(-1, 1, (5, 24)))
        outcome, opinions = env.last
        np.testing.assert_allclose(rewards, (opinions - 1).sum(-1) - 0.02 * outcome.server_j.sum(-1))
        np.testing.assert_allclose(env.entity_rewards, (opinions - 1) - 0.02 * outcome.server_j)
        total += (opinions - 1).mean(-1)
    assert over.all()
    final = infos["final_info"]
    np.testing.assert_allclose(final["qoe"], total / 12)
    names = [name for name in final if name.startswith("users_")]
    assert sum(final[name] for name in names).tolist() == [96.0] * 5  # 8 users, 12 slots


def test_decisions_keep_to_the_budgets_and_decode_encode():
    env = SharedDenoisingVectorEnv(30)
    env.reset(seed=2)
    shared, power, bandwidth = env.decode(np.random.default_rng(0).uniform(-1, 1, (30, 24)))
    assert set(shared.ravel().tolist()) == set(range(12))
    assert (power.sum(-1) <= 0.1 * (1 + 1e-6)).all()
    assert (bandwidth.sum(-1) <= 2e5 * (1 + 1e-6)).all()
    again = env.decode(env.encode(shared, power, bandwidth))
    np.testing.assert_array_equal(again[0], shared)
    np.testing.assert_allclose(again[1], power, atol=1e-7)
    np.testing.assert_allclose(again[2], bandwidth, atol=0.2)


def test_personas_are_seen_or_not():
    assert SharedDenoisingVectorEnv(2).reset(seed=0)[0].shape == (2, 8, 18)
    hidden = SharedDenoisingVectorEnv(2, show_personas=False).reset(seed=0)[0]
    assert hidden.shape == (2, 8, 6)
    np.testing.assert_array_equal(hidden, SharedDenoisingVectorEnv(2).reset(seed=0)[0][..., :6])


def test_bad_actions_and_arguments_are_named():
    env = SharedDenoisingVectorEnv(2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros((2, 24)))
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="shape"):
        env.step(np.zeros((2, 23)))
    with pytest.raises(InvalidValueError, match="finite"):
        env.step(np.full((2, 24), np.nan))
    for arguments, words in (
        ({"outcome": "dreams"}, "dreams"),
        ({"energy_weight": -1.0}, "energy_weight"),
        ({"user": 3}, "users"),
    ):
        with pytest.raises((UnknownNameError, InvalidValueError), match=words):
            SharedDenoisingVectorEnv(1, **arguments)
    with pytest.raises(UnknownNameError, match="human"):
        SharedDenoisingEnv(render_mode="human")


def test_it_is_rendered():
    env = SharedDenoisingEnv(render_mode="ansi")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    assert "users wait" in env.render()
    env.step(np.zeros(24, np.float32))
    assert env.render().count(" of 11") == 8
    pictured = SharedDenoisingEnv(render_mode="rgb_array")
    pictured.reset(seed=0)
    pictured.step(np.zeros(24, np.float32))
    assert pictured.render().shape == (400, 600, 3)


def test_after_the_last_slot_those_who_were_rated_are_shown():
    given = {"personas": "random", "users": 8}
    env, pictured = (SharedDenoisingEnv(mode, slots=1, **given) for mode in ("ansi", "rgb_array"))
    longer, drawn_longer = (SharedDenoisingEnv(mode, slots=2, **given) for mode in ("ansi", "rgb_array"))
    every = (env, pictured, longer, drawn_longer)
    for one in every:
        one.reset(seed=0)
    waiting = re.findall(r"(user \d+) +\d+%  (a.*?)  ", env.render())
    for one in every:
        one.step(np.zeros(24, np.float32))
    row = r"(user \d+) +(\d+)%  (a.*?)  +(\d of 11 .*)"
    shown, in_longer = re.findall(row, env.render()), re.findall(row, longer.render())
    assert len(shown) == 8
    assert [(name, caption) for name, _, caption, _ in shown] == waiting
    # In a session that goes on the same users have the same batteries, outcomes and ratings, but new wishes.
    but_wishes = [[(name, left, got) for name, left, _, got in rows] for rows in (shown, in_longer)]
    assert but_wishes[0] == but_wishes[1]
    below_title = slice(30, None)
    assert np.array_equal(pictured.render()[below_title], drawn_longer.render()[below_title])
    for one in (env, pictured):
        one.reset(seed=1)
    assert "users wait" in env.render()


def play(rule, env, seed=0, slots=12):
    random = np.random.default_rng(0)
    env.reset(seed=seed)
    return sum(env.step(DENOISING_RULES[rule].choose(env, random))[1] for _ in range(slots))


def test_rules_rank_as_they_should():
    mean = {
        rule: play(rule, SharedDenoisingVectorEnv(100)).mean() for rule in ("random", "alone", "equal-shares", "greedy")
    }
    assert max(mean["random"], mean["alone"]) < mean["equal-shares"] < mean["greedy"]


def test_the_search_finds_what_is_best_now():
    env = SharedDenoisingVectorEnv(3, users=2, groups=1, noisy=False)
    env.reset(seed=4)
    before = env.state_dict()

    def reward(action):
        env.load_state_dict(before)
        return env.step(action)[1]

    best = reward(DENOISING_RULES["exhaustive"].choose(env, None))
    assert (best >= reward(DENOISING_RULES["greedy"].choose(env, None)) - 1e-6).all()
    for k in np.ndindex(12, 12):  # with half of the bandwidth each, of which the grid has all
        tried = np.tile(k, (3, 1)), np.full((3, 2), 0.05), np.full((3, 2), 1e5)
        if all(k):
            env.load_state_dict(before)
            assert (best >= reward(env.encode(*tried)) - 1e-4).all()


def test_the_search_is_for_few_users():
    assert "exhaustive" not in rules_of(SharedDenoisingVectorEnv(1))
    assert "exhaustive" in rules_of(SharedDenoisingVectorEnv(1, users=3))
    assert "exhaustive" not in rules_of(SharedDenoisingVectorEnv(1, users=3), searches=False)  # it takes minutes


def test_an_equivariant_policy_reads_users_as_entities():
    model = GDDPG("EquivariantPolicy", SharedDenoisingVectorEnv(4), seed=0)
    obs = torch.as_tensor(SharedDenoisingVectorEnv(4).reset(seed=0)[0])
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    action, moved = (model.predict(o.numpy(), deterministic=True)[0] for o in (obs, obs[:, order]))
    users = lambda a: a.reshape(4, 3, 8)  # noqa: E731
    np.testing.assert_allclose(users(action)[:, :, order], users(moved), atol=1e-5)
    model.learn(1000)
    mean = model.policy.features_extractor.mean
    assert mean.shape == (18,)  # of a user, whatever their number
    assert float(mean[2]) > 1  # SNR in tens of dB


def test_training_resumes_from_the_environments_state():
    env = BatchedVecEnv(SharedDenoisingVectorEnv(3), seed=0)
    env.reset()
    env.step(np.zeros((3, 24), np.float32))
    other = BatchedVecEnv(SharedDenoisingVectorEnv(3), seed=1)
    other.load_state_dict(env.state_dict())
    np.testing.assert_array_equal(env.step(np.ones((3, 24)))[1], other.step(np.ones((3, 24)))[1])

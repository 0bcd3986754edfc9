import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer as Theirs

from netdiffuse.algorithms.common.replay import NStepReplayBuffer
from netdiffuse.common import InvalidValueError, UnsupportedError

OBS = spaces.Box(-np.inf, np.inf, (1,), np.float32)
ACTION = spaces.Box(-1, 1, (1,), np.float32)
GAMMA = 0.9


def filled(size=40, steps=33, n_envs=2, cls=NStepReplayBuffer, **kwargs):
    """A buffer of `size` rows after `steps` random transitions; environment e sees i + e/10 at time i."""
    rng = np.random.default_rng(1)
    buffer = cls(size * n_envs, OBS, ACTION, "cpu", n_envs, gamma=GAMMA, **kwargs)
    history = []
    for i in range(steps):
        done, timeout = rng.random(n_envs) < 0.2, rng.random(n_envs) < 0.3
        obs = i + np.arange(n_envs)[:, None] / 10
        row = (obs, obs + 1, rng.uniform(-1, 1, (n_envs, 1)), rng.normal(size=n_envs), done)
        infos = [{"TimeLimit.truncated": bool(t and d)} for t, d in zip(timeout, done, strict=True)]
        buffer.add(*row, infos)
        history.append((*row, np.logical_and(done, timeout)))
    return buffer, history


def brute_force(history, i, env, n_steps):
    """Return, discount and next observation of the transition at time i, one reward at a time."""
    total = 0.0
    for k in range(n_steps):
        _, next_obs, _, reward, done, timeout = history[i + k]
        total += GAMMA**k * reward[env]
        if done[env]:
            return total, GAMMA ** (k + 1) if timeout[env] else 0.0, next_obs[env, 0]
        if k == n_steps - 1 or i + k == len(history) - 1:
            return total, GAMMA ** (k + 1), next_obs[env, 0]
    raise AssertionError


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("n_steps", [1, 2, 5, 60])
@pytest.mark.parametrize("steps", [1, 33, 40, 97])  # one transition; not full; exactly full; wrapped around twice
def test_returns_agree_with_a_loop(n_envs, n_steps, steps):
    np.random.seed(0)
    buffer, history = filled(steps=steps, n_envs=n_envs, n_steps=n_steps)
    batch = buffer.draw(300)
    seen = set()
    for j, observation in enumerate(batch.observations[:, 0].tolist()):
        i, env = int(observation + 1e-3), round(10 * (observation % 1)) % 10
        seen.add(i)
        found = [float(x[j]) for x in (batch.returns, batch.discounts, batch.next_observations[:, 0])]
        assert found == pytest.approx(brute_force(history, i, env, n_steps), rel=1e-5, abs=1e-6)
        assert float(batch.actions[j, 0]) == pytest.approx(history[i][2][env, 0])
    assert seen <= set(range(max(0, steps - 40), steps))
    assert len(seen) == min(steps, 40)  # everything is drawn, the newest too
    assert torch.equal(batch.weights, torch.ones(300))


@pytest.mark.parametrize("steps", [33, 97])
def test_returns_agree_with_stable_baselines3(steps):
    ours, _ = filled(steps=steps, n_steps=4)
    theirs, _ = filled(steps=steps, n_steps=4, cls=Theirs)
    rows = np.arange(ours.size())
    np.random.seed(3)
    expected = theirs._get_samples(rows)
    np.random.seed(3)
    envs = np.random.randint(0, 2, size=rows.shape)
    ends, discounts, steps = ours._ends(rows, envs)
    returns = ours._sum(ours.rewards, steps, envs)
    np.testing.assert_allclose(returns, expected.rewards[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(discounts, (expected.discounts * (1 - expected.dones))[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(ours.next_observations[ends, envs], expected.next_observations)


def test_no_return_runs_across_a_reset():
    buffer, _ = filled(steps=0, n_envs=2, n_steps=3)
    add = [np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1)), np.ones(2)]
    buffer.cut()  # of nothing
    buffer.add(*add, np.array([False, True]), [{}, {}])
    buffer.cut()
    buffer.add(*add, np.zeros(2), [{}, {}])
    envs = np.array([0, 1])
    _, discounts, steps = buffer._ends(np.array([0, 0]), envs)
    returns = buffer._sum(buffer.rewards, steps, envs)
    assert returns.tolist() == [1, 1]
    assert discounts.tolist() == pytest.approx([GAMMA, 0])  # unfinished: bootstrapped; a true end stays one
    for _ in range(40):
        buffer.add(*add, np.zeros(2), [{}, {}])
    assert buffer.timeouts.sum() == 0  # the cut does not outlive its transition


def test_priorities_set_frequencies_and_weights():
    np.random.seed(0)
    buffer, _ = filled(steps=50, alpha=0.7, n_steps=2)  # wrapped: 80 transitions, all of priority 1
    assert torch.equal(buffer.draw(64).weights, torch.ones(64))
    errors = torch.linspace(0.1, 8, 80)
    rows, envs = np.divmod(np.arange(80), 2)
    buffer.update_priorities(np.stack([rows, envs]), -errors)  # of either sign
    p = (errors.numpy() + 1e-3) ** 0.7
    p /= p.sum()
    batch = buffer.draw(100_000)
    drawn = batch.indices[0] * 2 + batch.indices[1]
    np.testing.assert_allclose(np.bincount(drawn, minlength=80) / 1e5, p, atol=4.5 * np.sqrt(p.max() / 1e5))
    weights = (80 * p[drawn]) ** -0.4
    np.testing.assert_allclose(batch.weights, weights / weights.max(), rtol=1e-5)
    buffer.add(*[np.zeros((2, 1))] * 3, np.zeros(2), np.zeros(2), [{}, {}])
    assert buffer.priorities[10].tolist() == pytest.approx([8.001, 8.001])  # the newest as urgent as the most urgent


@pytest.mark.parametrize("steps", [15, 97])
def test_a_restored_buffer_draws_the_same(steps):
    one, _ = filled(steps=steps, alpha=0.5, n_steps=3)
    one.update_priorities(one.draw(20).indices, torch.rand(20))
    other, _ = filled(steps=0, alpha=0.5, n_steps=3)
    other.load_state_dict(one.state_dict())
    for _ in range(2):
        np.random.seed(5)
        first = one.draw(64)
        np.random.seed(5)
        second = other.draw(64)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        for buffer in (one, other):
            buffer.add(*[np.ones((2, 1))] * 3, np.ones(2), np.zeros(2), [{}, {}])


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n_steps": 0}, InvalidValueError, "n_steps must be an integer of at least 1"),
        ({"alpha": 1.5}, InvalidValueError, "alpha must be in"),
        ({"beta": -0.1}, InvalidValueError, "beta must be in"),
        ({"optimize_memory_usage": True}, UnsupportedError, "leave optimize_memory_usage False"),
    ],
)
def test_bad_arguments_are_named(kwargs, error, message):
    with pytest.raises(error, match=message):
        filled(**kwargs)


def test_entities_parts_add_up_to_the_returns_and_are_saved():
    random = np.random.default_rng(0)
    spaces_ = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (1,))
    buffer, other = (NStepReplayBuffer(40, *spaces_, "cpu", n_envs=2, n_steps=3, gamma=GAMMA, entities=4) for _ in "ab")
    for step in range(30):
        parts = random.normal(size=(2, 4))
        buffer.add_entity_rewards(parts)
        done = np.array([step % 7 == 6, step % 5 == 4])
        buffer.add(*random.normal(size=(2, 2, 2)), random.normal(size=(2, 1)), parts.sum(1), done, [{}, {}])
    other.load_state_dict(buffer.state_dict())
    for kept in (buffer, other):
        np.random.seed(1)
        batch = kept.draw(50)
        assert batch.entity_returns.shape == (50, 4)
        np.testing.assert_allclose(batch.entity_returns.sum(1), batch.returns, rtol=1e-4, atol=1e-5)


def test_what_is_forgotten_leaves_no_priority_behind():
    """A buffer that was reset goes on like one that was saved after it and restored."""
    one, _ = filled(alpha=0.6)
    one.update_priorities(one.draw(20).indices, torch.full((20,), 9.0))
    one.reset()
    assert one.size() == 0
    row = (np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1)), np.zeros(2), np.zeros(2, bool), [{}, {}])
    one.add(*row)
    other = NStepReplayBuffer(80, OBS, ACTION, "cpu", 2, gamma=GAMMA, alpha=0.6)
    other.load_state_dict(one.state_dict())
    one.add(*row)
    other.add(*row)
    np.testing.assert_array_equal(one.priorities, other.priorities)
    assert one.priorities.max() == 1

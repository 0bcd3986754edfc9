import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch.distributions import Categorical

from netdiffuse import D2SAC
from netdiffuse.algorithms.common.critics import Critic
from netdiffuse.algorithms.common.replay import NStepReplayBuffer, ReplayBatch
from netdiffuse.algorithms.d2sac.losses import actor_loss, critic_loss, entropy_of, soft_value
from netdiffuse.algorithms.d2sac.policy import QValues
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.problems.aigc_services import AIGCServicesVectorEnv
from netdiffuse.problems.batched import BatchedVecEnv

from .toys import SMALL

SHORT = {"rate": 1e-4, "horizon": 3e5}


class Corridor(gymnasium.Env):
    """Five places in a row: 0 goes left, 1 right, 2 costs 1 and ends it all. The right end pays 1."""

    def __init__(self, first=0):
        self.observation_space = spaces.Box(0.0, 4.0, (1,), np.float32)
        self.action_space = spaces.Discrete(3, start=first)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(0, 4)), 0
        return np.array([self.place], np.float32), {}

    def step(self, action):
        assert self.action_space.contains(int(action))
        action = int(action) - int(self.action_space.start)
        self.steps += 1
        if action == 2:
            return np.array([self.place], np.float32), -1.0, True, False, {}
        self.place = min(max(self.place + (1 if action == 1 else -1), 0), 4)
        end = self.place == 4
        return np.array([self.place], np.float32), float(end), end, self.steps >= 20 and not end, {}

    def action_masks(self):
        return np.array([True, True, False])


def learner(env, **kwargs):
    arguments = {
        "learning_starts": 200, "batch_size": 64, "gradient_steps": 1, "gamma": 0.9, "ent_coef": 0.1,
        "final_ent_coef": 0.01, "n_steps": 3, "policy_kwargs": SMALL, "seed": 0,
    }  # fmt: skip
    return D2SAC("MlpPolicy", env, **arguments | kwargs)


@pytest.mark.parametrize(
    "kwargs", [{}, {"actor": "mlp"}, {"ent_coef": "auto"}, {"n_steps": 1, "priority_exponent": 0.6}]
)
def test_it_learns_to_walk_right(kwargs):
    model = learner(Corridor(), **kwargs).learn(900)
    places = np.arange(4, dtype=np.float32)[:, None]
    assert model.predict(places, deterministic=True)[0].tolist() == [1, 1, 1, 1]
    context = model.policy.context(torch.as_tensor(places))
    values = model.critic.values(context).mean(0).detach()
    assert float(values[3, 1]) == pytest.approx(1, abs=0.15)  # pays 1 and ends
    assert float(values[3, 2]) == pytest.approx(-1, abs=0.4)


def test_numbers_of_actions_may_start_anywhere():
    model = learner(Corridor(first=5)).learn(900)
    assert model.predict(np.array([2.0], np.float32), deterministic=True)[0] == 6
    assert set(np.unique(model.replay_buffer.actions[:900])) <= {0, 1, 2}


def test_masked_actions_are_never_taken_nor_bootstrapped_from():
    model = learner(DummyVecEnv([Corridor] * 2), action_masks=True).learn(600)
    assert (model.replay_buffer.actions[:300] < 2).all()
    assert (model.replay_buffer.masks[:300] == [True, True, False]).all()
    batch = model.replay_buffer.draw(64)
    assert batch.masks.shape == batch.next_masks.shape == (64, 3)
    log_probs = model.policy.log_probs(torch.randn(64, 3), batch.next_masks)
    assert (log_probs[:, 2] == -torch.inf).any()
    assert torch.isfinite(model._targets(batch, 0.1)).all()
    for deterministic in (True, False):
        masks = np.array([[False, False, True], [True, False, False]])
        chosen, _ = model.predict(np.ones((2, 1), np.float32), deterministic=deterministic, action_masks=masks)
        assert chosen.tolist() == [2, 0]


def test_next_masks_of_an_n_step_return_are_those_of_its_end():
    buffer = NStepReplayBuffer(10, spaces.Box(0, 9, (1,)), spaces.Discrete(3), n_envs=1, n_steps=2, masked_actions=3)
    for step in range(6):
        masks = np.zeros((1, 3), bool)
        masks[0, step % 3] = True
        buffer.add_masks(masks, np.roll(masks, 1, axis=1))
        obs = np.full((1, 1), step, np.float32)
        buffer.add(obs, obs + 1, np.array([[step % 3]]), np.zeros(1), np.zeros(1), [{}])
    batch = buffer.draw(200)
    for obs, following, mask, next_mask in zip(*(t.tolist() for t in (
        batch.observations, batch.next_observations, batch.masks, batch.next_masks)), strict=True):  # fmt: skip
        assert mask.index(True) == int(obs[0]) % 3
        assert next_mask.index(True) == int(following[0]) % 3


def test_the_first_policy_is_nearly_uniform():
    env = BatchedVecEnv(AIGCServicesVectorEnv(16), seed=0)
    model = D2SAC("MlpPolicy", env, seed=0)
    obs = torch.as_tensor(env.reset())
    with torch.no_grad():
        entropy = entropy_of(model.policy.log_probs(model.actor(model.policy.context(obs)), None))
    assert float(entropy.min()) > 0.9 * np.log(20)


def test_losses_are_those_of_the_distribution():
    log_probs = torch.randn(50, 4).log_softmax(1)
    values = torch.randn(50, 4)
    expected = Categorical(logits=log_probs)
    torch.testing.assert_close(entropy_of(log_probs), expected.entropy())
    mean = (expected.probs * values).sum(1)
    torch.testing.assert_close(soft_value(log_probs, values, 0.3), mean + 0.3 * expected.entropy())
    loss, metrics = actor_loss(log_probs, values, 0.3)
    torch.testing.assert_close(loss, -(mean + 0.3 * expected.entropy()).mean())
    assert metrics["actor/entropy"] == pytest.approx(float(expected.entropy().mean()), rel=1e-5)
    masked = torch.tensor([[0.0, 0.0, -torch.inf]]).log_softmax(1)
    assert float(entropy_of(masked)) == pytest.approx(np.log(2))


def test_masked_probabilities_have_finite_gradients():
    x0 = torch.randn(5, 3, requires_grad=True)
    masks = torch.tensor([[True, False, True]] * 5)
    from netdiffuse.algorithms.d2sac.policy import CategoricalDiffusionPolicy

    loss, _ = actor_loss(CategoricalDiffusionPolicy.log_probs(x0, masks), torch.randn(5, 3), 0.1)
    loss.backward()
    assert torch.isfinite(x0.grad).all()
    assert (x0.grad[:, 1] == 0).all()


def test_the_critic_loss_looks_at_the_actions_taken():
    critic = Critic(lambda: QValues(2, 3, [8]), 2)
    context, actions = torch.randn(20, 2), torch.randint(0, 3, (20, 1))
    targets, weights = torch.randn(20), torch.rand(20)
    batch = ReplayBatch(context, actions, context, targets, weights, weights, np.zeros((2, 20), np.int64))
    loss, _, errors = critic_loss(critic, context, batch, targets)
    q = torch.stack([critic(context)[:, i, actions[i, 0]] for i in range(20)], 1)
    torch.testing.assert_close(loss, (weights * (q - targets) ** 2).mean(1).sum())
    torch.testing.assert_close(errors, (q - targets).abs().mean(0))


def test_targets_are_soft_n_step_returns_in_reward_units():
    model = learner(Corridor(), n_steps=3).learn(300)
    batch = model.replay_buffer.draw(100)
    torch.manual_seed(1)
    targets = model._targets(batch, 0.2)
    torch.manual_seed(1)
    context = model.policy.context(batch.next_observations)
    policy = Categorical(logits=3 * model.actor(context))
    values = model.critic_target.values(context).amin(0)
    expected = (policy.probs * values).sum(1) + 0.2 * policy.entropy()
    torch.testing.assert_close(targets, batch.returns + batch.discounts * expected, atol=1e-5, rtol=1e-4)
    ended = batch.discounts == 0
    assert ended.any()
    torch.testing.assert_close(targets[ended], batch.returns[ended])


def test_the_temperature_cools_geometrically_or_holds_an_entropy():
    model = learner(Corridor(), ent_coef=0.2, final_ent_coef=0.002)
    found = []
    for left in (1.0, 0.5, 0.0):
        model._current_progress_remaining = left
        found.append(model._temperature())
    np.testing.assert_allclose(found, [0.2, 0.02, 0.002])


@pytest.mark.parametrize(("share", "falls"), [(0.05, True), (1.0, False)])
def test_a_learned_temperature_falls_above_the_target_entropy_and_rises_below(share, falls):
    model = learner(Corridor(), ent_coef="auto", target_entropy=share)
    model.learn(200)  # at random still, and the policy nearly uniform
    before = model._temperature()
    model.train(20, 32)
    assert (model._temperature() < before) == falls


def test_the_target_entropy_is_that_of_allowed_actions():
    model = learner(DummyVecEnv([Corridor] * 2), action_masks=True, ent_coef="auto").learn(40)
    batch = model.replay_buffer.draw(16)
    assert model._most_entropy(batch) == pytest.approx(np.log(2))  # of three actions one is forbidden
    assert model._most_entropy(batch._replace(masks=None)) == pytest.approx(np.log(3))


def test_forbidden_actions_count_neither_in_targets_nor_in_the_actors_loss():
    model = learner(DummyVecEnv([Corridor] * 2), action_masks=True).learn(60)
    batch = model.replay_buffer.draw(64)
    with torch.no_grad():
        torch.manual_seed(0)
        before = model._targets(batch, 0.1)
        for network in model.critic_target.networks:
            network.head.bias[2] += 100.0  # the forbidden action seems wonderful
        torch.manual_seed(0)
        after = model._targets(batch, 0.1)
    cut = batch.next_masks.all(1)  # nothing is known of what follows the end of an episode
    assert (~cut).sum() > 20
    torch.testing.assert_close(after[~cut], before[~cut])
    going = cut & (batch.discounts > 0)
    assert not going.any() or (after[going] > before[going]).all()
    with torch.no_grad():
        for network in model.critic.networks:
            network.head.bias[2] += 100.0
    model.train(100, 64)
    log_probs = model.policy.log_probs(model.actor(torch.zeros(50, 1)), None)
    assert log_probs[:, 2].exp().mean().item() < 0.6  # no gradient has drawn it there


def test_masks_in_the_replay_buffer_are_those_of_their_observations():
    env = BatchedVecEnv(AIGCServicesVectorEnv(4, **SHORT), seed=0)
    model = learner(env, action_masks=True, learning_starts=80).learn(400)
    total = env.env.simulator.providers.total_t
    buffer, rows = model.replay_buffer, 100

    def allowed(observations):
        room = observations[..., 1:40:2] * total >= observations[..., -2:-1] * 250 - 0.5
        return room | ~room.any(-1, keepdims=True)

    np.testing.assert_array_equal(buffer.masks[:rows], allowed(buffer.observations[:rows]))
    going = buffer.dones[:rows] == 0
    assert (~going).any()
    np.testing.assert_array_equal(buffer.next_masks[:rows][going], allowed(buffer.next_observations[:rows])[going])


def test_random_actions_are_kept_while_they_are_allowed():
    class Remembering(Corridor):
        def __init__(self, masked):
            super().__init__()
            self.masked, self.taken = masked, []

        def step(self, action):
            self.taken.append(int(action))
            return super().step(0)

        def action_masks(self):
            allowed = np.array([True, True, True])
            if self.masked and len(self.taken) % 4 == 2:  # in the middle of a repetition, one is forbidden
                allowed[self.taken[-1]] = False
            return allowed

    for masked in (False, True):
        env = DummyVecEnv([lambda masked=masked: Remembering(masked)])
        given = {"learning_starts": 400, "repeat": 4, "action_masks": masked}
        D2SAC("MlpPolicy", env, **given, seed=0, device="cpu", policy_kwargs=SMALL).learn(200)
        taken = np.array(env.envs[0].taken).reshape(-1, 4)
        assert (taken[:, 0] == taken[:, 1]).all()
        assert (taken[:, 2] == taken[:, 3]).all()
        assert (taken[:, 1] != taken[:, 2]).all() if masked else (taken[:, 1] == taken[:, 2]).all()
        assert np.bincount(taken[:, 0]).min() >= 5


def test_what_cannot_be_learned_from_is_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"observations must be a Box, got Discrete\(16\): .*FlattenObservation"):
        learner("FrozenLake-v1")
    learner(gymnasium.wrappers.FlattenObservation(gymnasium.make("FrozenLake-v1"))).learn(220)
    with pytest.raises(InvalidValueError, match="n_candidates must be 1"):
        learner(Corridor(), policy_kwargs={"n_candidates": 4})
    with pytest.raises(UnsupportedError, match="has weights"):
        learner(Corridor(), policy_kwargs={"features_extractor_class": Weighted})


class Weighted(BaseFeaturesExtractor):
    def __init__(self, observation_space):
        super().__init__(observation_space, 4)
        self.layer = torch.nn.Linear(1, 4)

    def forward(self, observations):
        return self.layer(observations)


def test_a_vector_environment_of_ours_is_taken_as_it_is():
    model = learner(gymnasium.make_vec("netdiffuse/AIGCServices-v0", num_envs=3, **SHORT), n_steps=2)
    assert isinstance(model.env, BatchedVecEnv)
    assert (model.n_envs, model.n_steps) == (3, 2)
    model.learn(30)


def test_same_seed_same_run_and_a_save_file_goes_on(tmp_path):
    def trained(seed):
        env = BatchedVecEnv(AIGCServicesVectorEnv(4, **SHORT), seed=seed)
        return learner(env, seed=seed, action_masks=True, ent_coef="auto").learn(600)

    def weights(model):
        return torch.cat([p.detach().flatten() for p in model.policy.parameters()])

    one = trained(0)
    assert torch.equal(weights(one), weights(trained(0)))
    assert not torch.equal(weights(one), weights(trained(1)))
    one.save(tmp_path / "model")
    one.save_replay_buffer(tmp_path / "replay")
    loaded = D2SAC.load(tmp_path / "model", env=BatchedVecEnv(AIGCServicesVectorEnv(4, **SHORT), seed=3))
    obs = one.env.reset()
    np.testing.assert_array_equal(one.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    assert loaded.log_ent_coef.item() == one.log_ent_coef.item()
    loaded.load_replay_buffer(tmp_path / "replay")
    loaded.learn(40, reset_num_timesteps=False)
    assert loaded.num_timesteps == 640


def test_it_serves_stable_baselines3s_evaluation():
    model = learner(Corridor()).learn(900)
    mean, _ = evaluate_policy(model, DummyVecEnv([lambda: Monitor(Corridor())]), 10)
    assert mean == 1


@pytest.mark.parametrize(
    ("env", "kwargs", "error", "message"),
    [
        ("CartPole-v1", {"ent_coef": 0.0}, InvalidValueError, "ent_coef must be positive"),
        ("CartPole-v1", {"ent_coef": "self"}, InvalidValueError, "or 'auto', got 'self'"),
        ("CartPole-v1", {"final_ent_coef": -1}, InvalidValueError, "final_ent_coef"),
        ("CartPole-v1", {"target_entropy": 2.0}, InvalidValueError, "target_entropy must be in"),
        ("CartPole-v1", {"action_masks": True}, UnsupportedError, r"a method action_masks\(\)"),
        ("CartPole-v1", {"actor": "mpl"}, UnknownNameError, "unknown actor 'mpl'"),
        ("CartPole-v1", {"n_steps": 0}, InvalidValueError, "n_steps"),
        ("Pendulum-v1", {}, UnsupportedError, "discrete actions"),
        ("power-allocation", {}, UnsupportedError, "discrete actions"),
    ],
)
def test_bad_arguments_are_named(env, kwargs, error, message):
    with pytest.raises(error, match=message):
        learner(env, **kwargs)


@pytest.mark.parametrize(
    ("masks", "message"),
    [(np.ones((2, 2), bool), r"shape \(2, 3\)"), (np.array([[True] * 3, [False] * 3]), "row 1 has none")],
)
def test_bad_masks_are_named(masks, message):
    with pytest.raises(InvalidValueError, match=message):
        learner(Corridor()).predict(np.zeros((2, 1), np.float32), action_masks=masks)

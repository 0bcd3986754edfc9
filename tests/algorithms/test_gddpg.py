import numpy as np
import pytest
import torch
from gymnasium import spaces

from netdiffuse import GDDPG, DiffusionBC
from netdiffuse.algorithms.common.critics import Critic, MLPQNetwork
from netdiffuse.algorithms.common.replay import NStepReplayBuffer
from netdiffuse.algorithms.gddpg.losses import (
    action_gradient_loss,
    backpropagation_loss,
    best_candidate_loss,
    critic_loss,
    improved_actions,
)
from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.diffusion import DiffusionModel, MLPDenoiser
from netdiffuse.problems.feasible import Box, Integer
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv

from .toys import SMALL, Chain, Share, Target, regret


class Hill(torch.nn.Module):
    """A critic that is known: minus the squared distance from the context."""

    def forward(self, context, action):
        return -(action - context).square().sum(1).expand(2, -1)

    total = forward


def test_improved_actions_climb_by_the_step_asked_for():
    actor = DiffusionModel(MLPDenoiser(2, 2, 3, (8,)), 2, 3)
    context = torch.full((100, 2), 0.9)
    torch.manual_seed(1)
    start = actor(context).detach()
    torch.manual_seed(1)
    better = improved_actions(actor, Hill(), Box(-1, 1, (2,)), context, step_size=0.02, steps=3)
    assert (Hill()(context, better) > Hill()(context, start)).all()
    rms = (better - start).square().mean(1).sqrt()
    far = (context - start).square().mean(1).sqrt() > 0.1  # does not overshoot: a straight line of 3 steps
    torch.testing.assert_close(rms[far], torch.full_like(rms[far], 0.06), atol=1e-3, rtol=0)
    assert not better.requires_grad


BOX = Box(-1, 1, (2,))


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda actor, context: backpropagation_loss(actor, Hill(), BOX, context, pull_weight=0.1),
        lambda actor, context: action_gradient_loss(actor, Hill(), BOX, context, step_size=0.05, steps=5),
        lambda actor, context: best_candidate_loss(actor, Hill(), BOX, context, draws=16, noise=0.1),
    ],
    ids=["backpropagation", "action-gradient", "best-candidate"],
)
def test_every_loss_leads_to_the_top_of_a_known_hill(loss_of):
    torch.manual_seed(0)
    context = torch.rand(256, 2) - 0.5
    actor = DiffusionModel(MLPDenoiser(2, 2, 3, (32,)), 2, 3)
    optimizer = torch.optim.Adam(actor.parameters(), 1e-2)
    for _ in range(150):
        loss, metrics = loss_of(actor, context)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((actor(context) - context).detach().square().mean()) < 0.01
    assert float(next(iter(metrics.values()))) == pytest.approx(0, abs=0.02)  # the hill's height, or what is missed


def test_the_critic_loss_is_the_weighted_squared_error_of_every_critic():
    critic = Critic(lambda: MLPQNetwork(2, 1, [8]), n_critics=2)
    model = GDDPG("MlpPolicy", Target(1), n_envs=8, policy_kwargs=SMALL, seed=0, priority_exponent=1.0)
    model.learn(16)
    model.replay_buffer.update_priorities(np.array([[0, 1], [0, 3]]), torch.tensor([5.0, 3.0]))
    batch = model.replay_buffer.draw(20)
    context, targets = torch.randn(20, 2), torch.randn(20)
    loss, _, errors = critic_loss(critic, context, batch, targets)
    q = torch.stack([net(context, batch.actions) for net in critic.networks])
    expected = sum((batch.weights * (q[i] - targets) ** 2).mean() for i in range(2))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(errors, (q - targets).abs().mean(0))
    assert batch.weights.unique().numel() > 1


def test_targets_are_bootstrapped_from_the_smaller_critic_in_reward_units():
    model = GDDPG("MlpPolicy", "Pendulum-v1", policy_kwargs=SMALL, seed=0, learning_starts=30, n_steps=3, gamma=0.8)
    model.learn(60)
    assert isinstance(model.replay_buffer, NStepReplayBuffer)
    batch = model.replay_buffer.draw(50)
    assert set(batch.discounts.tolist()) <= {np.float32(0.8**k) for k in (1, 2, 3)}
    model.target_noise = 0.0
    torch.manual_seed(2)
    targets = model._targets(batch)
    torch.manual_seed(2)
    context = model.policy.context(batch.next_observations)
    action = model.actor_target(context).clamp(-1, 1)
    value = model.critic_target.values(context, action).amin(0)
    torch.testing.assert_close(targets, batch.returns + batch.discounts * value)


def test_target_networks_follow_in_reward_units():
    model = GDDPG("MlpPolicy", Chain(), policy_kwargs=SMALL, seed=0, learning_starts=50, tau=0.1).learn(120)
    torch.testing.assert_close(model.critic_target.mean, model.critic.mean)
    torch.testing.assert_close(model.critic_target.variance, model.critic.variance)
    model.tau, model.critic_warmup = 1.0, 10**9
    model.train(1)
    for a, b in zip(model.critic_target.parameters(), model.critic.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_chain_is_walked_to_its_end_with_n_step_returns_and_priorities():
    model = GDDPG(
        "MlpPolicy", Chain(), n_steps=4, priority_exponent=0.6, gamma=0.9, learning_starts=200, critic_warmup=50,
        batch_size=64, tau=0.02, policy_kwargs=SMALL, seed=0,
    ).learn(600)  # fmt: skip
    places = np.linspace(0, 3.4, 20, dtype=np.float32)[:, None]
    assert (model.predict(places, deterministic=True)[0] > 1).mean() > 0.9  # to the right, at half strength at least
    assert np.abs(model.predict(places)[0]).max() <= 2
    values = model.critic.values(model.policy.context(torch.as_tensor(places)), torch.ones(20, 1)).mean(0)
    assert float(values[-1].detach()) == pytest.approx(1, abs=0.15)  # the next step pays 1 and ends
    assert float(values[0].detach()) == pytest.approx(0.9**3, abs=0.2)  # 0 to 1, 2, 3, 4: three steps before it


def test_pendulum_runs_and_its_save_file_loads(tmp_path):
    model = GDDPG(
        "MlpPolicy", "Pendulum-v1", policy_kwargs=SMALL, learning_starts=100, train_freq=10, seed=0, n_steps=3
    ).learn(1020)
    extractor = model.policy.features_extractor
    assert extractor.mean.shape == (3,)
    assert 3 < float(extractor.std[2]) < 8  # the angular velocity varies most
    assert model.replay_buffer.size() == 1020
    assert len(model.ep_info_buffer) == 5
    model.save(tmp_path / "model")
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    loaded = GDDPG.load(tmp_path / "model", env=model.get_env())
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    model.save_replay_buffer(tmp_path / "replay")
    loaded.load_replay_buffer(tmp_path / "replay")
    loaded.learn(20, reset_num_timesteps=False)
    assert loaded.num_timesteps == 1040
    torch.testing.assert_close(loaded.policy.features_extractor.mean, extractor.mean)  # measured once there is enough


def test_a_warm_start_decides_like_its_teacher():
    teacher = DiffusionBC("MlpPolicy", Share(), policy_kwargs=SMALL, seed=0).learn(5 * 256)
    model = GDDPG("MlpPolicy", Share(), policy_kwargs=SMALL, seed=1).warm_start(teacher)
    obs = Share().sample_contexts(50, torch.Generator().manual_seed(0)).numpy()
    expected = teacher.predict(obs, deterministic=True)[0]
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], expected)
    for a, b in zip(model.actor_target.parameters(), teacher.actor.parameters(), strict=True):
        assert torch.equal(a, b)
    model.learn(256 * 12)
    assert not np.array_equal(model.predict(obs, deterministic=True)[0], expected)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"schedule": "cosine"}, "schedule"),
        ({"denoising_steps": 7}, "denoising_steps"),
        ({"prediction": "v"}, "prediction"),
        ({"actor": "mlp"}, "actor"),
        ({"policy_kwargs": {"net_arch": [8]}}, "shapes of networks"),
    ],
)
def test_a_warm_start_of_another_kind_is_refused(kwargs, word):
    teacher = DiffusionBC("MlpPolicy", Share(), **{"policy_kwargs": SMALL} | kwargs)
    with pytest.raises(InvalidValueError, match=f"needs the same .*{word}"):
        GDDPG("MlpPolicy", Share(), policy_kwargs=SMALL).warm_start(teacher)


def test_a_large_weight_of_cloning_holds_the_actor_to_the_replayed_actions():
    lost = []
    for weight in (0.0, 20.0):  # the replayed actions, uniform at first, know nothing of the context
        model = GDDPG(
            "MlpPolicy", Target(), n_envs=64, batch_size=64, learning_starts=512, critic_warmup=30, bc_weight=weight,
            policy_kwargs=SMALL, seed=0,
        ).learn(64 * 150)  # fmt: skip
        lost.append(regret(model, Target()))
    assert lost[0] < 0.1
    assert lost[1] > 3 * lost[0]


def test_the_best_candidate_is_the_critics_own():
    model = GDDPG("MlpPolicy", Share(), n_envs=32, learning_starts=64, critic_warmup=0, n_candidates=6,
                  policy_kwargs=SMALL, seed=0).learn(32 * 20)  # fmt: skip
    obs = Share().sample_contexts(100, torch.Generator().manual_seed(0))
    with torch.no_grad():
        candidates = model.policy.candidates(obs, 6, deterministic=True)
        scores = torch.stack([model._critic_score(obs, candidates[:, i]) for i in range(6)])
    chosen = torch.as_tensor(model.predict(obs.numpy(), deterministic=True)[0])
    torch.testing.assert_close(chosen, candidates[torch.arange(100), scores.argmax(0)])
    assert (scores.amax(0) > scores[0]).any()


def test_exploration_decays_to_its_final_noise():
    model = GDDPG("MlpPolicy", Target(), n_envs=8, exploration_noise=0.5, final_exploration_noise=0.1)
    assert model._noise() == 0.5
    model._current_progress_remaining = 0.25
    assert model._noise() == pytest.approx(0.2)
    obs = torch.zeros(4000, 2)
    model._current_progress_remaining = 1.0
    torch.manual_seed(0)
    noisy = model._explore(obs)
    torch.manual_seed(0)
    plain = model.actor(model.policy.context(obs))
    assert float((noisy - plain).detach().std()) == pytest.approx(0.5, rel=0.04)


def test_a_warm_start_of_another_scale_is_refused():
    teacher = DiffusionBC("MlpPolicy", Share(scale=1.5), policy_kwargs=SMALL)
    with pytest.raises(InvalidValueError, match="needs the same scale of the feasible set"):
        GDDPG("MlpPolicy", Share(scale=6.0), policy_kwargs=SMALL).warm_start(teacher)


def test_a_loaded_model_keeps_its_number_of_environments_and_takes_its_replay_buffer(tmp_path):
    model = GDDPG("MlpPolicy", Target(), n_envs=8, learning_starts=16, policy_kwargs=SMALL, seed=0).learn(64)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "replay")
    loaded = GDDPG.load(tmp_path / "model", env=Target())
    assert loaded.n_envs == 8
    loaded.load_replay_buffer(tmp_path / "replay")
    loaded.learn(16, reset_num_timesteps=False)
    assert loaded.replay_buffer.size() == 10
    assert len(loaded.ep_info_buffer) > 0


class Faint(Chain):
    """Observations as small as channel gains in watts."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0.0, 4e-9, (1,), np.float32)

    def _see(self):
        return 1e-9 * super()._see()


def test_faint_observations_are_standardised_too():
    model = GDDPG("MlpPolicy", Faint(), policy_kwargs=SMALL, seed=0, learning_starts=50).learn(200)
    seen = torch.as_tensor(model.replay_buffer.observations[:200, 0])
    assert 0.5 < float(model.policy.context(seen).std()) < 2


def test_small_steps_of_whole_numbers_are_refused():
    class Whole(Target):
        def __init__(self):
            super().__init__()
            self.feasible = Integer(0, 9, (2,))

    with pytest.raises(UnsupportedError, match=r"'action_gradient' needs a continuous decision.*Integer"):
        GDDPG("MlpPolicy", Whole(), actor_update="action_gradient", policy_kwargs=SMALL)


def test_the_replay_buffer_refuses_samples_without_returns():
    model = GDDPG("MlpPolicy", Target(), n_envs=8, policy_kwargs=SMALL).learn(16)
    with pytest.raises(UnsupportedError, match="draw"):
        model.replay_buffer.sample(4)


def sharing(**kwargs):
    env = SharedDenoisingVectorEnv(16, users=4, groups=2, slots=3)
    settings = {**GDDPG.batched_settings, "learning_starts": 64, "critic_warmup": 5, "gamma": 0.9, "seed": 0}
    return GDDPG("EquivariantPolicy", env, **{**settings, **kwargs})


def test_entities_are_valued_apart_and_their_values_add_up():
    model = sharing(target_noise=0.0).learn(400)
    batch = model.replay_buffer.draw(50)
    torch.testing.assert_close(batch.entity_returns.sum(1), batch.returns, rtol=1e-4, atol=1e-4)
    torch.manual_seed(2)
    targets = model._targets(batch)
    torch.manual_seed(2)
    context = model.policy.context(batch.next_observations)
    action = model._canonical(model.actor_target(context))
    values = model.critic_target.values(context, action)  # (2, 50, 4)
    assert values.shape == (2, 50, 4)
    smaller = values.sum(-1).min(0)
    bootstrapped = batch.returns + batch.discounts * smaller.values
    torch.testing.assert_close(targets.sum(1), bootstrapped, rtol=1e-4, atol=1e-3)
    going = batch.discounts > 0
    chosen = values[smaller.indices, torch.arange(50)]
    torch.testing.assert_close(targets[going], (batch.entity_returns + 0.9 * chosen)[going], rtol=1e-4, atol=1e-3)
    assert (targets[~going] == batch.entity_returns[~going]).all()
    whole = sharing(entity_rewards=False).learn(200)
    assert whole.replay_buffer.draw(5).entity_returns is None
    assert whole.critic(context, action).shape == (2, 50)


def test_an_mlp_values_entities_apart_too_and_loads(tmp_path):
    env = SharedDenoisingVectorEnv(16, users=4, groups=2, slots=3)
    model = GDDPG("MlpPolicy", env, **{**GDDPG.batched_settings, "learning_starts": 64}, seed=0).learn(200)
    model.save(tmp_path / "model")
    loaded = GDDPG.load(tmp_path / "model")
    observations, _ = env.reset(seed=1)
    for seen in (loaded, model):
        seen.policy.set_training_mode(False)
    found, expected = (m.predict(observations, deterministic=True)[0] for m in (loaded, model))
    np.testing.assert_array_equal(found, expected)
    context = model.policy.context(torch.as_tensor(observations))
    assert model.critic(context, torch.as_tensor(found)).shape == (2, 16, 4)


def test_it_begins_near_the_middle_where_told():
    model = sharing(starting_noise=0.2, initial_scale=1e-3)
    observations = torch.as_tensor(model.env.reset())
    assert model.policy.acting(model.policy.context(observations), deterministic=True).abs().max() < 0.01
    torch.manual_seed(0)
    assert float(model._begin((1000, 12)).std()) == pytest.approx(0.2, rel=0.02)
    assert float(sharing(starting_noise=None)._begin((1000, 12)).abs().max()) == pytest.approx(1, abs=0.01)
    for name in ("starting_noise", "initial_scale"):
        with pytest.raises(InvalidValueError, match=name):
            sharing(**{name: -1.0})


def test_users_are_served_better_than_by_equal_shares_within_seconds():
    env = SharedDenoisingVectorEnv(64)
    settings = {**GDDPG.batched_settings, "gamma": 0.9, "critic_warmup": 50}
    model = GDDPG("EquivariantPolicy", env, **settings, seed=0).learn(20_000)
    judged = SharedDenoisingVectorEnv(100)
    observations, _ = judged.reset(seed=5)
    total = np.zeros(100)
    for _ in range(12):
        observations, rewards, *_ = judged.step(model.predict(observations, deterministic=True)[0])
        total += rewards
    assert total.mean() > 140  # equal shares 114, greedy 165

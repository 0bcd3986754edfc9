"""Stable-Baselines3's API to the letter, for every algorithm."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from netdiffuse import GDDPG, DiffusionAPG, DiffusionBC
from netdiffuse.common import InvalidValueError
from netdiffuse.problems.environments import ProblemEnv
from netdiffuse.problems.feasible import Product, Simplex
from netdiffuse.problems.vecenv import ProblemVecEnv

from .toys import SMALL, Links, Pick, Share, Target

TINY = {"net_arch": [16, 16], "width": 8, "blocks": 1}
CLASSES = [GDDPG, DiffusionAPG, DiffusionBC]
STEP = 32


def make(cls, problem=None, policy="MlpPolicy", seed=0, **kwargs):
    """A tiny model whose every vector or gradient step takes STEP contexts."""
    if cls is GDDPG:
        kwargs = {"n_envs": STEP, "learning_starts": STEP, "critic_warmup": 1} | kwargs
    return cls(policy, problem or Target(), batch_size=STEP, policy_kwargs=TINY, seed=seed, **kwargs)


def weights(model):
    return torch.cat([x.flatten() for x in model.policy.state_dict().values()])


def contexts(n=7, problem=None):
    return (problem or Target()).sample_contexts(n, torch.Generator().manual_seed(9)).numpy()


def decide(model, obs=None):
    return model.predict(contexts() if obs is None else obs, deterministic=True)[0]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("policy", ["MlpPolicy", "EquivariantPolicy"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(cls, policy):
    one, two, other = (make(cls, Share(), policy, seed).learn(10 * STEP) for seed in (3, 3, 4))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("n_candidates", [1, 5])
def test_predict_is_repeatable_and_the_batch_does_not_matter(cls, n_candidates):
    model = make(cls, n_candidates=n_candidates)
    obs = contexts()
    action, state = model.predict(obs, deterministic=True)
    assert state is None
    assert action.shape == (7, 2)
    assert action.dtype == np.float32
    assert (np.abs(action) <= 1).all()
    np.testing.assert_array_equal(decide(model), action)
    for row in range(7):
        np.testing.assert_allclose(decide(model, obs[row]), action[row], atol=1e-5)
    assert not np.array_equal(model.predict(obs)[0], model.predict(obs)[0])
    with pytest.raises(ValueError, match="Unexpected observation shape"):
        model.predict(np.zeros((3, 5), dtype=np.float32))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_saved_model_decides_alike_and_goes_on(cls, tmp_path):
    model = make(cls, Pick(), learning_rate=lambda progress: 1e-3 * progress).learn(5 * STEP)
    obs = contexts(problem=Pick())
    model.save(tmp_path / "model")
    alone = cls.load(tmp_path / "model")
    np.testing.assert_array_equal(decide(alone, obs), decide(model, obs))
    for env in (Pick(), ProblemVecEnv(Pick(), 5), ProblemEnv(Pick())):
        loaded = cls.load(tmp_path / "model", env=env)
        np.testing.assert_array_equal(decide(loaded, obs), decide(model, obs))
        for a, b in zip(loaded.get_parameters(), model.get_parameters(), strict=True):
            assert a == b
        state = loaded.actor.optimizer.state_dict()["state"]
        assert all(torch.equal(x["exp_avg"], state[i]["exp_avg"]) for i, x in
                   model.actor.optimizer.state_dict()["state"].items())  # fmt: skip
    before = weights(loaded)
    loaded.learn(4 * STEP, reset_num_timesteps=False)
    assert loaded.num_timesteps == 9 * STEP
    assert not torch.equal(weights(loaded), before)
    loaded.save(tmp_path / "again")
    np.testing.assert_array_equal(decide(cls.load(tmp_path / "again"), obs), decide(loaded, obs))


@pytest.mark.parametrize("cls", CLASSES)
def test_set_env_changes_what_is_learned(cls, tmp_path):
    class Opposite(Target):
        def utility(self, contexts, decisions):
            return super().utility(contexts, -decisions)

        def reference(self, contexts):
            return -contexts

    make(cls).save(tmp_path / "model")
    model = cls.load(tmp_path / "model")  # no environment yet
    model.set_env(Opposite() if cls is not GDDPG else ProblemVecEnv(Opposite(), STEP))
    assert type(model.problem) is Opposite
    if cls is GDDPG:
        model.learn(3 * STEP)
        obs, actions = (torch.tensor(x[:3]) for x in (model.replay_buffer.observations, model.replay_buffer.actions))
        expected = Opposite().utility(obs.flatten(0, 1), actions.flatten(0, 1))
        np.testing.assert_allclose(model.replay_buffer.rewards[:3].ravel(), expected, atol=1e-5)
    else:
        model.learn(200 * STEP)
        assert np.corrcoef(contexts(500).ravel(), decide(model, contexts(500)).ravel())[0, 1] < -0.9


def test_candidates_of_a_loaded_critic_are_compared_as_before(tmp_path):
    model = make(GDDPG, Share(), n_candidates=8).learn(5 * STEP)
    model.save(tmp_path / "model")
    obs = contexts(200, Share())
    np.testing.assert_array_equal(decide(GDDPG.load(tmp_path / "model"), obs), decide(model, obs))


class Watch(BaseCallback):
    def __init__(self, stop_at=None):
        super().__init__()
        self.seen, self.stop_at, self.phases = 0, stop_at, []

    def _on_training_start(self):
        self.phases.append("start")

    def _on_training_end(self):
        self.phases.append("end")

    def _on_step(self):
        self.seen += 1
        assert self.locals["total_timesteps" if "total_timesteps" in self.locals else "actions"] is not None
        return self.seen != self.stop_at


@pytest.mark.parametrize("cls", CLASSES)
def test_callbacks_count_stop_evaluate_and_save(cls, tmp_path):
    watch = Watch()
    evaluate = EvalCallback(ProblemVecEnv(Target(), 4, 0), eval_freq=3, log_path=str(tmp_path), verbose=0, warn=False)
    save = CheckpointCallback(save_freq=4, save_path=str(tmp_path))
    model = make(cls).learn(10 * STEP, [watch, evaluate, save])
    assert watch.seen == 10
    assert watch.phases == ["start", "end"]
    assert model.num_timesteps == 10 * STEP
    assert np.load(tmp_path / "evaluations.npz")["results"].shape == (3, 5)
    assert len(list(tmp_path.glob("rl_model_*.zip"))) == 2
    assert make(cls).learn(10 * STEP, Watch(stop_at=3)).num_timesteps == 3 * STEP
    calls = []
    make(cls).learn(2 * STEP, lambda *_: calls.append(1) or True)
    assert len(calls) == 2


def test_callbacks_see_the_step():
    seen = {}

    def look(locals_, _):
        seen.update({k: np.shape(locals_[k]) for k in ("new_obs", "rewards", "dones", "infos", "actions")})
        return True

    make(GDDPG).learn(STEP, look)
    assert seen == {"new_obs": (32, 2), "rewards": (32,), "dones": (32,), "infos": (32,), "actions": (32, 2)}
    model = make(GDDPG).learn(100 * STEP, StopTrainingOnMaxEpisodes(70, verbose=0))
    assert model.num_timesteps < 100 * STEP


def test_stopping_loses_no_transition():
    model = make(GDDPG, learning_starts=10**6).learn(10 * STEP, Watch(stop_at=3))
    model.learn(2 * STEP, reset_num_timesteps=False)
    replay = model.replay_buffer
    assert replay.size() == 5
    rewards = Target().utility(torch.tensor(replay.observations[:5]).flatten(0, 1),
                               torch.tensor(replay.actions[:5]).flatten(0, 1))  # fmt: skip
    np.testing.assert_allclose(replay.rewards[:5].ravel(), rewards, atol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_logger_gets_rows(cls, tmp_path):
    model = make(cls)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(120 * STEP, log_interval=50)
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert len(rows) == 2
    for name in ("time/total_timesteps", "time/fps", "train/learning_rate", "train/n_updates", "actor/"):
        assert name in header
    make(cls, tensorboard_log=str(tmp_path / "tb")).learn(2 * STEP, log_interval=1)
    assert list((tmp_path / "tb").glob("*/events*"))


@pytest.mark.parametrize("cls", CLASSES)
def test_any_vec_env_and_evaluate_policy_serve(cls):
    env = VecMonitor(DummyVecEnv([lambda: ProblemEnv(Target(), seed=1)] * 4))
    model = make(cls, env, **({"learning_starts": 8} if cls is GDDPG else {})).learn(3 * STEP)
    assert model.get_env() is env
    mean, _ = evaluate_policy(model, model.get_env(), n_eval_episodes=8, deterministic=True)
    assert -4 < mean <= 0
    assert len(model.policy(torch.as_tensor(contexts()))) == 7


@pytest.mark.parametrize("cls", CLASSES)
def test_a_policy_saves_by_itself(cls, tmp_path):
    model = make(cls, Share(), "EquivariantPolicy")
    model.policy.save(tmp_path / "policy")
    loaded = type(model.policy).load(tmp_path / "policy")
    obs = contexts(problem=Share())
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], decide(model, obs))


@pytest.mark.parametrize("cls", [DiffusionAPG, DiffusionBC])
def test_of_several_candidates_none_is_worse_than_the_first(cls):
    problem, obs = Share(), torch.as_tensor(contexts(300, Share()))

    def utility(action):
        return problem.utility(obs, problem.feasible.decode(torch.as_tensor(action)))

    model = make(cls, problem, n_candidates=6)
    best = utility(decide(model, obs.numpy()))
    model.policy.n_candidates = 1
    first = utility(decide(model, obs.numpy()))
    assert (best >= first - 1e-5).all()
    assert best.mean() > first.mean() + 0.01
    with torch.no_grad():
        candidates = model.policy.candidates(obs, 6, deterministic=True)
    np.testing.assert_allclose(candidates[:, 0], decide(model, obs.numpy()), atol=1e-6)
    each = torch.stack([utility(candidates[:, i]) for i in range(6)])
    torch.testing.assert_close(each.amax(0), best)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("kind", [Share, Links])
def test_a_policy_decides_for_more_entities_than_it_was_trained_on(cls, kind):
    model = make(cls, kind(3) if kind is Links else Share(3, scale=1.5), "EquivariantPolicy").learn(5 * STEP)
    bigger = kind(6) if kind is Links else Share(6, scale=1.5)
    moved = model.transfer(bigger)
    for name, tensor in model.policy.state_dict().items():
        assert torch.equal(moved.policy.state_dict()[name], tensor), name
    assert decide(moved, contexts(problem=bigger)).shape == (7, 6)
    obs = contexts(problem=kind(3))
    np.testing.assert_array_equal(decide(model.transfer(kind(3) if kind is Links else Share(3, scale=1.5)), obs),
                                  decide(model, obs))  # fmt: skip
    with torch.no_grad():
        next(moved.policy.parameters()).add_(1)
    assert not torch.equal(weights(moved), weights(model))  # no weights are shared


@pytest.mark.parametrize("cls", CLASSES)
def test_one_can_look_into_the_chain(cls):
    model, obs = make(cls, denoising_steps=4), contexts()
    chain = model.denoising_trajectory(obs)
    assert chain.shape == (5, 7, 2)
    np.testing.assert_array_equal(model.denoising_trajectory(obs), chain)
    straight = model.denoising_trajectory(obs, seed=None)
    assert not straight[0].any()
    np.testing.assert_allclose(straight[-1], decide(model), atol=1e-6)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_mlp_ablation_differs_by_noise_and_steps_alone(cls):
    diffusion, mlp = make(cls), make(cls, actor="mlp")
    shapes = [{k: v.shape for k, v in m.actor.state_dict().items()} for m in (diffusion, mlp)]
    assert shapes[0].keys() == shapes[1].keys()
    assert {k for k in shapes[0] if shapes[0][k] != shapes[1][k]} == {"denoiser.time"}
    mlp.learn(3 * STEP)
    np.testing.assert_array_equal(mlp.predict(contexts())[0], decide(mlp))  # nothing is drawn


def test_a_transferred_model_keeps_its_settings_and_trains_on():
    model = GDDPG(
        "EquivariantPolicy", Share(3, scale=1.5), n_envs=8, batch_size=32, learning_rate=5e-4, exploration_noise=0.7,
        n_steps=2, learning_starts=16, seed=3,
    )  # fmt: skip
    moved = model.transfer(Share(6, scale=1.5))
    for name in ("batch_size", "n_envs", "exploration_noise", "seed", "learning_starts", "pull_weight"):
        assert getattr(moved, name) == getattr(model, name)
    assert moved.lr_schedule(1) == 5e-4
    moved.learn(64)
    assert moved.replay_buffer.n_steps == 2
    assert moved.replay_buffer.observations.shape[1:] == (8, 6)


def test_transfer_compares_scales_inside_a_product():
    class Split(Share):
        def __init__(self, scale):
            super().__init__()
            self.feasible = Product(power=Simplex(3, 2.0, scale))

    model = DiffusionAPG("EquivariantPolicy", Split(1.5), seed=0)
    with pytest.raises(InvalidValueError, match=r"scale 1\.5, the new problem's have 3"):
        model.transfer(Split(3.0))


def test_a_loaded_model_goes_on_with_contexts_that_it_has_not_seen(tmp_path):
    problem = Share()
    seen = []
    problem.sample_contexts = lambda n, g: seen.append(Share.sample_contexts(problem, n, g)) or seen[-1]
    model = DiffusionAPG("MlpPolicy", problem, batch_size=16, policy_kwargs=SMALL, seed=0)
    seen.clear()
    model.learn(32)
    first = torch.cat([s for s in seen if len(s) == 16])
    model.save(tmp_path / "model")
    loaded = DiffusionAPG.load(tmp_path / "model", env=problem)
    seen.clear()
    loaded.learn(32, reset_num_timesteps=False)
    second = torch.cat([s for s in seen if len(s) == 16])
    assert len(first) == len(second) == 32
    assert not torch.isin(second, first).any()

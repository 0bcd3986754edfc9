"""From decisions to ratings to learning, and what is refused on the way."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from netdiffuse.algorithms import GDDPG
from netdiffuse.algorithms.common.offline import OfflineData, join_batches
from netdiffuse.algorithms.common.replay import ReplayBatch
from netdiffuse.common import DataFileError, InvalidValueError, UnsupportedError
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Decision, Grant, Opinion
from netdiffuse.denoising.edge.ratings import Rating, RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.experiments import load, resume, train
from netdiffuse.experiments.allocation import make_allocator, policy_version
from netdiffuse.experiments.ratings import learn_from_ratings, read_ratings
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings, SharedDenoisingVectorEnv
from tests.denoising.serving import RULE, STEPS, bag_of_words, tiny_model

from .toys import parameters

USERS = 4
ARGUMENTS = {"users": USERS, "slots": 1}
SETTINGS = SharedDenoisingSettings(users=USERS, slots=1)
SMALL = {"learning_starts": 32, "batch_size": 16, "buffer_size": 64, "critic_warmup": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return train("shared-denoising", "gddpg", timesteps=128, n_envs=8, out=path, contexts=2, problem_args=ARGUMENTS,
                 policy="EquivariantPolicy", settings=SMALL)  # fmt: skip


def copied(run, tmp_path, name):
    shutil.copytree(run.path, tmp_path / name)
    return tmp_path / name


def decided(session, user, observation, action, server_j=0.0):
    grant = Grant(shared_steps=0, power_w=0, bandwidth_hz=0, policy="p")
    return Decision(grant=grant, session=session, user=user, observation=observation.tolist(), action=action.tolist(),
                    server_j=server_j)  # fmt: skip


def write(path, sessions=20, like=3, seed=0, users=USERS, raters=None):
    """Sessions of users who rate 5 where they got `like` shared steps, 1 elsewhere."""
    env = SharedDenoisingVectorEnv(sessions, users=users, slots=1)
    seen, random = env.reset(seed=seed)[0], np.random.default_rng(seed)
    shared = np.where(random.random((sessions, users)) < 0.5, like, random.integers(0, 12, (sessions, users)))
    share = np.full(shared.shape, 1 / users)
    actions = env.encode(shared, share * env.settings.power_w, share * env.settings.bandwidth_hz)
    store = RatingStore(path)
    for session in range(sessions):
        for user in range(raters or users):
            rating = 5.0 if shared[session, user] == like else 1.0
            made = decided(f"s{session}", user, seen[session], actions[session], 10.0 * user)
            store.add(Rating(f"r{session}-{user}", Opinion(rating=rating), None, made))
    store.close()
    return env, seen, shared, actions


def test_the_loop(trained, tmp_path):
    """A run's policy serves, users rate, the run learns from them, and serves as another version."""
    run_dir, file = copied(trained, tmp_path, "run"), tmp_path / "ratings.sqlite"
    run = load(run_dir)
    model = tiny_model()
    engine = LocalEngine.of(model, make_allocator(run, bag_of_words, explore=True, rule=RULE), STEPS, "dpm++")
    own = ServerSettings(window_s=30.0, enough_in_window=USERS, rate=0)
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own, RatingStore(file))) as client:
        for window in range(2):
            for user, prompt in enumerate(["apple", "apple on a table", "a tree", "lemon on a table"]):
                body = {"id": f"r{window}-{user}", "prompt": prompt, "revision": model.revision}
                assert client.post("/v1/requests", json=body).status_code == 202
            for user in range(USERS):
                name = f"r{window}-{user}"
                state = client.get(f"/v1/requests/{name}/state", params={"wait": 60})
                assert state.status_code == 200
                assert json.loads(state.headers["X-Grant"])["policy"] == policy_version(run_dir)
                assert client.post(f"/v1/requests/{name}/rating", json={"rating": 1 + user}).status_code == 201
    data = read_ratings(file, SETTINGS)
    assert data.observations.shape == (2, USERS, 18)
    assert data.actions.shape == (2, 3 * USERS)
    before = policy_version(run_dir)
    learned = resume(run_dir, timesteps=192, ratings=file)
    assert learned.finished
    assert policy_version(run_dir) != before


def test_ratings_change_what_is_learned_and_their_absence_changes_nothing(trained, tmp_path):
    write(tmp_path / "r.sqlite")
    runs = {
        name: resume(copied(trained, tmp_path, name), timesteps=192, **given)
        for name, given in {"without": {}, "again": {}, "with": {"ratings": tmp_path / "r.sqlite"}}.items()
    }
    without, again, rated = (parameters(runs[name].model) for name in ("without", "again", "with"))
    assert all(torch.equal(a, b) for a, b in zip(without, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(without, rated, strict=True))
    assert runs["with"].model.offline is None  # they are the file's, not the model's


def test_reading(tmp_path):
    _, seen, shared, actions = write(tmp_path / "r.sqlite", sessions=5)
    data = read_ratings(tmp_path / "r.sqlite", SETTINGS)
    np.testing.assert_allclose(data.observations, seen)
    np.testing.assert_allclose(data.actions, actions, atol=1e-5)
    np.testing.assert_allclose(data.rewards, 4 * (shared == 3) - 0.01 * 10 * np.arange(USERS), rtol=1e-6)


def test_who_has_not_rated_counts_like_the_mean_of_the_session(tmp_path):
    write(tmp_path / "r.sqlite", sessions=3, raters=2)
    rewards = read_ratings(tmp_path / "r.sqlite", SETTINGS).rewards
    np.testing.assert_allclose(rewards[:, 2:], np.repeat(rewards[:, :2].mean(1, keepdims=True), 2, 1), rtol=1e-6)


def test_critics_learn_what_users_like(tmp_path):
    env, seen, _, _ = write(tmp_path / "r.sqlite", sessions=200)
    model = GDDPG("EquivariantPolicy", SharedDenoisingVectorEnv(16, **ARGUMENTS), seed=0, device="cpu", gamma=0.9,
                  learning_starts=64, buffer_size=100, batch_size=64, critic_warmup=10_000)  # fmt: skip
    share = np.full((200, USERS), 1 / USERS)
    power_w, bandwidth_hz = share * env.settings.power_w, share * env.settings.bandwidth_hz

    def preferred():
        """By how much the critics value 3 steps for all above 8."""
        context = model.policy.context(torch.from_numpy(seen))
        actions = [torch.from_numpy(env.encode(np.full((200, USERS), k), power_w, bandwidth_hz)) for k in (3, 8)]
        with torch.no_grad():
            liked, other = (model.critic.values(context, action).mean() for action in actions)
        return float(liked - other)

    before = preferred()
    assert learn_from_ratings(model, tmp_path / "r.sqlite", SETTINGS, 0.9) == 200
    model.learn(16 * 300)
    assert preferred() > max(before, 0) + 1  # of 4 points in which a user's ratings differ


def test_what_is_no_file_of_ratings(tmp_path):
    with pytest.raises(DataFileError, match="there is no file of ratings"):
        read_ratings(tmp_path / "none.sqlite", SETTINGS)
    (tmp_path / "text").write_text("x" * 5000)
    Journal(tmp_path / "journal.sqlite").close()
    for name in ("text", "journal.sqlite"):
        with pytest.raises(DataFileError, match=f"{name} is no file of ratings, or damaged"):
            read_ratings(tmp_path / name, SETTINGS)


def test_ratings_that_cannot_be_learned_from(tmp_path):
    file = tmp_path / "r.sqlite"
    write(file, users=5, sessions=2)
    with pytest.raises(DataFileError, match=r"10 ratings, none of a session of 4 users .* have 5 users"):
        read_ratings(file, SETTINGS)
    unseen = SharedDenoisingSettings(users=5, show_personas=False)
    with pytest.raises(
        DataFileError, match=r"another policy: observations must have shape \(users, 6\), got \(5, 18\)"
    ):
        read_ratings(file, unseen)
    store = RatingStore(tmp_path / "meaning.sqlite")
    store.add(Rating("a", Opinion(rating=3)))
    store.close()
    with pytest.raises(DataFileError, match="no policy decided"):
        read_ratings(tmp_path / "meaning.sqlite", SETTINGS)


@pytest.mark.parametrize(
    "damage",
    ["action = '[1, 2'", "observation = 'null'", "user = 9", "user = NULL", "action = '[2]'", "server_j = -1",
     "rating = 7", "observation = NULL", "action = '{}'", "server_j = 'x'"],
)  # fmt: skip
def test_damaged_files(tmp_path, damage):
    write(tmp_path / "r.sqlite", sessions=1)
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute(f"UPDATE ratings SET {damage}")
    with pytest.raises(DataFileError, match="session s0 is damaged"):
        read_ratings(tmp_path / "r.sqlite", SETTINGS)


def test_other_algorithms_refuse(tmp_path):
    write(tmp_path / "r.sqlite", sessions=1)
    run = train("shared-denoising", "ppo", timesteps=32, n_envs=8, out=tmp_path / "ppo", contexts=1,
                problem_args=ARGUMENTS, settings={"n_steps": 4, "batch_size": 16, "n_epochs": 1})  # fmt: skip
    with pytest.raises(UnsupportedError, match="PPO cannot learn from --ratings: train with --algorithm gddpg"):
        resume(run.path, timesteps=64, ratings=tmp_path / "r.sqlite")


def test_other_problems_refuse(tmp_path):
    run = train("power-allocation", "gddpg", timesteps=64, n_envs=8, out=tmp_path / "run", contexts=10,
                settings={"learning_starts": 16, "batch_size": 8, "buffer_size": 64})  # fmt: skip
    with pytest.raises(UnsupportedError, match="trained on power-allocation"):
        resume(run.path, timesteps=128, ratings=tmp_path / "r.sqlite")
    with pytest.raises(UnsupportedError, match="trained on power-allocation"):
        make_allocator(run, bag_of_words)


def batch(n, **more):
    return ReplayBatch(
        torch.zeros(n, 2), torch.zeros(n, 1), torch.zeros(n, 2), torch.ones(n), torch.ones(n), torch.ones(n),
        np.zeros((2, n), np.int64), **more,
    )  # fmt: skip


def test_batches_joined():
    masks = torch.ones(3, 4, dtype=torch.bool)
    both = join_batches(batch(3, masks=masks), batch(3, masks=~masks))
    assert both.masks.shape == (6, 4)
    assert both.masks[:3].all()
    assert not both.masks[3:].any()
    assert both.indices.shape == (2, 6)
    assert join_batches(batch(3, masks=masks), batch(2)).masks is None


def test_offline_data():
    data = OfflineData(*(np.ones(shape, np.float32) for shape in ((5, 2), (5, 1), (5, 3))))
    drawn = data.draw(7)
    assert (drawn.returns == 3).all()
    assert not drawn.discounts.any()
    assert (drawn.indices == -1).all()
    with pytest.raises(InvalidValueError, match="a transition or more, got 5 observations, 4 actions"):
        OfflineData(data.observations, data.actions[:4], data.rewards)
    with pytest.raises(InvalidValueError, match="the rewards of offline data must be finite"):
        OfflineData(data.observations, data.actions, data.rewards * np.nan)
    model = GDDPG("MlpPolicy", SharedDenoisingVectorEnv(1, **ARGUMENTS), device="cpu", buffer_size=8)
    with pytest.raises(InvalidValueError, match=r"offline observations must have shape"):
        model.add_offline_data(data)
    with pytest.raises(InvalidValueError, match="share must be"):
        model.add_offline_data(data, 0)

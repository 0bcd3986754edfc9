"""From decisions to ratings to learning, and what is refused on the way."""

import dataclasses
import json
import re
import shutil
import sqlite3
import threading

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from netdiffuse.algorithms import GDDPG
from netdiffuse.algorithms.common.offline import OfflineData, join_batches
from netdiffuse.algorithms.common.replay import ReplayBatch
from netdiffuse.algorithms.gddpg.losses import critic_loss
from netdiffuse.common import DataFileError, InvalidValueError, UnsupportedError
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Decision, Grant, Opinion
from netdiffuse.denoising.edge.ratings import Rating, RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.experiments import load, resume, train
from netdiffuse.experiments.allocation import make_allocator, policy_version
from netdiffuse.experiments.ratings import digest, learn_from_ratings, read_ratings
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings, SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.allocator import physics
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
                    server_j=server_j, settings=physics(SETTINGS))  # fmt: skip


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
    engine = LocalEngine.of(model, make_allocator(run, bag_of_words, explore=0.1, rule=RULE), STEPS, "dpm++")
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
    assert runs["without"].config.ratings is None
    (told,) = runs["with"].config.ratings
    assert told["file"] == str((tmp_path / "r.sqlite").resolve())
    assert (told["sessions"], told["partly_rated"], told["share"], told["timesteps"]) == (20, 0, 0.25, 128)
    assert told["sha256"] == digest(read_ratings(tmp_path / "r.sqlite", SETTINGS))
    assert json.loads((runs["with"].path / "summary.json").read_text())["ratings"] == told


def test_a_training_that_was_stopped_amid_ratings_wants_them_again(trained, tmp_path):
    file, path = tmp_path / "r.sqlite", copied(trained, tmp_path, "run")
    write(file)
    stop = threading.Event()
    stop.set()
    assert not resume(path, timesteps=100_000, ratings=file, stop=stop).finished
    with pytest.raises(InvalidValueError, match=r"stopped while it learned from .*r\.sqlite: give that again"):
        resume(path)
    again = resume(path, timesteps=192, ratings=file)
    assert [one["file"] for one in again.config.ratings] == [str(file.resolve())]  # once
    assert again.finished
    assert resume(path, timesteps=256).finished  # to a new budget it goes on without


def test_reading(tmp_path):
    _, seen, shared, actions = write(tmp_path / "r.sqlite", sessions=5)
    data = read_ratings(tmp_path / "r.sqlite", SETTINGS)
    np.testing.assert_allclose(data.observations, seen)
    np.testing.assert_allclose(data.actions, actions, atol=1e-5)
    np.testing.assert_allclose(data.rewards, 4 * (shared == 3) - 0.01 * 10 * np.arange(USERS), rtol=1e-6)


def test_of_who_has_not_rated_nothing_is_learned(tmp_path):
    write(tmp_path / "r.sqlite", sessions=3, raters=2)
    data = read_ratings(tmp_path / "r.sqlite", SETTINGS)
    assert np.isnan(data.rewards[:, 2:]).all()
    assert np.isfinite(data.rewards[:, :2]).all()
    apart, together = (
        GDDPG("EquivariantPolicy", SharedDenoisingVectorEnv(8, **ARGUMENTS), seed=0, device="cpu", buffer_size=80,
              learning_starts=8, batch_size=32, entity_rewards=entities)
        for entities in (True, False)
    )  # fmt: skip
    apart.learn(8)
    drawn = data.draw(32, entities=True)
    context, targets = apart.policy.context(drawn.observations), drawn.entity_returns.clone()
    losses = []
    for unknown in (0.0, 1e6):  # whatever stands in their place
        targets[:, 2:] = unknown
        loss, _, _ = critic_loss(apart.critic, context, drawn, targets)
        losses.append(float(loss.detach()))
    errors = (apart.critic(context, drawn.actions) - targets)[..., :2].square().sum(-1) / USERS
    assert losses == pytest.approx([float(errors.mean(1).sum().detach())] * 2)
    assert apart.add_offline_data(data) is data
    apart.learn(160)
    assert all(torch.isfinite(parameter).all() for parameter in apart.policy.parameters())
    with pytest.raises(InvalidValueError, match="do not value entities apart need them all"):
        together.add_offline_data(data)
    write(tmp_path / "whole.sqlite", sessions=2)
    whole = read_ratings(tmp_path / "whole.sqlite", SETTINGS)
    both = OfflineData(*(np.concatenate([getattr(one, name) for one in (data, whole)])
                         for name in ("observations", "actions", "rewards")))  # fmt: skip
    assert len(together.add_offline_data(both)) == 2
    together.learn(160)
    assert all(torch.isfinite(parameter).all() for parameter in together.policy.parameters())


def test_statistics_are_of_what_is_known():
    critic = GDDPG("EquivariantPolicy", SharedDenoisingVectorEnv(1, **ARGUMENTS), device="cpu", buffer_size=8).critic
    returns = torch.tensor([[1.0, 2.0, 1e9], [3.0, 1e9, 1e9]])
    standardised = critic.standardise(returns, returns < 1e8)
    assert (float(critic.mean), float(critic.variance)) == pytest.approx((2.0, 2 / 3))
    assert standardised[0, 0] == pytest.approx(-1 / (2 / 3) ** 0.5)


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
    assert learn_from_ratings(model, tmp_path / "r.sqlite", SETTINGS, 0.9)["sessions"] == 200
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
    unseen = SharedDenoisingSettings(users=5, slots=1, show_personas=False)
    with pytest.raises(
        DataFileError, match=r"another policy: observations must have shape \(users, 6\), got \(5, 18\)"
    ):
        read_ratings(file, unseen)
    store = RatingStore(tmp_path / "meaning.sqlite")
    store.add(Rating("a", Opinion(rating=3)))
    store.close()
    with pytest.raises(DataFileError, match="they judge no policy's"):
        read_ratings(tmp_path / "meaning.sqlite", SETTINGS)
    write(tmp_path / "mine.sqlite", sessions=1)
    for name, value in {"power_w": 0.2, "bandwidth_hz": 1e6, "battery_j": 100.0}.items():
        other = dataclasses.replace(SETTINGS, **{name: value})
        with pytest.raises(
            DataFileError, match=f"decided with {name}=.*, and the run was trained with {re.escape(f'{value:g}')}"
        ):
            read_ratings(tmp_path / "mine.sqlite", other)
    with pytest.raises(UnsupportedError, match=r"the run's sessions have 12 slots.*slots=1"):
        read_ratings(tmp_path / "mine.sqlite", SharedDenoisingSettings(users=USERS))


@pytest.mark.parametrize(
    "damage",
    ["action = '[1, 2'", "observation = 'null'", "user = 9", "user = NULL", "action = '[2]'", "server_j = -1",
     "rating = 7", "observation = NULL", "action = '{}'", "server_j = 'x'", "server_j = 9e999", "settings = NULL",
     "settings = '[]'", "settings = '{}'", "observation = replace(observation, '0.5', '1e38')"],
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


def test_other_batteries_are_not_served(tmp_path):
    run = train("shared-denoising", "gddpg", timesteps=64, n_envs=8, out=tmp_path / "run", contexts=1,
                problem_args={**ARGUMENTS, "battery_j": 50.0}, settings=SMALL)  # fmt: skip
    with pytest.raises(UnsupportedError, match="battery_j=50, and devices reckon with 150 J"):
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
    parts, known = torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool)
    both = join_batches(batch(3, entity_returns=parts), batch(3, entity_returns=parts, known=known))
    assert both.known.tolist() == [[True] * 2] * 3 + [[False] * 2] * 3


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

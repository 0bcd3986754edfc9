"""From decisions to ratings to learning, and what is refused on the way."""

import json
import shutil
import sqlite3
import threading

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from netdiffuse.cli.evaluate import evaluate
from netdiffuse.common import DataFileError, InvalidValueError, RunError, UnsupportedError
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Decision, Grant, Opinion
from netdiffuse.denoising.edge.ratings import Rating, RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.experiments import load, monitor, resume, train
from netdiffuse.experiments.allocation import make_allocator, policy_version
from netdiffuse.experiments.checkpoints import checkpoint_dir, load_state, restore_buffer
from netdiffuse.experiments.figures import plot_run
from netdiffuse.experiments.figures.ratings import ratings_figures
from netdiffuse.experiments.ratings import RATINGS, read_ratings
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings, SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.allocator import physics
from netdiffuse.problems.shared_denoising.observation import FEATURES
from netdiffuse.problems.shared_denoising.rating import CalibratedRating, energy_share
from netdiffuse.users import Calibration
from netdiffuse.users.calibration import MOST
from netdiffuse.users.persona import COLUMNS
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


def decided(session, user, observation, action, settings=SETTINGS):
    grant = Grant(shared_steps=0, power_w=0, bandwidth_hz=0, policy="p")
    return Decision(grant=grant, session=session, user=user, observation=observation.tolist(), action=action.tolist(),
                    server_j=0.0, settings=physics(settings))  # fmt: skip


def write(path, sessions=20, seed=0, users=USERS, raters=None, said=lambda env, outcome: env.last[1]):
    """Ratings of drawn decisions: what the users of the environment say without noise, or something else."""
    env = SharedDenoisingVectorEnv(sessions, users=users, slots=1, groups=1, noisy=False)
    seen, random = env.reset(seed=seed)[0], np.random.default_rng(seed)
    left_j = env.simulator.left_j.copy()
    actions = random.uniform(-1, 1, (sessions, 3 * users)).astype(np.float32)
    env.step(actions)
    env.simulator.left_j = left_j
    ratings = np.clip(said(env, env.last[0]), 1, 5)
    store = RatingStore(path)
    for session in range(sessions):
        for user in range(raters or users):
            made = decided(f"s{session}", user, seen[session], actions[session], env.settings)
            store.add(Rating(f"r{session}-{user}", Opinion(rating=float(ratings[session, user])), None, made))
    store.close()
    return env, seen, ratings


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
    rated = read_ratings(file)
    assert sorted(rated.ratings) == [1, 1, 2, 2, 3, 3, 4, 4]
    before = policy_version(run_dir)
    learned = resume(run_dir, timesteps=192, ratings=file)
    assert learned.finished
    assert policy_version(run_dir) != before


def test_ratings_change_what_is_learned_and_their_absence_changes_nothing(trained, tmp_path):
    write(tmp_path / "r.sqlite", said=lambda env, _: 6 - env.last[1])
    runs = {
        name: resume(copied(trained, tmp_path, name), timesteps=192, **given)
        for name, given in {"without": {}, "again": {}, "with": {"ratings": tmp_path / "r.sqlite"}}.items()
    }
    without, again, rated = (parameters(runs[name].model) for name in ("without", "again", "with"))
    assert all(torch.equal(a, b) for a, b in zip(without, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(without, rated, strict=True))
    summary = json.loads((runs["with"].path / "summary.json").read_text())["ratings"]
    assert (summary["file"], summary["ratings"]) == (str((tmp_path / "r.sqlite").resolve()), 80)
    assert "ratings" not in json.loads((runs["without"].path / "summary.json").read_text())


def test_a_run_goes_on_with_its_ratings_as_if_it_had_never_stopped(trained, tmp_path, monkeypatch):
    """Whether the file is still there or not; and what the users of its training say, is corrected."""
    write(tmp_path / "r.sqlite", said=lambda env, _: env.last[1] - 1)
    at_once, stopped = (copied(trained, tmp_path, name) for name in ("at once", "stopped"))
    resume(at_once, timesteps=320, ratings=tmp_path / "r.sqlite")
    monkeypatch.setattr(monitor, "REPORT_SECONDS", -1)  # after every step, on a machine of any speed
    stop = threading.Event()

    def watch(report):
        if report.timesteps > 200:  # it has begun to learn
            stop.set()

    half = resume(stopped, timesteps=320, ratings=tmp_path / "r.sqlite", stop=stop, report=watch)
    (tmp_path / "r.sqlite").unlink()
    assert not half.finished
    finished = resume(stopped)
    assert finished.finished
    pair = (parameters(load(path).model) for path in (at_once, stopped))
    assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))
    told = [json.loads((path / "summary.json").read_text())["ratings"] for path in (at_once, stopped)]
    assert told[0] == told[1]
    assert told[0]["mean_difference"] < -0.5  # some were at the floor already
    assert {path.name for path in plot_run(finished)} >= {"learning_curve.png", "ratings.png"}
    (stopped / RATINGS).write_text('{"file": "x"}')
    with pytest.raises(RunError, match=r"ratings.json is damaged .* again with --ratings"):
        resume(stopped, timesteps=400)
    said = json.loads((at_once / RATINGS).read_text())
    (stopped / RATINGS).write_text(json.dumps(said | {"ratings": [9.0] * len(said["ratings"])}))
    with pytest.raises(DataFileError, match=r"ratings.json cannot be learned from: ratings must be in \[1, 5\]"):
        resume(stopped, timesteps=400)


def test_ratings_that_no_checkpoint_has_learned_from_yet_are_told_by_none(trained, tmp_path, capsys):
    """As a process leaves them that is killed between the two."""
    write(tmp_path / "r.sqlite", sessions=2)
    path = copied(trained, tmp_path, "run")
    kept = {name: np.asarray(values).tolist() for name, values in read_ratings(tmp_path / "r.sqlite")._asdict().items()}
    (path / RATINGS).write_text(json.dumps({"file": "x"} | kept))
    assert ratings_figures(load(path)) == {}
    evaluate(path, contexts=1)
    assert "learned from" not in capsys.readouterr().out
    resume(path, timesteps=168, contexts=1)
    assert list(ratings_figures(load(path))) == ["ratings"]
    evaluate(path, contexts=1)
    assert "uncorrected by the ratings that the run has learned from" in capsys.readouterr().out


def test_users_are_corrected_in_training_and_in_no_evaluation(trained, tmp_path):
    """Opinions have the corrected mean, drawn or not; evaluations are of the uncorrected."""
    write(tmp_path / "r.sqlite", said=lambda env, _: env.last[1] - 1)
    calibration = Calibration(*read_ratings(tmp_path / "r.sqlite")[:5])
    env = SharedDenoisingVectorEnv(4, users=USERS, slots=1)
    env.reset(seed=1)
    outcome = env.simulator.outcome(*env.decode(env.action_space.sample()))
    s = env.simulator
    correction = calibration(s.population[s.person], outcome.quality, outcome.delay_s, energy_share(s, outcome))
    mean = np.clip(s.mean_opinions(outcome) + correction, 1, 5)
    np.testing.assert_allclose(CalibratedRating(calibration, noisy=False)(s, outcome), mean)
    assert np.abs(mean - s.mean_opinions(outcome)).max() > 0.3
    drawn = np.mean([CalibratedRating(calibration)(s, outcome) for _ in range(4000)], 0)
    np.testing.assert_allclose(drawn, mean, atol=0.05)
    run = resume(copied(trained, tmp_path, "run"), timesteps=168, contexts=50, ratings=tmp_path / "r.sqlite")
    told = run.summary["evaluation"]
    assert told["return_mean"] == pytest.approx(run.evaluate(50)["return_mean"])
    assert (
        told["baselines"]
        == resume(copied(trained, tmp_path, "plain"), timesteps=168, contexts=50).summary["evaluation"]["baselines"]
    )


def test_ratings_of_policies_that_do_not_see_who_rates_are_left_out(tmp_path):
    write(tmp_path / "r.sqlite", sessions=2)
    store, env = RatingStore(tmp_path / "r.sqlite"), SharedDenoisingVectorEnv(1, **ARGUMENTS, show_personas=False)
    made = decided("other", 0, env.reset(seed=0)[0][0], np.zeros(12, np.float32))
    store.add(Rating("other", Opinion(rating=3), None, made))
    store.close()
    rated = read_ratings(tmp_path / "r.sqlite")
    assert (len(rated.ratings), rated.left_out) == (8, 1)
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute("UPDATE ratings SET settings = NULL WHERE session = 's0'")  # as earlier versions have kept them
    rated = read_ratings(tmp_path / "r.sqlite")
    assert (len(rated.ratings), rated.left_out) == (4, 5)


def test_what_was_rewarded_otherwise_is_forgotten(trained, tmp_path):
    write(tmp_path / "r.sqlite")
    path = copied(trained, tmp_path, "run")
    before = load_state(checkpoint_dir(path))["environment"]["env"]["simulator"]["rating"]
    run = resume(path, timesteps=168, ratings=tmp_path / "r.sqlite")  # 5 vector steps of 8
    after = load_state(checkpoint_dir(path))["environment"]["env"]["simulator"]["rating"]
    summary = json.loads((path / "summary.json").read_text())["ratings"]
    assert (before, after) == ({}, {"calibration": summary["sha256"]})
    assert kept(path) == 5
    assert run.finished
    assert run.model.learning_starts == SMALL["learning_starts"] + 128  # it learns from more than a handful
    resume(path, timesteps=192)  # they stay in force, and now nothing is forgotten
    assert kept(path) == 8
    write(tmp_path / "later.sqlite", seed=1)
    later = resume(path, timesteps=232, ratings=tmp_path / "later.sqlite")
    assert kept(path) == 5
    assert later.model.learning_starts == SMALL["learning_starts"] + 192  # however often ratings come
    (path / RATINGS).unlink()
    with pytest.raises(RunError, match=r"ratings.json, from which .* is missing: give the file again"):
        resume(path, timesteps=256)


def test_a_budget_that_ends_before_anything_is_learned_is_refused(trained, tmp_path):
    """Before anything is written; the first that is not, learns."""
    write(tmp_path / "r.sqlite")
    path = copied(trained, tmp_path, "run")
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    for timesteps in (136, 160):
        with pytest.raises(InvalidValueError, match=rf"within {timesteps} .* after 160 .* ask for 161 at least"):
            resume(path, timesteps=timesteps, ratings=tmp_path / "r.sqlite")
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before
    learned = resume(path, timesteps=161, ratings=tmp_path / "r.sqlite")
    assert not all(torch.equal(a, b) for a, b in zip(parameters(trained.model), parameters(learned.model), strict=True))


def kept(path):
    """Vector steps in the replay buffer of a run's checkpoint."""
    model, checkpoint = load(path).model, checkpoint_dir(path)
    restore_buffer(checkpoint, model, load_state(checkpoint))
    return model.replay_buffer.size()


def test_a_run_that_only_waits_to_be_judged_learns_from_no_ratings(trained, tmp_path):
    run_dir = copied(trained, tmp_path, "run")
    write(tmp_path / "r.sqlite")
    summary = json.loads((run_dir / "summary.json").read_text()) | {"evaluation_interrupted": True}
    (run_dir / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InvalidValueError, match="has used its budget, and would learn nothing from"):
        resume(run_dir, ratings=tmp_path / "r.sqlite")
    assert not (run_dir / RATINGS).exists()
    assert resume(run_dir).finished


def test_reading(tmp_path):
    """What users went through is read off what the policy saw and did, as the environment has it."""
    env, seen, ratings = write(tmp_path / "r.sqlite", sessions=5)
    outcome, _ = env.last
    rated = read_ratings(tmp_path / "r.sqlite")
    np.testing.assert_allclose(rated.ratings, ratings.ravel())
    np.testing.assert_allclose(rated.people, seen[..., 6:].reshape(-1, 12), rtol=1e-6)
    np.testing.assert_allclose(rated.quality, outcome.quality.ravel(), atol=1e-5)
    np.testing.assert_allclose(rated.delay_s, outcome.delay_s.ravel(), rtol=1e-5)
    np.testing.assert_allclose(rated.energy_share, energy_share(env.simulator, outcome).ravel(), atol=1e-5)


def test_who_has_not_rated_is_left_out_and_other_numbers_of_users_are_not(tmp_path):
    _, _, ratings = write(tmp_path / "r.sqlite", sessions=3, raters=2, users=5)
    np.testing.assert_allclose(read_ratings(tmp_path / "r.sqlite").ratings, ratings[:, :2].ravel())


def test_the_last_ratings_count(tmp_path):
    """However many of no use have come since; those before the last that count are not even looked at."""
    _, _, ratings = write(tmp_path / "r.sqlite", sessions=MOST // 4 + 5)
    judged(tmp_path / "r.sqlite", "late", 5, session=None)
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute("UPDATE ratings SET session = NULL WHERE session = 's0'")
    rated = read_ratings(tmp_path / "r.sqlite")
    np.testing.assert_allclose(rated.ratings, ratings.ravel()[-MOST:])
    assert rated.left_out == 5


def test_ratings_of_no_use_hide_no_others(tmp_path):
    """They judge no policy, where another than the medoid led or where no policy decided, and they are told."""
    _, _, ratings = write(tmp_path / "r.sqlite", sessions=20)
    judged(tmp_path / "r.sqlite", "late", MOST, session=None)
    store = RatingStore(tmp_path / "r.sqlite")
    store.add(Rating("alone", Opinion(rating=3)))
    store.close()
    rated = read_ratings(tmp_path / "r.sqlite")
    np.testing.assert_allclose(rated.ratings, ratings.ravel())
    assert rated.left_out == MOST + 1


def judged(path, name, count, session):
    """Ratings of so many requests of a session, or of none."""
    seen = SharedDenoisingVectorEnv(1, **ARGUMENTS).reset(seed=0)[0][0]
    made = decided("s", 0, seen, np.zeros(12, np.float32)).model_copy(update={"session": session})
    store = RatingStore(path)
    for number in range(count):
        store.add(Rating(f"{name}{number}", Opinion(rating=3), None, made))
    store.close()


def test_what_is_no_file_of_ratings(tmp_path):
    with pytest.raises(DataFileError, match="there is no file of ratings"):
        read_ratings(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("x" * 5000)
    Journal(tmp_path / "journal.sqlite").close()
    for name in ("text", "journal.sqlite"):
        with pytest.raises(DataFileError, match=f"{name} is no file of ratings, or damaged"):
            read_ratings(tmp_path / name)


def test_a_file_of_an_earlier_version(tmp_path):
    """Opened by a server it is brought up to date; only later ratings are of settings that are known."""
    write(tmp_path / "r.sqlite", sessions=1)
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute("ALTER TABLE ratings DROP COLUMN settings")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(DataFileError, match=r"r.sqlite is of an earlier version.* brings it up to date"):
        read_ratings(tmp_path / "r.sqlite")
    judged(tmp_path / "r.sqlite", "new", 2, session="new")
    rated = read_ratings(tmp_path / "r.sqlite")
    assert (len(rated.ratings), rated.left_out) == (2, USERS)


def test_ratings_that_cannot_be_learned_from(tmp_path):
    store = RatingStore(tmp_path / "meaning.sqlite")
    store.add(Rating("a", Opinion(rating=3)))  # no policy decided
    store.close()
    judged(tmp_path / "meaning.sqlite", "b", 1, session=None)
    with pytest.raises(DataFileError, match=r"no rating of a decision by a policy .* \(2 of others\)"):
        read_ratings(tmp_path / "meaning.sqlite")


@pytest.mark.parametrize(
    "damage",
    ["action = '[1, 2'", "observation = 'null'", "user = 9", "user = NULL", "action = '[2]'", "rating = 7",
     "observation = NULL", "action = '{}'", "settings = '[1]'", """settings = '{"powerw": 1}'""",
     """settings = '{"power_w": -1}'""", "observation = replace(observation, '0.5', '1e38')",
     "observation = '[[1, 2], [3, 4]]'", "action = replace(action, '0.', '7.') WHERE user = 1"],
)  # fmt: skip
def test_damaged_files(tmp_path, damage):
    write(tmp_path / "r.sqlite", sessions=1)
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute(f"UPDATE ratings SET {damage}")
    with pytest.raises(DataFileError, match="session s0 is damaged"):
        read_ratings(tmp_path / "r.sqlite")


@pytest.mark.parametrize(("column", "value"), [("openness", 1.5), ("patience_s", 0.0), ("energy_importance", -3.0)])
def test_users_whom_no_persona_describes(tmp_path, column, value):
    """Of a session, whether they have rated or not: the policy has seen them too."""
    _, seen, _ = write(tmp_path / "r.sqlite", sessions=1, raters=1)
    seen[0, 2, len(FEATURES) + COLUMNS.index(column)] = value
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        db.execute("UPDATE ratings SET observation = ?", (json.dumps(seen[0].tolist()),))
    with pytest.raises(DataFileError, match=f"r.sqlite: session s0 is damaged .*{column} must be .*, got {value}"):
        read_ratings(tmp_path / "r.sqlite")


def test_kept_ratings_of_whom_no_persona_describes(trained, tmp_path):
    write(tmp_path / "r.sqlite", sessions=2)
    path = copied(trained, tmp_path, "run")
    kept = {name: np.asarray(values).tolist() for name, values in read_ratings(tmp_path / "r.sqlite")._asdict().items()}
    for value in (-3.0, float("nan")):
        kept["people"][3][COLUMNS.index("patience_s")] = value
        (path / RATINGS).write_text(json.dumps({"file": "x"} | kept))
        with pytest.raises(RunError, match=r"ratings.json is damaged \(patience_s .* again with --ratings"):
            resume(path, timesteps=400)


def test_other_algorithms_learn_from_them_too(tmp_path):
    write(tmp_path / "r.sqlite", sessions=4)
    arguments = {"n_steps": 4, "batch_size": 16, "n_epochs": 1}
    run = train("shared-denoising", "ppo", timesteps=32, n_envs=8, out=tmp_path / "ppo", contexts=1,
                problem_args=ARGUMENTS, settings=arguments)  # fmt: skip
    assert resume(run.path, timesteps=64, ratings=tmp_path / "r.sqlite").finished


def test_other_problems_refuse(tmp_path):
    write(tmp_path / "r.sqlite", sessions=1)
    run = train("power-allocation", "gddpg", timesteps=64, n_envs=8, out=tmp_path / "run", contexts=10,
                settings={"learning_starts": 16, "batch_size": 8, "buffer_size": 64})  # fmt: skip
    with pytest.raises(UnsupportedError, match="trained on power-allocation"):
        resume(run.path, timesteps=128, ratings=tmp_path / "r.sqlite")
    with pytest.raises(UnsupportedError, match="trained on power-allocation"):
        make_allocator(run, bag_of_words)


def test_users_whom_a_language_model_plays_cannot_be_corrected(trained, tmp_path):
    write(tmp_path / "r.sqlite", sessions=1)
    path = copied(trained, tmp_path, "run")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"rater": {"model": "m", "url": "http://127.0.0.1:9"}}))
    with pytest.raises(UnsupportedError, match="has a language model for its users"):
        resume(path, timesteps=192, ratings=tmp_path / "r.sqlite")


def test_other_batteries_are_not_served(tmp_path):
    run = train("shared-denoising", "gddpg", timesteps=64, n_envs=8, out=tmp_path / "run", contexts=1,
                problem_args={**ARGUMENTS, "battery_j": 50.0}, settings=SMALL)  # fmt: skip
    with pytest.raises(UnsupportedError, match="battery_j=50, and devices reckon with 150 J"):
        make_allocator(run, bag_of_words)

"""Training by the ratings of a language model, played by a real server that goes wrong on purpose."""

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from netdiffuse.common import InvalidValueError, NetdiffuseError, UnsupportedError
from netdiffuse.experiments import load, resume, train
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.rater_rating import RaterRating
from netdiffuse.users import PRESETS, Opinion, ParametricRater
from netdiffuse.users.llm import AnswerCache, Endpoint, LLMRater, LLMRewardOptions, RatingError
from netdiffuse.users.llm.trial import TRIAL
from tests.users.llm.server import Model, serving

KEY = "sk-a-key-that-nobody-may-see"
SESSIONS = {"users": 4, "groups": 2, "slots": 3}
FAULTS = ("server_error", "rate_limited", "timeout", "malformed", "refused", "out_of_range", "wrong_model")
SMALL = {
    "problem_args": SESSIONS,
    "settings": {"learning_starts": 32, "batch_size": 16},
    "n_envs": 4,
    "contexts": 4,
    "seed": 1,
}
COSTS = ("time/", "seconds", "rater/")


def options(url, **more):
    return LLMRewardOptions(**{"model": "m", "url": url, "timeout": 0.6, "price": (1.0, 2.0)} | more)


def weights(run):
    return run.model.policy.state_dict()


def assert_equal_runs(one, other, but=()):
    """Weights, evaluations and every row of the progress, but for what the answers cost, and columns named."""
    for name, values in weights(one).items():
        assert torch.equal(values, weights(other)[name]), name
    assert one.summary["evaluation"] == other.summary["evaluation"]
    same = [name for name in one.progress.columns if not name.startswith((*COSTS, *but))]
    assert {"timesteps", "return_mean"} < set(same)
    assert one.progress[same].equals(other.progress[same])
    counts = ["rater/questions", "rater/fallbacks"]
    assert one.progress[counts].equals(other.progress[counts])


def sources(cache):
    """How many answers each source has given."""
    with closing(sqlite3.connect(cache)) as db:
        return Counter(dict(db.execute("SELECT source, COUNT(*) FROM opinions GROUP BY source")))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A training with a fault in every fifth request, and what the server did."""
    out = tmp_path_factory.mktemp("faulty") / "run"
    with pytest.MonkeyPatch.context() as patch, serving(Model(0.2, FAULTS, echo_key=True)) as (url, server):
        patch.setenv("NETDIFFUSE_LLM_KEY", KEY)
        with pytest.warns(RuntimeWarning, match="the fallback rates"):
            run = train("shared-denoising", timesteps=100, out=out, rater=options(url), **SMALL)
        return run, server.injected, len(server.requests)


def test_a_training_survives_faults_of_every_kind_and_counts_them(faulty):
    run, injected, requests = faulty
    assert run.finished
    said = json.loads((run.path / "summary.json").read_text())["rater"]
    assert set(injected) == set(FAULTS)
    for kind in FAULTS:
        assert said["faults"][kind] >= injected[kind] > 0, kind  # a slow machine may add a timeout
    assert said["questions"] == run.summary["timesteps"] * SESSIONS["users"]
    assert said["requests"] == requests - 1  # one was tried beforehand
    assert said["given_up"]["wrong_model"] == said["faults"]["wrong_model"]  # which no retry mends
    assert said["fallbacks"] >= sum(said["given_up"].values())
    answered = said["requests"] - said["unmetered"]
    assert said["input_tokens"] == 100 * answered
    assert said["output_tokens"] == 10 * answered
    assert said["money"] == pytest.approx(1e-6 * (100 * answered + 2 * 10 * answered))
    assert said["seconds"] > 0


def test_counters_stand_in_the_progress(faulty):
    run, _, _ = faulty
    questions = run.progress["rater/questions"]
    assert questions.iloc[0] == 0
    assert questions.is_monotonic_increasing
    assert questions.iloc[-1] == run.summary["rater"]["questions"]
    assert run.progress["rater/faults/wrong_model"].iloc[-1] == run.summary["rater"]["faults"]["wrong_model"]


def test_no_file_of_the_run_holds_the_key(faulty):
    run, _, _ = faulty
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert {"config.json", "summary.json", "answers.sqlite", "state.pt"} <= {path.name for path in files}
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


def test_a_training_repeats_bit_for_bit_from_the_cache_with_the_server_stopped(faulty, tmp_path):
    run, _, _ = faulty
    given = options(load(run.path).config.rater["url"], cache=run.path / "answers.sqlite", offline=True)
    again = train("shared-denoising", timesteps=100, out=tmp_path / "offline", rater=given, **SMALL)
    assert_equal_runs(run, again)
    said = again.summary["rater"]
    assert (said["requests"], said["faults"], said["money"]) == (0, {}, 0.0)
    assert said["fallbacks"] == run.summary["rater"]["fallbacks"] > 0
    assert said["from_cache"] + said["fallbacks"] == said["questions"] == run.summary["rater"]["questions"]


def test_a_new_training_asks_the_model_for_what_the_fallback_answered_in_another(faulty, tmp_path):
    run, _, _ = faulty
    cache = shutil.copy(run.path / "answers.sqlite", tmp_path)
    before = sources(cache)
    with serving() as (url, _):
        given = options(url, cache=Path(cache), timeout=60.0)
        mended = train("shared-denoising", timesteps=100, out=tmp_path / "mended", rater=given, **SMALL)
    assert mended.summary["rater"]["fallbacks"] == 0
    after = sources(cache)
    assert after["fallback"] < before["fallback"]
    assert after["llm"] >= before["llm"] + before["fallback"] - after["fallback"]


def test_evaluations_stay_with_the_parametric_rater(faulty, tmp_path):
    run, _, _ = faulty
    own = train("shared-denoising", timesteps=100, out=tmp_path / "own", **SMALL)
    assert own.summary["evaluation"]["baselines"] == run.summary["evaluation"]["baselines"]
    assert own.progress["return_mean"].iloc[0] == run.progress["return_mean"].iloc[0]  # before anything is learned
    assert any(not torch.equal(values, weights(run)[name]) for name, values in weights(own).items())
    assert "rater" not in own.summary
    assert "rater" not in json.loads((own.path / "config.json").read_text())


def test_resumed_equals_uninterrupted(tmp_path):
    import threading

    stop = threading.Event()

    def report(report):
        if report.timesteps >= 60:
            stop.set()

    with serving() as (url, server):
        given = options(url, memory=2, timeout=60.0)
        whole = train("shared-denoising", timesteps=144, out=tmp_path / "whole", rater=given, **SMALL)
        part = train(
            "shared-denoising", timesteps=144, out=tmp_path / "part", rater=given, stop=stop, report=report, **SMALL
        )
        assert not part.finished
        assert 0 < part.summary["timesteps"] < 144
        torch.rand(7)  # a fresh process would have other random states
        np.random.rand(7)
        resumed = resume(part.path)
        assert any(len(body["messages"]) == 6 for body in server.requests)  # two earlier pictures, with the answers
    assert resumed.finished
    # What a gradient step logs is not carried over a stop: the row after it lacks what was gathered before.
    assert_equal_runs(whole, resumed, but=("train/", "critic/", "actor/"))
    for name in ("questions", "from_cache", "requests", "input_tokens", "fallbacks", "faults", "money"):
        assert resumed.summary["rater"][name] == whole.summary["rater"][name], name


@pytest.mark.parametrize(
    ("problem", "given", "error", "said"),
    [
        ("power-allocation", {}, UnsupportedError, "nobody rates anything in power-allocation"),
        ("aigc-services", {}, UnsupportedError, "nobody rates anything in aigc-services"),
        ("Pendulum-v1", {}, UnsupportedError, "nobody rates anything in Pendulum-v1"),
        ("shared-denoising", {"model": None}, InvalidValueError, "needs a --rater-model"),
        ("shared-denoising", {"offline": True}, InvalidValueError, "there is no"),
        ("shared-denoising", {"url": "http://127.0.0.1:9/v1"}, RatingError, "unreachable"),
    ],
)
def test_a_rater_that_cannot_serve_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, problem, given, error, said
):
    from netdiffuse.users.llm import endpoint

    monkeypatch.setattr(endpoint, "LONGEST_PAUSE_S", 0.01)
    with pytest.raises(error, match=said):
        train(problem, timesteps=16, out=tmp_path / "new", rater=options("http://127.0.0.1:9/v1") if not given
              else options(**{"url": "http://127.0.0.1:9/v1"} | given))  # fmt: skip
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("known", [None, "m", "another"])
def test_a_cache_is_no_reason_to_train_without_the_model(tmp_path, monkeypatch, known):
    """Neither an empty one, nor one with an answer of this model or another."""
    from netdiffuse.users.llm import endpoint

    monkeypatch.setattr(endpoint, "LONGEST_PAUSE_S", 0.01)
    given = options("http://127.0.0.1:9/v1", cache=tmp_path / "answers.sqlite")
    with closing(given.open_cache(tmp_path)) as cache, serving() as (url, _):
        if known is not None:
            rater = LLMRater(known, Endpoint(url), sampling=given.sampling(SMALL["seed"]), cache=cache)
            rater.rate([PRESETS["average"]], [TRIAL])
    with pytest.raises(RatingError, match=r"unreachable.*--rater-offline"):
        train("shared-denoising", timesteps=16, out=tmp_path / "new", rater=given, **SMALL)
    assert not (tmp_path / "new").exists()


def test_a_model_that_the_endpoint_does_not_know_is_refused(tmp_path):
    with serving(Model(1.0, ("wrong_model",))) as (url, _), pytest.raises(RatingError, match="wrong_model"):
        train("shared-denoising", timesteps=16, out=tmp_path / "new", rater=options(url), **SMALL)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1", "http://me:k@host/v1", "http://h/?key=k"],
)
def test_an_address_that_is_none_or_may_hold_a_key_is_refused(url):
    with pytest.raises(InvalidValueError, match="url must"):
        LLMRewardOptions("m", url)


def test_options_go_through_json(tmp_path):
    given = options("http://host/v1", cache=tmp_path / "answers.sqlite", memory=3)
    assert LLMRewardOptions.from_dict(json.loads(json.dumps(given.to_dict()))) == given
    for wrong in ({"modle": "m"}, {"price": 3}, {"price": [1]}, {"timeout": "soon"}, {"memory": -1}):
        with pytest.raises((NetdiffuseError, ValueError)):
            LLMRewardOptions.from_dict({"model": "m"} | wrong)


class Told:
    """A rater of one's own, which keeps what it was told."""

    def __init__(self):
        self.calls = []

    def rate(self, personas, experiences):
        self.calls.append((list(personas), list(experiences)))
        return [Opinion(1 + 4 * experience.quality, "") for experience in experiences]


def test_any_rater_can_rate_in_one_call_a_step():
    env = SharedDenoisingVectorEnv(3, **SESSIONS)
    told = Told()
    env.simulator.rating = RaterRating(told)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(4):
        people = env.simulator.person.copy()
        env.step(env.action_space.sample())
        outcome, opinions = env.last
        personas, experiences = told.calls[-1]
        assert np.allclose(opinions, 1 + 4 * outcome.quality)
        assert np.allclose([e.delay_s for e in experiences], outcome.delay_s.ravel())
        traits = [env.simulator.people[number].openness for number in people.ravel()]
        assert [persona.openness for persona in personas] == traits
        assert len({persona.name for persona in personas}) == 12
    assert len(told.calls) == 4


def test_the_formula_by_this_way_is_the_formula():
    by_formula = SharedDenoisingVectorEnv(2, **SESSIONS, noisy=False)
    handed = SharedDenoisingVectorEnv(2, **SESSIONS)
    handed.simulator.rating = RaterRating(ParametricRater(noisy=False))
    by_formula.action_space.seed(0)
    for env in (by_formula, handed):
        env.reset(seed=0)
    for _ in range(5):
        actions = by_formula.action_space.sample()
        assert np.array_equal(by_formula.step(actions)[1], handed.step(actions)[1])


def test_drawn_ratings_go_on_from_a_saved_state():
    env = SharedDenoisingVectorEnv(2, **SESSIONS)
    env.simulator.rating = RaterRating(ParametricRater(3))
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    env.step(actions[0])
    state = env.state_dict()
    first = [env.step(action)[1] for action in actions]
    other = SharedDenoisingVectorEnv(2, **SESSIONS)
    other.simulator.rating = RaterRating(ParametricRater(8))
    other.load_state_dict(state)
    assert np.array_equal(first, [other.step(action)[1] for action in actions])


def test_users_remember_their_session_and_no_other(tmp_path):
    env = SharedDenoisingVectorEnv(2, **SESSIONS)
    with serving() as (url, server):
        rater = LLMRater("m", Endpoint(url), memory=5, cache=AnswerCache(tmp_path / "answers.sqlite"))
        env.simulator.rating = RaterRating(rater)
        env.reset(seed=0)
        env.action_space.seed(0)
        for slot in (0, 1, 2, 0, 1):
            asked = len(server.requests)
            env.step(env.action_space.sample())
            assert {len(body["messages"]) for body in server.requests[asked:]} == {2 + 2 * slot}
            assert set(map(len, rater.history.values())) == {slot + 1}
        assert len(rater.history) == 8
        rater.cache.close()

"""Decisions of a policy on a real server, and the ratings that come back."""

import json
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient

from netdiffuse.common import RunError
from netdiffuse.denoising.calls import Caller, EdgeServerError
from netdiffuse.denoising.device import EdgeDevice
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import ConflictError, Journal
from netdiffuse.denoising.edge.messages import Decision, Grant, Opinion, Report
from netdiffuse.denoising.edge.ratings import Rating, RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.allocator import PolicyAllocator

from .serving import RULE, STEPS, bag_of_words, tiny_model

TOKEN = {"Authorization": "Bearer secret"}
PROMPTS = ("apple on a table", "lemon on a table", "apple on table")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def serving(model, tmp_path, action, ratings="ratings.sqlite"):
    """A server whose policy always takes one action."""
    policy = PolicyAllocator(lambda seen: action[: 3 * len(seen)], SharedDenoisingSettings(), bag_of_words, "v1", RULE)
    engine = LocalEngine.of(model, policy, STEPS, "dpm++")
    store = None if ratings is None else RatingStore(tmp_path / ratings)
    own = ServerSettings(window_s=5.0, enough_in_window=3, token="secret", rate=0)
    return TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own, store, policy.check), headers=TOKEN)


def ask_all(client, model):
    for number, prompt in enumerate(PROMPTS):
        report = {"gain_db": -100, "battery": 0.5, "persona": "frugal"}
        body = {"id": f"r{number}", "prompt": prompt, "revision": model.revision, "report": report}
        assert client.post("/v1/requests", json=body).status_code == 202
    return [client.get(f"/v1/requests/r{number}/state", params={"wait": 60}) for number in range(3)]


def action(k):
    """The environment's coordinate of k of 11 steps for all, at equal power and bandwidth."""
    return np.array([2 * k / 11 - 1] * 3 + [0.0] * 6, np.float32)


@pytest.mark.parametrize(("k", "steps"), [(0, 0), (4, 2), (11, STEPS)])
def test_a_policys_k_is_what_is_shared(model, tmp_path, k, steps):
    with serving(model, tmp_path, action(k)) as client:
        states = ask_all(client, model)
        for number, state in enumerate(states):
            assert state.headers["X-Shared-Steps"] == str(steps)
            grant = client.get(f"/v1/requests/r{number}").json()["grant"]
            assert Grant(**grant) == Grant.model_validate_json(state.headers["X-Grant"])
            assert (grant["shared_steps"], grant["policy"]) == (steps, "v1")
            assert grant["power_w"] == pytest.approx(0.1 / 3)
            assert grant["bandwidth_hz"] == pytest.approx(2e5 / 3)


@pytest.mark.parametrize(
    ("wants", "said"),
    [
        ([0.5], "a persona has 12 numbers"),
        ([1e38] * 12, "quality_importance must be in"),
        ([0.5] * 9 + [1.0, 1e38, 0.1], "patience_s must be at most 3600 s"),
        ([0.5] * 9 + [1.0, 1.00000001, 0.1], "patience_s must be above unnoticed_s"),  # equal to a policy
    ],
)
def test_a_user_who_is_none_is_refused(model, tmp_path, wants, said):
    with serving(model, tmp_path, action(4)) as client:
        body = {"id": "r", "prompt": "apple", "revision": model.revision, "report": {"wants": wants}}
        answer = client.post("/v1/requests", json=body)
        assert answer.status_code == 422
        assert said in answer.text
        assert client.get("/v1/requests/r").status_code == 404


def test_ratings_over_http(model, tmp_path):
    with serving(model, tmp_path, action(4)) as client:
        ask_all(client, model)
        for number in range(3):
            body = {"rating": 2.5 + number, "reason": "so so", "quality": 0.5, "delay_s": 3, "energy_share": 0.1}
            bad = client.post(f"/v1/requests/r{number}/rating", json=body | {"rating": 5.01})
            assert bad.status_code == 422
            response = client.post(f"/v1/requests/r{number}/rating", json=body | {"rating": min(2.5 + number, 5)})
            assert response.status_code == 201
        again = client.post("/v1/requests/r1/rating", json={"rating": 1})
        assert again.status_code == 409
        assert "has been rated: there is one rating a request" in again.json()["detail"]
        assert client.post("/v1/requests/none/rating", json={"rating": 1}).status_code == 404
        newest = client.get("/v1/ratings", params={"limit": 2}).json()
        assert [one["request"] for one in newest] == ["r2", "r1"]
        assert newest[0] | {"time": 0} == {
            "number": 3, "request": "r2", "time": 0, "rating": 4.5, "reason": "so so", "quality": 0.5, "delay_s": 3.0,
            "energy_share": 0.1, "persona": "frugal", "policy": "v1",
        }  # fmt: skip
        rest = client.get("/v1/ratings", params={"limit": 2, "before": newest[-1]["number"]}).json()
        assert [one["request"] for one in rest] == ["r0"]
        for method, path in (("POST", "/v1/requests/r1/rating"), ("GET", "/v1/ratings")):
            assert client.request(method, path, headers={"Authorization": ""}).status_code == 401
        assert "netdiffuse_ratings_total 3.0" in client.get("/metrics").text
    with sqlite3.connect(tmp_path / "ratings.sqlite") as db:
        rows = db.execute("SELECT session, user, observation, action, server_j FROM ratings ORDER BY number").fetchall()
    assert len({row[0] for row in rows}) == 1
    assert [row[1] for row in rows] == [0, 1, 2]
    assert np.array(json.loads(rows[0][2])).shape == (3, 18)
    assert all(row[4] > 0 for row in rows)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"rating": 0.9}, {"rating": "good"}, {"rating": None}, [], {"rating": 3, "more": 1},
        {"rating": 3, "quality": 1.1}, {"rating": 3, "delay_s": -1}, {"rating": 3, "energy_share": 2},
        {"rating": 3, "reason": "x" * 1001},
    ],
)  # fmt: skip
def test_bad_ratings_leave_nothing(model, tmp_path, body):
    with serving(model, tmp_path, action(0)) as client:
        ask_all(client, model)
        assert client.post("/v1/requests/r0/rating", json=body).status_code == 422
        assert client.post("/v1/requests/r0/rating", content=b'{"rating": NaN}').status_code == 422
        assert client.get("/v1/ratings").json() == []


def test_what_is_not_ready_cannot_be_rated(model, tmp_path):
    with serving(model, tmp_path, action(0)) as client:
        client.post("/v1/requests", json={"id": "a", "prompt": "apple", "revision": model.revision})
        refused = client.post("/v1/requests/a/rating", json={"rating": 3})
        assert refused.status_code == 409
        assert "only what is ready can be rated" in refused.json()["detail"]


def test_a_server_that_keeps_no_ratings(model, tmp_path):
    with serving(model, tmp_path, action(0), ratings=None) as client:
        ask_all(client, model)
        assert client.post("/v1/requests/r0/rating", json={"rating": 3}).status_code == 404
        assert client.get("/v1/ratings").status_code == 404
        assert client.get("/v1/model").json()["keeps_ratings"] is False


@contextmanager
def listening(app):
    """The server at an address of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([found],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{found.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


def test_a_server_that_keeps_no_ratings_says_so(model, tmp_path):
    with (
        listening(serving(model, tmp_path, action(4), ratings=None).app) as url,
        pytest.raises(EdgeServerError, match="keeps no ratings: start it with --ratings"),
    ):
        Caller(url, "secret").rate("r0", Opinion(rating=2))


def test_a_device_is_told_its_grant_and_rates(model, tmp_path):
    with listening(serving(model, tmp_path, action(4)).app) as url:
        outcomes = [None] * 3

        def make(number):
            report = Report(battery=0.5, frequency_ghz=1.2, persona="impatient")
            device = EdgeDevice(model, url, token="secret", report=report)
            outcomes[number] = device.make(PROMPTS[number])
            device.rate(outcomes[number].request_id, Opinion(rating=1 + number))

        threads = [threading.Thread(target=make, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(one.source, one.grant.shared_steps, one.shared_steps) for one in outcomes] == [("shared", 2, 2)] * 3
        assert all(one.keeps_ratings for one in outcomes)
        kept = httpx.get(f"{url}/v1/ratings", headers=TOKEN).json()
        said = {one["request"]: (one["rating"], one["persona"]) for one in kept}
        assert said == {one.request_id: (1.0 + n, "impatient") for n, one in enumerate(outcomes)}
        with pytest.raises(EdgeServerError, match=r"409: the request .* has been rated"):
            Caller(url, "secret").rate(outcomes[0].request_id, Opinion(rating=2))


def decision(user=0):
    grant = Grant(shared_steps=3, power_w=0.1, bandwidth_hz=1e5, policy="p")
    return Decision(grant=grant, session="s", user=user, observation=((0.1, 0.2),), action=(0.0,) * 3, server_j=1.5)


def test_one_rating_a_request_from_many_threads(tmp_path):
    store, done = RatingStore(tmp_path / "r.sqlite"), []

    def work():
        for number in range(20):
            try:
                store.add(Rating(f"r{number}", Opinion(rating=3), "frugal", decision()))
                done.append(number)
            except ConflictError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(20))
    assert store.count() == 20
    store.close()
    again = RatingStore(tmp_path / "r.sqlite")
    assert [one.number for one in again.page(3)] == [20, 19, 18]


def test_a_journal_is_no_file_of_ratings(tmp_path):
    Journal(tmp_path / "j.sqlite").close()
    RatingStore(tmp_path / "r.sqlite").close()
    with pytest.raises(RunError, match=r"j.sqlite is no file of ratings .*choose another --ratings"):
        RatingStore(tmp_path / "j.sqlite")
    with pytest.raises(RunError, match=r"r.sqlite is no journal .*choose another --journal"):
        Journal(tmp_path / "r.sqlite")
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 100)
    with pytest.raises(RunError, match="text is no file of ratings"):
        RatingStore(tmp_path / "text")


def test_a_journal_of_before_keeps_decisions(tmp_path):
    Journal(tmp_path / "j.sqlite").close()
    with sqlite3.connect(tmp_path / "j.sqlite") as db:
        db.execute("ALTER TABLE requests DROP COLUMN decision")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO requests (id, ask, status, accepted) VALUES ('a', ?, 'accepted', 1)",
                   ('{"id": "a", "prompt": "x", "revision": "r"}',))  # fmt: skip
    journal = Journal(tmp_path / "j.sqlite")
    assert journal.entry("a").decision is None
    journal.decide({"a": decision()})
    assert journal.entry("a").decision == decision()

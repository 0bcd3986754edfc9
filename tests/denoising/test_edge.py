import sqlite3
import threading
import time

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdiffuse.common import RunError
from netdiffuse.denoising.edge.allocator import relieved
from netdiffuse.denoising.edge.journal import ConflictError, Journal
from netdiffuse.denoising.edge.limits import RateLimit
from netdiffuse.denoising.edge.messages import Ask
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.planner import Plan, fixed_plan
from netdiffuse.denoising.state import ChainState

from .serving import STEPS, tiny_engine

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def engine():
    return tiny_engine()


def ask(engine, number, prompt="apple on a table", **more):
    return {"id": f"r{number}", "prompt": prompt, "revision": engine.card.revision} | more


@pytest.fixture
def client(engine, tmp_path):
    own = ServerSettings(window_s=0.05, token="secret", rate=0)
    with TestClient(make_server(engine, Journal(tmp_path / "journal.sqlite"), own), headers=TOKEN) as made:
        yield made


def test_a_window_of_requests(engine, tmp_path):
    own = ServerSettings(window_s=2.0, rate=0)  # long enough for three to arrive on a busy machine
    with TestClient(make_server(engine, Journal(tmp_path / "journal.sqlite"), own)) as client:
        check_window(client, engine)


def check_window(client, engine):
    prompts = ["apple on a table", "lemon on a table", "a tree"]
    for number, prompt in enumerate(prompts):
        response = client.post("/v1/requests", json=ask(engine, number, prompt))
        assert response.status_code == 202
        assert response.json()["status"] == "accepted"
    shared = []
    for number in range(3):
        response = client.get(f"/v1/requests/r{number}/state", params={"wait": 30})
        assert response.status_code == 200
        state = ChainState.from_bytes(response.content)
        assert str(state.step) == response.headers["X-Shared-Steps"]
        shared.append(state)
    assert shared[0].step == shared[1].step > shared[2].step
    assert (shared[0].latents == shared[1].latents).all()
    text = client.get("/metrics").text
    assert "netdiffuse_requests_ready_total 3.0" in text
    assert "netdiffuse_window_requests_count 1.0" in text


def test_asking_twice_is_asking_once(client, engine):
    assert client.post("/v1/requests", json=ask(engine, 1)).status_code == 202
    first = client.get("/v1/requests/r1/state", params={"wait": 30}).content
    again = client.post("/v1/requests", json=ask(engine, 1))
    assert again.status_code == 200
    assert again.json()["status"] == "ready"
    assert client.get("/v1/requests/r1/state").content == first
    other = client.post("/v1/requests", json=ask(engine, 1, "lemon"))
    assert other.status_code == 409
    assert "choose a new one" in other.json()["detail"]


def test_fewer_bits(client, engine):
    sizes = {}
    for number, codec in enumerate((None, "fp16", "uint8", "int4")):
        client.post("/v1/requests", json=ask(engine, number, codec=codec, most_local_steps=2))
        data = client.get(f"/v1/requests/r{number}/state", params={"wait": 30}).content
        assert ChainState.from_bytes(data).step >= STEPS - 2
        sizes[codec] = len(data)
    assert sizes[None] > sizes["fp16"] > sizes["uint8"] > sizes["int4"]
    assert client.post("/v1/requests", json=ask(engine, 9, codec="jpeg")).status_code == 422


def test_progress_over_a_websocket(client, engine):
    for number in (1, 2):
        client.post("/v1/requests", json=ask(engine, number))
    with client.websocket_connect("/v1/requests/r1/events", headers=TOKEN) as socket:
        seen = []
        while True:
            message = socket.receive()
            if message.get("bytes"):
                break
            seen.append(message["text"])
    assert ChainState.from_bytes(message["bytes"]).step > 0
    assert '"status"' in seen[-1]


def test_strangers(client, engine):
    for method, path in (
        ("POST", "/v1/requests"),
        ("GET", "/v1/requests/r1"),
        ("GET", "/v1/model"),
        ("GET", "/metrics"),
    ):
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            response = client.request(method, path, headers={"Authorization": ""} | header)
            assert response.status_code == 401, path
    assert client.get("/healthz", headers={"Authorization": ""}).json() == {"status": "ok"}


def test_another_model_is_told_at_once(client, engine):
    response = client.post("/v1/requests", json=ask(engine, 1, revision="0" * 16))
    assert response.status_code == 409
    assert engine.card.revision in response.json()["detail"]


def test_unknown_request(client):
    assert client.get("/v1/requests/none").status_code == 404
    assert client.get("/v1/requests/none/state").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"id": "", "prompt": "x"}, {"id": "a b", "prompt": "x"}, {"id": "a" * 65, "prompt": "x"},
        {"id": "a", "prompt": ""}, {"id": "a", "prompt": "  "}, {"id": "a", "prompt": "x" * 1001},
        {"id": "a", "prompt": "x", "more": 1}, {"id": "a"}, [], "x", 1, None,
        {"id": "a", "prompt": "x", "most_local_steps": 0}, {"id": "a", "prompt": "x", "most_local_steps": 1.5},
    ],
)  # fmt: skip
def test_bad_requests(client, engine, body):
    if isinstance(body, dict):
        body["revision"] = engine.card.revision
    assert client.post("/v1/requests", json=body).status_code == 422


def test_long_bodies(client):
    assert client.post("/v1/requests", content=b"x" * 20_000).status_code == 413
    assert client.post("/v1/requests", content=(b"x" * 1000 for _ in range(20))).status_code == 413  # no length said


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_any_bytes(client, body):
    assert client.post("/v1/requests", content=body).status_code == 422


def test_floods_are_told_when_to_come_again(engine, tmp_path):
    own = ServerSettings(window_s=0.0, rate=0.01, burst=3)  # a token in 100 s: slow enough for any machine
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own)) as client:
        codes = [client.post("/v1/requests", json=ask(engine, n)).status_code for n in range(5)]
        assert codes == [202, 202, 202, 429, 429]
        refused = client.post("/v1/requests", json=ask(engine, 9))
        assert int(refused.headers["Retry-After"]) >= 1


def test_a_full_queue_sends_away(engine, tmp_path):
    own = ServerSettings(window_s=5.0, most_waiting=2, rate=0)
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own)) as client:
        codes = [client.post("/v1/requests", json=ask(engine, n)).status_code for n in range(4)]
        assert codes == [202, 202, 429, 429]
        assert client.post("/v1/requests", json=ask(engine, 0)).status_code == 200  # who was accepted stays so


def test_shutting_down_finishes_what_was_accepted(engine, tmp_path):
    path = tmp_path / "j.sqlite"
    with TestClient(make_server(engine, Journal(path), ServerSettings(window_s=5.0, rate=0))) as client:
        for number in range(3):
            client.post("/v1/requests", json=ask(engine, number))
    found = Journal(path)
    assert found.count() == 0
    assert all(ChainState.from_bytes(found.collect(f"r{number}")).step > 0 for number in range(3))


def test_a_new_server_takes_up_the_old_ones_journal(engine, tmp_path):
    """As after `kill -9`: accepted, and never run."""
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    for number in range(2):
        journal.accept(Ask(**ask(engine, number)))
    journal.close()
    with TestClient(make_server(engine, Journal(path), ServerSettings(window_s=0.0))) as client:
        assert client.get("/v1/requests/r1/state", params={"wait": 30}).status_code == 200


class Broken:
    """An engine that cannot draw trees."""

    def __init__(self, engine):
        self.engine, self.card = engine, engine.card

    def run(self, asks, deliver, progress):
        if any("tree" in one.prompt for one in asks):
            raise RuntimeError("out of memory")
        self.engine.run(asks, deliver, progress)


def test_one_request_that_fails_fails_alone(engine, tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    for number, prompt in enumerate(["apple", "a tree", "lemon"]):  # all in one window
        journal.accept(Ask(**ask(engine, number, prompt)))
    with TestClient(make_server(Broken(engine), journal, ServerSettings(rate=0))) as client:
        answers = [client.get(f"/v1/requests/r{number}/state", params={"wait": 60}) for number in range(3)]
        assert [answer.status_code for answer in answers] == [200, 410, 200]
        assert "out of memory" in answers[1].json()["detail"]
        client.post("/v1/requests", json=ask(engine, 4))
        assert client.get("/v1/requests/r4/state", params={"wait": 60}).status_code == 200
        assert "netdiffuse_requests_failed_total 1.0" in client.get("/metrics").text


def test_a_server_that_cannot_write_says_so(engine, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j.sqlite")
    with TestClient(make_server(engine, journal, ServerSettings(window_s=0.0, rate=0))) as client:

        def full(*_):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(journal, "finish", full)
        monkeypatch.setattr(journal, "fail", full)
        client.post("/v1/requests", json=ask(engine, 1))
        for _ in range(300):
            health = client.get("/healthz")
            if health.status_code == 503:
                break
            time.sleep(0.1)
        assert health.json() == {"status": "stopped"}
        assert client.post("/v1/requests", json=ask(engine, 2)).status_code == 503


def test_journal(tmp_path):
    journal = Journal(tmp_path / "deep" / "j.sqlite")
    first = Ask(id="a", prompt="x", revision="r")
    assert journal.accept(first)
    assert not journal.accept(first)
    with pytest.raises(ConflictError, match="'a' was used for another request"):
        journal.accept(Ask(id="a", prompt="y", revision="r"))
    assert journal.waiting() == [first]
    assert journal.collect("a") is None
    journal.finish("a", b"state", 3)
    assert journal.collect("a") == journal.collect("a") == b"state"
    assert journal.entry("a").shared_steps == 3
    assert journal.forget(60) == 0
    assert journal.forget(-1) == 1
    assert journal.entry("a") is None


def test_a_journal_that_is_none(tmp_path):
    (tmp_path / "j").write_text("hello, this is no data base at all" * 100)
    with pytest.raises(RunError, match="no journal"):
        Journal(tmp_path / "j")


def test_many_threads_one_journal(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    new = []

    def work():
        for number in range(20):
            new.append(journal.accept(Ask(id=f"r{number}", prompt="x", revision="r")))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new) == 20
    assert journal.count() == 20


def test_rate_limit():
    limit = RateLimit(rate=1000.0, burst=2)
    assert [limit.wait("a") > 0 for _ in range(3)] == [False, False, True]
    assert limit.wait("b") == 0
    time.sleep(0.01)
    assert limit.wait("a") == 0


def test_weak_devices_are_relieved():
    asks = [Ask(id=str(n), prompt="x", revision="r", most_local_steps=most) for n, most in enumerate((None, 2, 3, 1))]
    plan = relieved(fixed_plan(4, 10, 4), asks)
    assert plan.shared_steps == (4, 8, 7, 9)
    assert plan.server_steps == 4 + 4 + 3 + 5
    assert relieved(Plan(4, 10, ()), asks).shared_steps == (0, 8, 7, 9)


def test_steps_of_the_card(engine):
    assert engine.card.steps == STEPS
    assert httpx.Response(200, text=engine.card.model_dump_json()).json()["family"] == "stable-diffusion"

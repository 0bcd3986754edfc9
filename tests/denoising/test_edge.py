import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from netdiffuse.common import InvalidValueError, RunError
from netdiffuse.denoising.device import EdgeDevice
from netdiffuse.denoising.edge.allocator import relieved
from netdiffuse.denoising.edge.journal import ConflictError, FullError, Journal
from netdiffuse.denoising.edge.limits import RateLimit
from netdiffuse.denoising.edge.messages import Ask
from netdiffuse.denoising.edge.server import ServerSettings, _forget, make_server
from netdiffuse.denoising.peer import Gathering
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


def test_the_description_is_for_those_with_the_token(client):
    assert client.get("/openapi.json", headers={"Authorization": ""}).status_code == 401
    assert "/v1/requests" in client.get("/openapi.json").json()["paths"]
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


@pytest.mark.parametrize("token", ["", " ", "two words", "schlüssel", "a\n", "\x7f"])
def test_tokens_that_are_none(token):
    for make in (
        lambda: ServerSettings(token=token),
        lambda: Gathering(token=token),
        lambda: EdgeDevice(None, None, token=token),
    ):
        with pytest.raises(InvalidValueError, match="visible ASCII") as refused:
            make()
        assert not token.strip() or token not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_a_leader_open_to_others_needs_a_token(host):
    with pytest.raises(InvalidValueError, match=f"{host} is open to others: give a token"):
        Gathering(host=host)
    assert Gathering(host=host, token="secret").host == host
    assert Gathering(host="::1").token is None


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


def test_questions_have_a_rate_too(engine, tmp_path):
    own = ServerSettings(rate=0, call_rate=0.01, call_burst=4, token="secret")
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own), headers=TOKEN) as client:
        codes = [client.get(path).status_code for path in ("/v1/model", "/v1/requests/x", "/metrics")]
        assert codes == [200, 404, 200]
        assert client.get("/v1/model", headers={"Authorization": "Bearer guess"}).status_code == 401
        refused = client.get("/v1/requests/x/state", headers={"Authorization": "Bearer guess"})
        assert refused.status_code == 429  # guesses are no quicker
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.post("/v1/requests", json=ask(engine, 1)).status_code == 429
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/v1/requests/x/events"):
            pass
        assert closed.value.code == 4429
        assert client.get("/healthz").status_code == 200


def test_the_queue_is_never_longer_than_it_may_be(tmp_path):
    journal, codes = Journal(tmp_path / "j.sqlite"), []
    barrier = threading.Barrier(8)

    def work(thread):
        barrier.wait()
        for number in range(10):
            try:
                codes.append(journal.accept(Ask(id=f"r{thread}-{number}", prompt="x", revision="r"), 5))
            except FullError:
                codes.append(None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (codes.count(True), codes.count(None), journal.count()) == (5, 75, 5)


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

    def run(self, asks, deliver, progress, decided=None):
        if any("tree" in one.prompt for one in asks):
            raise RuntimeError("out of memory")
        self.engine.run(asks, deliver, progress, decided)


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


class Apart(Broken):
    """Fails whenever it is given more than one request."""

    def run(self, asks, deliver, progress, decided=None):
        if len(asks) > 1:
            raise RuntimeError("too many")
        self.engine.run(asks, deliver, progress, decided)


def test_a_window_that_is_tried_again_is_one_window(engine, tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    for number in range(3):
        journal.accept(Ask(**ask(engine, number)))
    with TestClient(make_server(Apart(engine), journal, ServerSettings(rate=0))) as client:
        for number in range(3):
            assert client.get(f"/v1/requests/r{number}/state", params={"wait": 60}).status_code == 200
        app = client.app
    text = app.state.metrics.text().decode()  # the server has finished its window
    assert "netdiffuse_window_requests_count 1.0" in text
    assert "netdiffuse_window_requests_sum 3.0" in text
    assert "netdiffuse_window_seconds_count 1.0" in text
    assert "netdiffuse_requests_ready_total 3.0" in text


KILLED = """
import os, sys
from fastapi.testclient import TestClient
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from tests.denoising.serving import tiny_engine

class Deadly:
    def __init__(self, engine):
        self.engine, self.card = engine, engine.card

    def run(self, asks, deliver, progress, decided=None):
        if any("tree" in one.prompt for one in asks):
            os._exit(9)
        self.engine.run(asks, deliver, progress, decided)

with TestClient(make_server(Deadly(tiny_engine()), Journal(sys.argv[1]), ServerSettings(window_s=0.0))):
    pass
"""


def test_a_request_that_kills_the_server_does_so_three_times_at_most(engine, tmp_path):
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    for number, prompt in enumerate(["apple", "a tree", "lemon"]):
        journal.accept(Ask(**ask(engine, number, prompt)))
    root = Path(__file__).parents[2]
    codes = [subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root).returncode for _ in range(4)]
    assert codes == [9, 9, 9, 0]
    assert [journal.entry(f"r{number}").status for number in range(3)] == ["ready", "failed", "ready"]
    assert "died 3 times" in journal.entry("r1").error


def test_a_client_that_leaves_is_listened_for_no_longer(engine, tmp_path):
    own = ServerSettings(window_s=5.0, rate=0)
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite"), own)) as client:
        client.post("/v1/requests", json=ask(engine, 1))
        dispatcher = client.app.state.dispatcher
        with client.websocket_connect("/v1/requests/r1/events") as socket:
            socket.send_text("hello")  # what it says does not matter
            while not dispatcher._listeners:
                time.sleep(0.01)
        while dispatcher._listeners and client.get("/v1/requests/r1").json()["status"] == "accepted":
            time.sleep(0.01)
        assert not dispatcher._listeners
        assert client.get("/v1/requests/r1").json()["status"] == "accepted"


def test_progress_of_shared_steps_is_told_to_devices(engine, tmp_path):
    """By whoever asks and by events, also to those who come late."""
    gate, at_gate = threading.Event(), threading.Event()

    class Halting(Broken):
        def run(self, asks, deliver, progress, decided=None):
            def told(done, total):
                progress(done, total)
                if done == 2:
                    at_gate.set()
                    gate.wait(60)

            self.engine.run(asks, deliver, told, decided)

    journal = Journal(tmp_path / "j.sqlite")
    journal.accept(Ask(**ask(engine, 1, most_local_steps=2)))
    with TestClient(make_server(Halting(engine), journal, ServerSettings(rate=0))) as client:
        assert at_gate.wait(60)
        seen = client.get("/v1/requests/r1/state", params={"wait": 0.5})
        assert (seen.status_code, seen.json()["done"], seen.json()["of"]) == (202, 2, STEPS - 2)
        with client.websocket_connect("/v1/requests/r1/events") as socket:
            events = [socket.receive_json()]
            gate.set()
            while "status" not in events[-1]:
                events.append(socket.receive_json())
        assert events[:-1] == [{"done": done, "of": STEPS - 2} for done in range(2, STEPS - 1)]
        assert client.get("/v1/requests/r1").json()["done"] is None


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


def test_a_journal_has_room_for_so_many_bytes(tmp_path):
    journal = Journal(tmp_path / "j.sqlite", most_bytes=100)
    for name in "abcd":
        assert journal.accept(Ask(id=name, prompt="x", revision="r"))
    for name in "abc":
        journal.finish(name, b"." * 40, 1)
    with pytest.raises(FullError, match="not fetched yet fill the journal"):  # nothing of it may go
        journal.accept(Ask(id="e", prompt="x", revision="r"))
    assert not journal.accept(Ask(id="a", prompt="x", revision="r"))  # who was accepted stays so
    journal.finish("d", b"." * 40, 1)  # what was accepted is kept all the same
    for name in "ca":
        journal.collect(name)
    assert journal.accept(Ask(id="e", prompt="x", revision="r"))
    assert journal.entry("c") is journal.entry("a") is None
    assert journal.collect("b") == journal.collect("d") == b"." * 40
    journal.close()
    again = Journal(tmp_path / "j.sqlite", most_bytes=50)  # weighed anew, and b was fetched before d
    assert again.accept(Ask(id="f", prompt="x", revision="r"))
    assert (again.entry("b"), again.collect("d")) == (None, b"." * 40)


def test_a_full_journal_sends_away(engine, tmp_path):
    own = ServerSettings(window_s=0.0, rate=0)
    with TestClient(make_server(engine, Journal(tmp_path / "j.sqlite", most_bytes=1), own)) as client:
        assert client.post("/v1/requests", json=ask(engine, 1)).status_code == 202
        while client.get("/v1/requests/r1").json()["status"] == "accepted":
            time.sleep(0.01)
        refused = client.post("/v1/requests", json=ask(engine, 2))
        assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (429, True)
        assert client.get("/v1/requests/r1/state").status_code == 200
        assert client.post("/v1/requests", json=ask(engine, 2)).status_code == 202


def test_forgetting_goes_on_after_an_error(tmp_path, caplog):
    class Stubborn(Journal):
        calls = 0

        def forget(self, older_than_s):
            self.calls += 1
            if self.calls == 1:
                raise sqlite3.OperationalError("database or disk is full")
            return super().forget(older_than_s)

    journal = Stubborn(tmp_path / "j.sqlite")
    journal.accept(Ask(id="a", prompt="x", revision="r"))
    journal.fail("a", "no")

    async def forgetting():
        task = asyncio.create_task(_forget(journal, 1e-9, every_s=0.01))
        while journal.entry("a") is not None and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(forgetting())
    assert journal.entry("a") is None
    assert "could not be deleted" in caplog.text


def test_journals_of_other_versions(tmp_path):
    path = tmp_path / "j.sqlite"
    journal = Journal(path)
    journal.accept(Ask(id="a", prompt="x", revision="r"))
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        db.execute("ALTER TABLE requests DROP COLUMN attempts")  # as before versions were written down
        db.execute("PRAGMA user_version = 0")
    journal = Journal(path)
    assert [one.id for one in journal.waiting()] == ["a"]
    assert journal.attempts("a") == 0
    journal.begin(["a"])
    journal.begin(["a"])
    assert journal.attempts("a") == 2
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(RunError, match="version 7, this netdiffuse reads version 2"):
        Journal(path)


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

"""A device against a real server in another process, and against one that misbehaves."""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn

from netdiffuse.denoising.device import Chain, EdgeDevice
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Answer
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.peer import Gathering, PeerError, lead
from netdiffuse.denoising.state import ChainState

from .serving import RULE, STEPS, bag_of_words, tiny_engine, tiny_model

SERVE = """
import sys, uvicorn
from tests.denoising.serving import tiny_engine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.server import ServerSettings, make_server
app = make_server(tiny_engine(), Journal(sys.argv[1]), ServerSettings(window_s=0.3, token="secret", rate=0))
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def serve(journal, port):
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(journal), str(port)], cwd=root)
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            return process
        except httpx.HTTPError:
            assert process.poll() is None
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def test_over_http_between_processes(model, tmp_path):
    port = free_port()
    process = serve(tmp_path / "j.sqlite", port)
    try:
        device = EdgeDevice(model, f"http://127.0.0.1:{port}", token="secret")
        other = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer secret"})
        other.post("/v1/requests", json={"id": "o", "prompt": "lemon on a table", "revision": model.revision})
        outcome = device.make("apple on a table", request_id="mine")
        assert outcome.source == "shared"
        assert 0 < outcome.shared_steps < STEPS
        assert outcome.shared_steps + outcome.own_steps == STEPS
        # Bit for bit what one host makes of it alone.
        state = ChainState.from_bytes(other.get("/v1/requests/mine/state").content)
        prompts = model.encode(["apple on a table"])
        assert torch.equal(model.advance(state, prompts).latents, outcome.latents)
        again = device.make("apple on a table", request_id="mine")
        assert torch.equal(again.latents, outcome.latents)
        assert again.picture.tobytes() == outcome.picture.tobytes()
        # Killed in the middle, and started again on the same journal: nothing that was accepted is lost.
        other.post("/v1/requests", json={"id": "late", "prompt": "a tree", "revision": model.revision})
        process.kill()
        process.wait()
        process = serve(tmp_path / "j.sqlite", port)
        assert device.make("a tree", request_id="late").source == "shared"
        assert torch.equal(device.make("apple on a table", request_id="mine").latents, outcome.latents)
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


class Server(httpx.BaseTransport):
    """Answers as a server would, but for what a test does to it."""

    def __init__(self, misbehave):
        self.engine, self.misbehave, self.calls = tiny_engine(), misbehave, 0

    def handle_request(self, request):
        self.calls += 1
        bad = self.misbehave(self.calls, request)
        if isinstance(bad, Exception):
            raise bad
        if bad is not None:
            return bad
        if request.url.path == "/v1/model":
            return httpx.Response(200, text=self.engine.card.model_dump_json())
        if request.method == "POST":
            return httpx.Response(202, text=Answer(id="x", status="accepted").model_dump_json())
        model = self.engine.model
        state = model.advance(model.begin([3], STEPS, scheduler="dpm++"), model.encode(["lemon"]), 2)
        return httpx.Response(200, content=state.to_bytes())


def make(model, misbehave, **more):
    server = Server(misbehave)
    arguments = {"tries": 3, "backoff_s": 0.0, "patience_s": 5.0} | more
    device = EdgeDevice(model, "http://edge", transport=server, **arguments)
    return device.make("apple", request_id="one"), server


def is_state(request):
    return request.url.path.endswith("/state")


def test_all_well(model):
    outcome, server = make(model, lambda call, request: None)
    assert (outcome.source, outcome.shared_steps, outcome.tries, server.calls) == ("shared", 2, 3, 3)
    assert outcome.bytes_received > 0
    assert outcome.reason is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_damaged_state_is_asked_for_again(model, times):
    left = [times]

    def misbehave(call, request):
        if is_state(request) and left[0]:
            left[0] -= 1
            return httpx.Response(200, content=b"\x08" + b"\0" * 100)
        return None

    outcome, _ = make(model, misbehave)
    assert outcome.source == "shared"
    assert torch.equal(outcome.latents, make(model, lambda call, request: None)[0].latents)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: httpx.ConnectError("refused"), "is it running? (tried 3 times)"),
        (lambda request: httpx.ReadTimeout("slow"), "no answer"),
        (lambda request: httpx.Response(401, json={"detail": "show the token"}), "401: show the token"),
        (lambda request: httpx.Response(500, text="oops"), "500"),
        (lambda request: httpx.Response(404, text="?"), "404"),
        (lambda request: httpx.Response(410, json={"detail": "it failed"}), "it failed"),
        (lambda request: httpx.Response(200, content=b"nonsense") if is_state(request) else None, "damaged"),
        (lambda request: httpx.Response(202) if is_state(request) else None, "patience"),
        (lambda request: httpx.Response(503, headers={"Retry-After": "60"}), "patience"),
        (lambda request: httpx.Response(200, text="<html>") if "model" in request.url.path else None, "no edge server"),
    ],
)
def test_whatever_happens_there_is_a_picture(model, answer, said):
    outcome, _ = make(model, lambda call, request: answer(request), patience_s=1.0)
    assert outcome.source == "alone"
    assert said in outcome.reason
    assert outcome.picture.size == (16, 16)
    assert outcome.own_steps in (STEPS, Chain().steps)  # the server's kind of chain, where it could be asked for it


def test_a_busy_server_is_waited_for(model):
    left = [3]

    def misbehave(call, request):
        if request.method == "POST" and left[0]:
            left[0] -= 1
            return httpx.Response(429, headers={"Retry-After": "0"}, json={"detail": "full"})
        return None

    outcome, _ = make(model, misbehave)
    assert outcome.source == "shared"
    assert outcome.tries == 6


def test_another_model(model):
    other = tiny_model()
    with torch.no_grad():
        other.network.conv_in.bias[0] += 1
    other.revision = "another"
    outcome, _ = make(other, lambda call, request: None)
    assert outcome.source == "alone"
    assert "the server's model is stable-diffusion" in outcome.reason


def card(**change):
    """The server's card with something else in it."""

    def answer(call, request):
        if not request.url.path.endswith("/model"):
            return None
        server = Server(lambda *_: None)
        said = json.loads(server.handle_request(request).read())
        return httpx.Response(200, json=said | change)

    return answer


@pytest.mark.parametrize(
    "change",
    [
        {"family": "flux", "scheduler": "flow-euler"},
        {"scheduler": "of-another-version"},
        {"revision": "another", "steps": 7, "guidance_scale": 1.0},
    ],
)
def test_a_foreign_card_is_not_followed(model, change):
    outcome, _ = make(model, card(**change), alone=Chain(steps=2, scheduler="euler"))
    if "revision" in change or "family" in change:
        assert (outcome.source, outcome.own_steps) == ("alone", 2)
    assert outcome.picture.size == (16, 16)


def test_a_request_that_no_server_takes(model):
    device = EdgeDevice(model, "http://edge", transport=Server(lambda *_: None))
    outcome = device.make("apple " * 1000)
    assert outcome.source == "alone"
    assert "no server takes this request" in outcome.reason


@pytest.mark.parametrize("said", ["nan", "inf", "-1", "soon"])
def test_strange_times_to_come_again(model, said):
    answer = httpx.Response(503, headers={"Retry-After": said})
    outcome, _ = make(model, lambda call, request: answer, patience_s=1.0)
    assert outcome.source == "alone"


def test_an_answer_that_trickles_ends_with_patience(model):
    class Drops(httpx.SyncByteStream):
        def __iter__(self):
            for _ in range(1000):
                time.sleep(0.05)
                yield b"x"

    def trickle(call, request):
        return httpx.Response(200, stream=Drops()) if is_state(request) else None

    began = time.monotonic()
    outcome, _ = make(model, trickle, patience_s=1.0)
    assert outcome.source == "alone"
    assert time.monotonic() - began < 25  # of the fifty seconds that it would trickle


def test_alone_it_makes_the_servers_kind_of_chain(model):
    outcome, _ = make(model, lambda call, request: httpx.Response(500) if request.method == "POST" else None)
    assert outcome.own_steps == STEPS
    assert torch.equal(
        outcome.latents, make(model, lambda c, r: httpx.Response(500) if r.method == "POST" else None)[0].latents
    )


def test_without_a_server(model):
    seen = []
    device = EdgeDevice(model, None, alone=Chain(steps=4, scheduler="euler"))
    outcome = device.make("apple", request_id="one", progress=lambda *step: seen.append(step))
    assert (outcome.source, outcome.own_steps, outcome.tries) == ("alone", 4, 0)
    assert seen == [("own", n, 4) for n in range(1, 5)]


def test_progress_is_told_of_the_servers_steps_too(model, tmp_path):
    """The server halts in the middle until the device has been told so."""
    gate, seen = threading.Event(), []

    class Halting:
        def __init__(self, engine):
            self.engine, self.card = engine, engine.card

        def run(self, asks, deliver, progress, decided=None):
            def told(done, total):
                progress(done, total)
                if done == 2:
                    gate.wait(60)

            self.engine.run(asks, deliver, told, decided)

    def progress(*step):
        seen.append(step)
        gate.set()

    app = make_server(Halting(tiny_engine(model)), Journal(tmp_path / "j.sqlite"), ServerSettings(window_s=0.0))
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    device = EdgeDevice(model, f"http://127.0.0.1:{server.config.port}", most_local_steps=2)
    outcome = device.make("apple", progress=progress)
    device.close()
    server.should_exit = True
    thread.join(30)
    assert (outcome.source, outcome.own_steps) == ("shared", 2)
    shared = [step for step in seen if step[0] == "shared"]
    assert shared[0] == ("shared", 2, STEPS - 2)
    assert seen == [*shared, ("own", 1, 2), ("own", 2, 2)]


def test_device_to_device(model):
    """No server: one leads, begins as soon as another has joined, and both have their pictures."""
    port, joined = free_port(), []

    def join(url):
        follower = EdgeDevice(model, url, patience_s=120)
        thread = threading.Thread(target=lambda: joined.append(follower.make("lemon on a table")))
        thread.start()
        threads.append(thread)

    threads = []
    own = lead(
        model, "apple on a table", bag_of_words, chain=Chain(STEPS, "dpm++"), rule=RULE, listening=join,
        gathering=Gathering(port=port, window_s=600.0, linger_s=120.0),
    )  # fmt: skip
    threads[0].join()
    (other,) = joined
    assert (own.source, other.source) == ("shared", "shared")
    assert own.shared_steps == other.shared_steps > 0
    assert own.shared_steps + own.own_steps == STEPS


def test_an_address_that_is_taken(model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PeerError, match="is it in use"):
            lead(model, "apple", bag_of_words, gathering=Gathering(port=taken.getsockname()[1]))


def test_a_refused_token_is_told_apart_from_a_lost_server(model):
    def outcome(status):
        transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"detail": "no"}))
        return EdgeDevice(model, "http://edge", tries=1, transport=transport).make("apple")

    assert outcome(401).refused
    assert not outcome(500).refused
    assert outcome(401).picture.size == (16, 16)

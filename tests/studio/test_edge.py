import asyncio
import http.server
import threading
from contextlib import contextmanager

import httpx
import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.edge.allocator import ByMeaning
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Opinion
from netdiffuse.denoising.edge.ratings import Rating, RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.studio.edge import EdgeError, ask_edge, ask_ratings, mean_of_personas
from tests.denoising.serving import RULE, STEPS, bag_of_words, tiny_model
from tests.denoising.test_device import free_port, serve
from tests.denoising.test_ratings import listening


def test_a_server_tells_of_its_queue(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = serve(tmp_path / "journal.sqlite", port)
    try:
        ask = {"id": "one", "prompt": "a tree", "revision": tiny_model().revision}
        header = {"Authorization": "Bearer secret"}
        assert httpx.post(f"{url}/v1/requests", json=ask, headers=header).status_code == 202
        assert httpx.get(f"{url}/v1/requests/one/state", params={"wait": 60}, headers=header, timeout=70).content
        state = asyncio.run(ask_edge(url, "secret"))
        assert state.model.endswith(f"{STEPS} steps")
        assert (state.counters["accepted"], state.counters["ready"], state.counters["waiting"]) == (1, 1, 0)
        assert state.counters["bytes sent"] > 0
        with pytest.raises(EdgeError, match="show its token"):
            asyncio.run(ask_edge(url))
    finally:
        process.terminate()
        process.wait()


def test_no_server():
    with pytest.raises(EdgeError, match="no edge server answers at"):
        asyncio.run(ask_edge("http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["no address", "127.0.0.1:8000"])
def test_what_is_no_address_is_not_asked(url):
    for ask in (ask_edge, ask_ratings):
        with pytest.raises(InvalidValueError, match="the address must be like http://"):
            asyncio.run(ask(url))


def test_another_server():
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(EdgeError, match="is no edge server"):
            asyncio.run(ask_edge(f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()


@contextmanager
def rated(tmp_path, said, keeps=True):
    """An edge server whose users, by name, have said these ratings; its address."""
    store = RatingStore(tmp_path / "ratings.sqlite")
    for number, (name, rating) in enumerate(said):
        opinion = Opinion(rating=rating, reason=f"that of {name}", quality=0.5, delay_s=2.0, energy_share=0.1)
        store.add(Rating(f"r{number}", opinion, name, None))
    engine = LocalEngine.of(tiny_model(), ByMeaning(bag_of_words, RULE), STEPS)
    app = make_server(engine, Journal(tmp_path / "j.sqlite"), ServerSettings(token="secret"), store if keeps else None)
    with listening(app) as url:
        yield url


def test_ratings_come_the_newest_first_and_are_averaged_by_persona(tmp_path):
    with rated(tmp_path, [("frugal", 2.0), ("easygoing", 5.0), ("frugal", 3.0), (None, 1.0)]) as url:
        found = asyncio.run(ask_ratings(url, "secret"))
        assert [one.rating for one in found] == [1.0, 3.0, 5.0, 2.0]
        assert mean_of_personas(found) == {"easygoing": 5.0, "frugal": 2.5, "unknown": 1.0}
        with pytest.raises(EdgeError, match="show its token"):
            asyncio.run(ask_ratings(url))


def test_a_server_without_ratings_says_so(tmp_path):
    with rated(tmp_path, [], keeps=False) as url, pytest.raises(EdgeError, match="keeps no ratings: start it with"):
        asyncio.run(ask_ratings(url, "secret"))

import asyncio
import http.server
import threading

import httpx
import pytest

from netdiffuse.studio.edge import EdgeError, ask_edge
from tests.denoising.serving import STEPS, tiny_model
from tests.denoising.test_device import free_port, serve


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
    with pytest.raises(EdgeError, match="no edge server answers"):
        asyncio.run(ask_edge("no address"))


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

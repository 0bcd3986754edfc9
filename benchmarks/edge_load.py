"""An edge server under load, over a link that corrupts and with a server that dies: does everybody get one picture?

    python benchmarks/edge_load.py                       500 requests from 50 devices, in two processes
    python benchmarks/edge_load.py --model FOLDER        another model

5% of the chain states are damaged on their way, and the server is killed (SIGKILL) when half of the pictures are made,
and started again on the same journal. Devices share this machine with the server, so latencies include their own steps.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import torch
import tyro
from common import finish, machine, show

PROCESSES = 2
OBJECTS = ("apple", "lemon", "cup", "book", "bird", "dog", "tree")
PLACES = ("on a table", "on a book", "near a river", "on the road")
COLOURS = ("red", "green", "blue", "yellow", "white")


class Corrupting(httpx.HTTPTransport):
    """Flips a byte of some of the chain states."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self.share, self.random, self.lock, self.damaged = share, random.Random(seed), threading.Lock(), 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if response.status_code != 200 or not request.url.path.endswith("/state"):
            return response
        body = bytearray(response.read())
        with self.lock:
            if self.random.random() < self.share:
                body[self.random.randrange(len(body))] ^= 1 + self.random.randrange(255)
                self.damaged += 1
        headers = [(k, v) for k, v in response.headers.items() if k.lower() != "content-length"]
        return httpx.Response(200, headers=headers, content=bytes(body))


def devices(number: int, model: str, url: str, requests: int, count: int, corrupt: float, found: "Queue[Any]") -> None:
    """Half of the devices, each in a thread of its own."""
    from netdiffuse.denoising.device import EdgeDevice
    from netdiffuse.denoising.opening import opened

    torch.set_num_threads(1)
    family = opened(model, "float32")
    transport = Corrupting(corrupt, number)
    pick = random.Random(100 + number)
    prompts = [f"a {pick.choice(COLOURS)} {pick.choice(OBJECTS)} {pick.choice(PLACES)}" for _ in range(requests)]
    local = threading.local()

    def make(i: int) -> None:
        if not hasattr(local, "device"):
            local.device = EdgeDevice(family, url, patience_s=600, tries=40, transport=transport)
        began = time.perf_counter()
        outcome = local.device.make(prompts[i], request_id=f"p{number}-{i}")
        found.put(
            {
                "id": f"p{number}-{i}",
                "seconds": time.perf_counter() - began,
                "source": outcome.source,
                "shared": outcome.shared_steps,
                "tries": outcome.tries,
                "reason": outcome.reason,
                "picture": outcome.picture.size,
            }
        )

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(make, range(requests)))
    found.put({"damaged": transport.damaged})


def serve(model: str, port: int, journal: Path, steps: int) -> subprocess.Popen[bytes]:
    """A server of its own process, once it answers."""
    command = [sys.executable, "-m", "netdiffuse", "denoise", "serve", "--model", model, "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--journal", str(journal), "--steps", str(steps)], env=environment)
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            return process
        except httpx.HTTPError:
            if process.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.1)


def main(
    model: str = "default",
    requests: int = 500,
    count: int = 50,
    steps: int = 20,
    corrupt: float = 0.05,
    kill: bool = True,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Load a server.

    Args:
        model: as `netdiffuse denoise serve` takes it.
        requests: in all.
        count: devices.
        steps: of each chain.
        corrupt: share of the states that are damaged.
        kill: the server, in the middle.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(1), "requests": requests, "devices": count, "steps": steps}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    found: Queue[Any] = context.Queue()
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite"
        server = serve(model, port, journal, steps)
        url = f"http://127.0.0.1:{port}"
        share = [requests // PROCESSES + (i < requests % PROCESSES) for i in range(PROCESSES)]
        halves = [
            context.Process(target=devices, args=(i, model, url, n, count // PROCESSES, corrupt, found))
            for i, n in enumerate(share)
        ]
        began = time.perf_counter()
        for half in halves:
            half.start()
        outcomes: list[dict[str, Any]] = []
        damaged, ended = 0, 0
        while ended < PROCESSES:
            one = found.get()
            if "damaged" in one:
                damaged, ended = damaged + one["damaged"], ended + 1
                continue
            outcomes.append(one)
            if kill and len(outcomes) == requests // 2:
                server.send_signal(signal.SIGKILL)
                server.wait()
                server = serve(model, port, journal, steps)
        seconds = time.perf_counter() - began
        for half in halves:
            half.join()
        server.terminate()
        server.wait(60)
    latency = np.array([one["seconds"] for one in outcomes])
    pictures = Counter(one["id"] for one in outcomes)
    result |= {
        "seconds": seconds,
        "pictures": len(outcomes),
        "each_exactly_one": len(pictures) == requests and set(pictures.values()) == {1},
        "shared": sum(one["source"] == "shared" for one in outcomes),
        "alone": dict(Counter(one["reason"] for one in outcomes if one["source"] == "alone")),
        "states_damaged": damaged,
        "mean_shared_steps": float(np.mean([one["shared"] for one in outcomes])),
        "p50_s": float(np.quantile(latency, 0.5)),
        "p95_s": float(np.quantile(latency, 0.95)),
    }
    if not json:
        show(["what", "found"], [[key, str(value)] for key, value in result.items() if key != "machine"])
    finish(result, json, out)
    sys.exit(not result["each_exactly_one"])


if __name__ == "__main__":
    tyro.cli(main)

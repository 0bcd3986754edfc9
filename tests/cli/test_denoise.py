import json
import os
import re
import shlex
import socket
import sys
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from PIL import Image

from netdiffuse.cli import main
from netdiffuse.denoising.edge.engine import LocalEngine
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.lock import only_server
from netdiffuse.denoising.edge.ratings import RatingStore
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.opening import opened
from netdiffuse.problems.shared_denoising import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.allocator import PolicyAllocator
from tests.denoising.pipelines import stable_diffusion
from tests.denoising.serving import RULE, bag_of_words
from tests.denoising.test_ratings import listening

WORDS = ["--prompts", "apple on a table", "lemon on a table", "--steps", "4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model")
    stable_diffusion().save_pretrained(path)
    return str(path)


def call(*words) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def refused(capsys, *words, told=1) -> str:
    assert call(*words) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == told
    return captured.err


def test_split(model, tmp_path, capsys):
    assert call("denoise", "split", *WORDS, "--shared", 2, "--model", model, "--out", tmp_path / "found") == 0
    printed = capsys.readouterr().out
    assert "2 shared and 4 own steps instead of 8: 25.0% saved" in printed
    assert "16 evaluations become 12 (4 on the server)" in printed  # guidance: two a step
    summary = json.loads((tmp_path / "found" / "summary.json").read_text())
    cost = summary["cost"]
    # 15 Mcycles at 2 GHz and 14 at 1.5 GHz, 1e-27 J s^2: 0.06 and 0.0315 J a step
    assert cost["alone"]["total"]["energy_j"] == pytest.approx(8 * 0.0315)
    sent_j = 0.1 * cost["shared"]["server"]["send_s"]
    assert 0 < sent_j < 0.01
    assert cost["shared"]["total"]["energy_j"] == pytest.approx(2 * 0.06 + 4 * 0.0315 + sent_j)
    assert [user["shared_steps"] for user in summary["users"]] == [2, 2]
    assert all(user["mse"] > 0 for user in summary["users"])
    with Image.open(tmp_path / "found" / "grid.png") as grid:
        assert grid.width > grid.height
    with Image.open(tmp_path / "found" / "user-1.png") as picture:
        assert picture.size == (16, 16)


def test_nothing_is_written_over(model, tmp_path, capsys):
    (tmp_path / "picture.png").write_text("precious")
    words = ["--prompt", "apple", "--model", model, "--out", tmp_path / "picture.png"]
    assert "already exists: choose another --out" in refused(capsys, "denoise", "device", *words)
    words = [*WORDS, "--model", model, "--out", tmp_path]
    assert "not empty: choose another --out" in refused(capsys, "denoise", "split", *words)
    assert (tmp_path / "picture.png").read_text() == "precious"


def test_who_leads_is_told(model, tmp_path, capsys):
    words = ["--shared", 2, "--model", model, "--out", tmp_path / "a"]
    assert call("denoise", "split", *WORDS, *words) == 0
    assert "the mean" in capsys.readouterr().out
    words = ["--model", model, "--out", tmp_path / "b"]  # by meaning
    assert call("denoise", "split", *WORDS, *words) == 0
    printed = capsys.readouterr().out
    (led_by,) = {tuple(user["led_by"]) for user in json.loads((tmp_path / "b" / "summary.json").read_text())["users"]}
    assert f"user {led_by[0] + 1}" in printed  # people count from 1, files from 0
    rows = [line for line in printed.splitlines() if " on a table" in line]
    assert [next(word for word in row.split() if word.isdigit()) for row in rows] == ["1", "2"]
    assert "identical" in printed  # the leader's own picture


def test_split_over_a_link(model, tmp_path, capsys):
    words = ["--shared", 2, "--model", model, "--out", tmp_path, "--json", "--codec", "uint8"]
    assert call("denoise", "split", *WORDS, *words, "--bit-error-rate", 0.02) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["codec"], summary["bit_error_rate"]) == ("uint8", 0.02)
    assert summary["bits_sent"] > 0


def test_sharing_nothing_changes_nothing(model, tmp_path, capsys):
    assert call("denoise", "split", *WORDS, "--shared", 0, "--model", model, "--out", tmp_path, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [user["mse"] for user in summary["users"]] == [0, 0]
    assert summary["saved_percent"] == 0


def test_split_by_meaning(model, tmp_path, capsys):
    assert call("denoise", "split", *WORDS, "--model", model, "--out", tmp_path, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["server_steps"] + summary["device_steps"] <= 8


def test_a_study_in_small(tmp_path, capsys):
    """With the model that ships: whoever shares all of an unlike prompt's steps has the wrong picture."""
    assert (
        call("denoise", "study", "--steps", 8, "--seeds", 2, "--pairs", "published", "--out", tmp_path, "--json") == 0
    )
    rows = json.loads(capsys.readouterr().out)
    found = {(r["follower"], r["shared"], r["bit_error_rate"]): r for r in rows}
    assert len(found) == len({r["follower"] for r in rows}) * (1 + 8 * 7)
    alone, all_shared = found["a tree near a river", 0, 0.0], found["a tree near a river", 8, 0.0]
    assert alone["fidelity"] > 0.9
    assert all_shared["fidelity"] < 0.1 < 0.9 < all_shared["leader_fidelity"]
    assert found["a tree near a river", 4, 0.1]["ssim"] < found["a tree near a river", 4, 0.0]["ssim"]
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert (quality["format"], quality["judge"], quality["steps"]) == ("netdiffuse.quality", "classifier", 8)
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == rows
    for name in ("shared_steps.png", "bit_errors.png"):
        with Image.open(tmp_path / name) as figure:
            assert figure.width > 1000


def test_split_with_the_model_that_ships(tmp_path, capsys):
    words = ["--prompts", "apple on table", "a tree near a river", "--shared", 2, "--steps", 4]
    assert call("denoise", "split", *words, "--out", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["server_steps"] == 2
    with Image.open(tmp_path / "user-0.png") as picture:
        assert picture.size == (64, 64)


def test_a_device_alone(model, tmp_path, capsys):
    out = tmp_path / "apple.png"
    words = ["denoise", "device", "--prompt", "apple", "--model", model, "--steps", "3", "--out", out, "--json"]
    assert call(*words) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["source"], said["own_steps"], said["reason"]) == ("alone", 3, "there is no server")
    with Image.open(out) as picture:
        assert picture.size == (16, 16)


def test_a_device_whose_server_is_gone(model, tmp_path, capsys):
    words = ["--prompt", "apple", "--model", model, "--steps", "3", "--out", tmp_path / "a.jpg", "--patience", "0.5"]
    assert call("denoise", "device", *words, "--server", "http://127.0.0.1:9") == 0
    assert "alone, 3 steps" in capsys.readouterr().out
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["split", "--prompts", "a", " "], "--prompts must name one or more"),
        (["split", "--prompts", "a", "--steps", "0"], "steps must be"),
        (["split", "--prompts", "a", "--shared", "12"], "shared must be"),
        (["split", "--prompts", "a", "--seed", "-1"], "seed must be"),
        (["split", "--prompts", "a", "--bit-error-rate", "0.1"], "needs a --codec"),
        (["device", "--prompt", " "], "--prompt must say"),
        (["device", "--prompt", "a", "--out", "a.txt"], "--out must end in"),
        (["serve", "--host", "0.0.0.0"], "open to others: give a token (--token"),
        (["serve", "--token", ""], "visible ASCII"),
        (["serve", "--journal-mb", "0"], "journal_mb must be"),
        (["serve", "--port", "70000"], "port must be"),
        (["serve", "--explore", "0.1"], "give its run with --allocator RUN"),
        (["serve", "--enough", "0"], "enough must be"),
        (["serve", "--ratings", "runs/edge/journal.sqlite"], "give each a file of its own"),
        (["device", "--prompt", "a", "--rate"], "--rate needs the --server that is told"),
        (["rate", "a"], "give either a --rating of 1 to 5, or a --persona"),
        (["rate", "a", "--rating", "6"], "--rating must be in 1 to 5, got 6"),
        (["rate", "a", "--rating", "3", "--quality", "2"], "--quality: "),
        (["rate", "a", "--persona", "frugal", "--quality", "1"], "rates by --quality, --delay and --energy-share"),
        (["rate", "a", "--persona", "frgal", "--quality", "1", "--delay", "1", "--energy-share", "0"], "mean 'frugal'"),
        (["rate", "a", "--rating", "3", "--server", "http://127.0.0.1:9"], "no answer from the server"),
    ],
)
def test_bad_words(capsys, words, said, monkeypatch):
    monkeypatch.delenv("NETDIFFUSE_TOKEN", raising=False)
    assert said in refused(capsys, "denoise", *words)


LATE = ["device", "--prompt", "a", "--model", "/no/such/model"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*LATE, "--persona", "impatent"], "mean 'impatient'"),
        ([*LATE, "--battery", "60"], "--battery: "),
        ([*LATE, "--gain-db", "105"], "--gain-db: "),
        ([*LATE, "--token", ""], "visible ASCII"),
        ([*LATE, "--lead", "--host", "0.0.0.0"], "open to others: give a token (--token"),
        ([*LATE, "--lead", "--host", "192.0.2.1", "--token", "t"], "nothing can listen at 192.0.2.1"),
        ([*LATE, "--server", "127.0.0.1:8000"], "--server must be like http://127.0.0.1:8000"),
        ([*LATE, "--server", "http://"], "--server must be like http://127.0.0.1:8000"),
        (["rate", "a", "--rating", "3", "--server", "localhost:8000"], "--server must be like http://127.0.0.1:8000"),
    ],
)
def test_it_is_refused_before_a_model_is_opened(capsys, words, said, monkeypatch):
    monkeypatch.delenv("NETDIFFUSE_TOKEN", raising=False)
    assert said in refused(capsys, "denoise", *words)


@contextmanager
def served(model, folder, k, ratings=True):
    """The address of a server with this model, whose policy gives k of the environment's 11 steps to each alone."""
    action = np.array([2 * k / 11 - 1, 0.0, 0.0], np.float32)
    policy = PolicyAllocator(lambda seen: action, SharedDenoisingSettings(), bag_of_words, "v1", RULE)
    engine = LocalEngine.of(opened(model), policy, 11)
    store = RatingStore(folder / "ratings.sqlite") if ratings else None
    own = ServerSettings(window_s=5.0, enough_in_window=1, most_in_window=1)
    with listening(make_server(engine, Journal(folder / "j.sqlite"), own, store, policy.check)) as url:
        yield url


def test_a_device_prints_what_a_persona_rates_by(model, tmp_path, capsys):
    """What is printed is what `denoise rate` takes, and what it then tells."""
    device = ["denoise", "device", "--prompt", "apple on table", "--model", model, "--battery", 0.5]
    with served(model, tmp_path, k=1) as url:
        assert call(*device, "--server", url, "--out", tmp_path / "a.png") == 0
        printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        assert "server did 1 step (" in printed["the"]
        assert "s, with waiting for others), this device 10 steps (" in printed["the"]
        assert re.fullmatch(r"1 shared step, 0\.\d+ W, [\d,]+ Hz by v1", printed["granted"])
        options = printed["measured"].partition(" (by the model of")[0]
        assert options.startswith("--quality 0.")
        rate = ["denoise", "rate", printed["request"], "--server", url, "--persona", "frugal", *shlex.split(options)]
        assert call(*rate, "--json") == 0
        said = json.loads(capsys.readouterr().out)
        numbers = dict(zip(options.split()[::2], map(float, options.split()[1::2]), strict=True))
        assert said["request"] == printed["request"]
        assert said["persona"] == "frugal"
        assert [said["quality"], said["delay_s"], said["energy_share"]] == list(numbers.values())
        (kept,) = httpx.get(f"{url}/v1/ratings").json()
        assert (kept["request"], kept["rating"]) == (said["request"], said["rating"])

        assert call(*device, "--server", url, "--out", tmp_path / "b.png", "--json") == 0
        measured = json.loads(capsys.readouterr().out)["measured"]
        assert measured["delay_s"] == pytest.approx(numbers["--delay"], abs=0.01)
        assert measured["energy_share"] == pytest.approx(numbers["--energy-share"], abs=1e-4)

        device[3] = "a spaceship on mars"  # which the judge of the small model cannot read
        assert call(*device, "--server", url, "--out", tmp_path / "c.png") == 0
        assert "no quality: " in capsys.readouterr().out
        said = refused(capsys, *device, "--server", url, "--out", tmp_path / "d.png", "--rate", told=2)
        assert "cannot be rated with this --judge" in said
        assert f"the picture is at {tmp_path / 'd.png'}" in said


def test_the_average_user_rates_unless_another_is_named(model, tmp_path, capsys):
    words = ["--prompt", "apple on table", "--model", model, "--out", tmp_path / "a.png", "--rate"]
    with served(model, tmp_path, k=0) as url:
        assert call("denoise", "device", *words, "--server", url) == 0
        (kept,) = httpx.get(f"{url}/v1/ratings").json()
    printed = capsys.readouterr().out
    assert kept["persona"] == "average"
    assert f"rated    {kept['rating']:.2f} by average: {kept['reason']}" in printed
    assert "the server did no steps (" in printed
    assert "granted  no shared steps by v1" in printed


def test_where_no_ratings_are_kept_none_is_asked_for(model, tmp_path, capsys):
    words = ["--prompt", "apple on table", "--model", model, "--out", tmp_path / "a.png"]
    with served(model, tmp_path, k=1, ratings=False) as url:
        said = refused(capsys, "denoise", "device", *words, "--server", url, "--rate")
        assert f"the server at {url} keeps no ratings: start it with --ratings FILE, or leave out --rate" in said
        assert not (tmp_path / "a.png").exists()
        assert call("denoise", "device", *words, "--server", url) == 0
        assert "measured" not in capsys.readouterr().out


def test_a_server_that_ends_closes_its_engine(model, tmp_path, monkeypatch):
    """Denoisers on other hosts would go on for ever; whatever ends the server ends them."""
    import uvicorn

    closed = []

    def interrupted(app, **_):
        assert not closed
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn, "run", interrupted)
    monkeypatch.setattr(LocalEngine, "close", lambda self: closed.append(self.card.steps))
    words = ["--model", model, "--steps", 3, "--journal", tmp_path / "j.sqlite", "--port", 0]
    assert call("denoise", "serve", *words) == 130
    assert closed == [3]
    with only_server(tmp_path / "j.sqlite"):  # it has let go of its journal too
        pass


def test_a_second_server_is_refused_before_its_model_is_opened(tmp_path, capsys):
    journal = tmp_path / "edge" / "j.sqlite"
    words = ["denoise", "serve", "--model", tmp_path / "none", "--journal", journal]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(capsys, *words, "--port", port)
    assert f"nothing can listen at 127.0.0.1, port {port} (" in said
    assert "choose another --port" in said
    with only_server(journal):
        said = refused(capsys, *words, "--port", 0)
    assert f"another server has the journal {journal}, process {os.getpid()}" in said
    assert "choose another --journal" in said
    assert "cannot be opened" in refused(capsys, *words, "--port", 0)  # now it is its turn
    assert not journal.exists()


def test_no_such_model(capsys, tmp_path):
    err = refused(
        capsys, "denoise", "device", "--prompt", "a", "--model", tmp_path / "none", "--out", tmp_path / "a.png"
    )
    assert "cannot be opened" in err
    assert not (tmp_path / "a.png").exists()


def test_without_the_small_model(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("netdiffuse.denoising.default_model.WEIGHTS", tmp_path)
    err = refused(capsys, "denoise", "device", "--prompt", "a", "--out", tmp_path / "a.png")
    assert "--model NAME_OR_FOLDER" in err


def test_no_such_dtype(capsys, model):
    assert "unknown dtype 'int8'" in refused(
        capsys, "denoise", "device", "--prompt", "a", "--model", model, "--dtype", "int8"
    )


def test_no_such_scheduler(capsys, model, tmp_path):
    words = ["split", *WORDS, "--shared", 1, "--model", model, "--scheduler", "heun", "--out", tmp_path / "new"]
    assert "unknown scheduler 'heun'" in refused(capsys, "denoise", *words)
    assert not (tmp_path / "new").exists()


def test_without_the_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    err = refused(capsys, "denoise", "device", "--prompt", "a", "--out", tmp_path / "a.png")
    assert "pip install 'netdiffuse[denoising]'" in err


def test_help_names_the_commands(capsys):
    assert call("denoise", "--help") == 0
    printed = capsys.readouterr().out
    for name in ("split", "serve", "device"):
        assert name in printed

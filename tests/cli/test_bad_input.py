"""What a user gets wrong: one clear line, exit code 2, and nothing written."""

import shutil
from pathlib import Path

import pytest

from netdiffuse.cli import lists, main

from .test_commands import FAST, OWN, SETTINGS, call

HEADER = ",".join(f"gain_{i}" for i in range(10)) + "\n"
ROW = ",".join("1" * 10) + "\n"
TRAIN = ["train", "power-allocation", "--algorithm", "ppo", *FAST, "--out", "new"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made")
    assert call("train", "power-allocation", "--algorithm", "ppo", *FAST, *SETTINGS, "--out", path / "run") == 0
    (path / "good.csv").write_text(HEADER + ROW)
    (path / "word.csv").write_text(HEADER + ROW + ROW.replace("1", "one", 1))
    (path / "negative.csv").write_text(HEADER + "-" + ROW)
    (path / "short.csv").write_text(HEADER + "1,2\n")
    (path / "header.csv").write_text("a,b\n1,2\n")
    (path / "empty.csv").write_text("")
    (path / "syntax.py").write_text("import torch\n\nclass Mine(\n")
    (path / "column.py").write_text(OWN.replace(".sum(-1)", ""))
    (path / "empty-run").mkdir()
    (path / "torn").mkdir()
    (path / "torn" / "config.json").write_text((path / "run" / "config.json").read_text()[:40])
    shutil.copytree(path / "run", path / "cut")
    model = path / "cut" / "checkpoint" / "model.zip"
    model.write_bytes(model.read_bytes()[:1000])
    (path / "results").mkdir()
    (path / "results" / "results.json").write_text("[")
    return path


CASES = {
    "no problem": (["train"], "name a PROBLEM"),
    "unknown problem": (["train", "power-alocation", *TRAIN[2:]], "Did you mean 'power-allocation'"),
    "unknown Gymnasium id": (["train", "Pendulm-v1", *TRAIN[2:]], "unknown problem 'Pendulm-v1'"),
    "no such file": (["train", "mine.py:Mine", *TRAIN[2:]], "no file"),
    "unknown algorithm": ([*TRAIN, "--algorithm", "gdpg"], "Did you mean"),
    "a rule": ([*TRAIN, "--algorithm", "equal"], "is a rule"),
    "unknown setting": ([*TRAIN, "--set", "batchsize=3"], "Did you mean 'batch_size'"),
    "setting of another type": ([*TRAIN, "--set", "batch_size=many"], "batch_size of ppo must be int"),
    "setting without value": ([*TRAIN, "--set", "batch_size"], "key=value"),
    "setting twice": ([*TRAIN, "--set", "gamma=0", "--set", "gamma=1"], "twice"),
    "unknown problem argument": ([*TRAIN, "--problem-set", "chanels=3"], "chanels"),
    "impossible problem argument": ([*TRAIN, "--problem-set", "total_power=-3"], "total_power"),
    "negative seconds": (["train", "power-allocation", "--seconds", "-1", "--out", "new"], "seconds"),
    "seconds that are no number": ([*TRAIN, "--seconds", "soon"], "soon"),
    "seconds and timesteps": ([*TRAIN, "--seconds", "3"], "either seconds or timesteps"),
    "negative seed": ([*TRAIN, "--seed", "-1"], "seed"),
    "huge seed": ([*TRAIN, "--seed", str(2**70)], "seed must be an integer of at most 4294967295"),
    "huge threads": ([*TRAIN, "--threads", str(2**40)], "threads must be an integer of at most"),
    "huge environments": ([*TRAIN, "--n-envs", str(10**12)], "n_envs must be an integer of at most"),
    "huge evaluation": ([*TRAIN, "--contexts", str(10**12)], "contexts must be an integer of at most"),
    "huge setting": ([*TRAIN, "--algorithm", "gddpg", "--set", "denoising_steps=100000000"], "denoising_steps"),
    "setting outside its range": ([*TRAIN, "--set", "n_epochs=0"], "n_epochs of ppo must be in"),
    "setting that is infinite": ([*TRAIN, "--set", "learning_rate=1e999"], "learning_rate must be finite"),
    "setting that is no literal": ([*TRAIN, "--set", "gamma={[]:1}"], "gamma of ppo must be float"),
    "layers without units": ([*TRAIN, "--set", "policy_kwargs={'net_arch':[-3]}"], "net_arch"),
    "a file that is not Python": (["train", "syntax.py:Mine", *TRAIN[2:]], "syntax.py, line 3"),
    "a utility of another shape": (["train", "column.py:Echo", *TRAIN[2:]], "Echo.utility must return"),
    "environment with an odd argument": (["train", "Pendulum-v1", *TRAIN[2:], "--problem-set", "g=foo"], "refuses"),
    "evaluate on a huge seed": (["evaluate", "run", "--seed", str(2**32)], "seed must be an integer of at most"),
    "compare huge seeds": (["compare", "power-allocation", "--methods", "equal", "--seeds", str(2**70)], "at most"),
    "no environments": ([*TRAIN, "--n-envs", "0"], "n_envs"),
    "no threads": ([*TRAIN, "--threads", "0"], "threads"),
    "unknown device": ([*TRAIN, "--device", "abacus"], "abacus"),
    "unknown policy": ([*TRAIN, "--policy", "Mlp"], "unknown policy 'Mlp'"),
    "unknown option": ([*TRAIN, "--sede", "1"], "--sede"),
    "unknown command": (["trian", "power-allocation"], "trian"),
    "no command": ([], "Missing subcommand"),
    "occupied folder": ([*TRAIN, "--out", "run"], "already holds a run"),
    "folder of something else": ([*TRAIN, "--out", "results"], "not empty"),
    "resume nothing": (["train", "--resume", "nowhere"], "there is no run nowhere"),
    "resume with a problem": (["train", "power-allocation", "--resume", "run"], "leave out PROBLEM"),
    "resume with a seed": (["train", "--resume", "run", "--seed", "0"], "leave out --seed"),
    "resume with no ratings": (
        ["train", "--resume", "empty-run", "--ratings", "none.sqlite"],
        "no file of ratings none",
    ),
    "ratings without a run": (["train", "shared-denoising", "--ratings", "r.sqlite"], "give it with --resume RUN"),
    "resume what is finished": (["train", "--resume", "run"], "is finished"),
    "resume a cut checkpoint": (["train", "--resume", "cut", "--timesteps", "999"], "model.zip is damaged"),
    "evaluate nothing": (["evaluate", "nowhere"], "there is no run nowhere"),
    "evaluate an empty folder": (["evaluate", "empty-run"], "is not a run"),
    "evaluate a torn config": (["evaluate", "torn"], "config.json is damaged"),
    "evaluate a cut checkpoint": (["evaluate", "cut"], "model.zip is damaged"),
    "evaluate on nothing": (["evaluate", "run", "--contexts", "0"], "contexts"),
    "plot nothing": (["plot", "nowhere"], "there is no run nowhere"),
    "plot torn results": (["plot", "results"], "results.json is missing or damaged"),
    "decide without a run": (["decide", "nowhere", "good.csv", "--out", "o.csv"], "there is no run"),
    "decide without out": (["decide", "run", "good.csv"], "--out"),
    "decide without contexts": (["decide", "run", "nothing.csv", "--out", "o.csv"], "no such file"),
    "decide on words": (["decide", "run", "word.csv", "--out", "o.csv"], "line 3, column gain_0"),
    "decide on negative gains": (["decide", "run", "negative.csv", "--out", "o.csv"], "line 2, column gain_0"),
    "decide on short rows": (["decide", "run", "short.csv", "--out", "o.csv"], "line 2"),
    "decide on another header": (["decide", "run", "header.csv", "--out", "o.csv"], "line 1: unknown column"),
    "decide on nothing": (["decide", "run", "empty.csv", "--out", "o.csv"], "is empty"),
    "decide over a file": (["decide", "run", "good.csv", "--out", "word.csv"], "exists already"),
    "decide into a picture": (["decide", "run", "good.csv", "--out", "o.png"], "must end in"),
    "compare unknown methods": (["compare", "power-allocation", "--methods", "ppo,pp"], "unknown method 'pp'"),
    "compare no methods": (["compare", "power-allocation", "--methods", ","], "methods"),
    "compare a method twice": (["compare", "power-allocation", "--methods", "ppo,ppo"], "each once"),
    "compare odd seeds": (["compare", "power-allocation", "--seeds", "0,x"], "--seeds takes integers"),
    "compare negative seeds": (["compare", "power-allocation", "--seeds", "-1", "--methods", "ppo"], "seed"),
    "compare without time": (["compare", "power-allocation", "--seconds", "0"], "seconds"),
    "compare without jobs": (["compare", "power-allocation", "--jobs", "0"], "jobs"),
    "compare an unknown problem": (["compare", "power", "--methods", "ppo"], "unknown problem 'power'"),
    "compare a rule that does not apply": (
        ["compare", "interference-channel", "--methods", "equal", "--out", "c"],
        "does not apply",
    ),
    "settings of nothing": (["algorithms", "sacc"], "Did you mean 'sac'"),
    "settings of a rule": (["algorithms", "equal"], "is a rule"),
}


NUMBERS = {
    "optional": (["denoise", "rate", "a", "--rating", "four"], "--rating: a number is needed, got 'four'"),
    "optional, whole": (["train", "--timesteps", "1.5"], "--timesteps: a whole number is needed, got '1.5'"),
    "of seconds": (["train", "--seconds", "soon"], "--seconds: a number is needed, got 'soon'"),
    "with a default": (
        ["compare", "power-allocation", "--seconds", "soon"],
        "--seconds: a number is needed, got 'soon'",
    ),
    "whole, with a default": (["users", "audit", "--experiences", "x"], "a whole number is needed, got 'x'"),
    "of a model": (["denoise", "study", "--guidance", "None"], "--guidance: a number is needed, got 'None'"),
    "of a language model": (["train", "--rater-least-mass", "x"], "--rater-least-mass: a number is needed"),
    "two": (["train", "--rater-price", "1", "x"], "--rater-price: a number is needed, got 'x'"),
}


@pytest.mark.parametrize("case", NUMBERS, ids=lambda name: name.replace(" ", "-"))
def test_a_word_for_a_number_is_told_without_the_parsers_insides(capsys, case):
    words, message = NUMBERS[case]
    assert call(*words) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in said
    assert not [inside for inside in ("NoneType", "{None}", "literal", "convert") if inside in said]


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else b"" for p in path.rglob("*")}


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_bad_input_gets_a_clear_error_and_leaves_nothing_behind(made, monkeypatch, capsys, case):
    words, message = CASES[case]
    monkeypatch.chdir(made)
    before = snapshot(made)
    assert call(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in " ".join(captured.err.replace("│", " ").split())
    assert "Traceback" not in captured.err
    assert snapshot(made) == before


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 745 GiB"), RuntimeError("can't allocate memory: x")])
def test_a_lack_of_memory_is_one_line(monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(lists.json, "dumps", fail)
    assert call("algorithms", "--json") == 2
    assert capsys.readouterr().err == f"error: not enough memory, ask for less: {error}\n"


def test_other_errors_are_not_hidden(monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(lists.json, "dumps", fail)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        main(["algorithms", "--json"])

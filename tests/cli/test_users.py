import json
import sys

import pytest

from netdiffuse.users import PRESETS, draw_personas
from tests.users.llm.server import Model, serving

from .test_commands import call

FEW = ["--experiences", 4, "--sittings", 2, "--personas", "average", "impatient"]


def refused(capsys, *words) -> str:
    assert call("users", "audit", *words) == 2
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err


def test_the_parametric_rater(tmp_path, capsys):
    assert call("users", "audit", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "the parametric rater is fit to be a reward, by 4,680 ratings" in printed
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["fit"] is True
    assert set(found["persona_means"]) == set(PRESETS)
    assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_says_the_same(tmp_path, capsys):
    said = []
    for seed in (1, 1, 2):
        assert call("users", "audit", *FEW, "--seed", seed, "--out", tmp_path, "--json") == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert said[0]["sweeps"] != said[2]["sweeps"]


def test_personas_of_a_file(tmp_path, capsys):
    path = tmp_path / "crowd.json"
    path.write_text(json.dumps([persona.to_dict() for persona in draw_personas(3, 0)]))
    assert call("users", "audit", *FEW[:4], "--personas", path, "average", "--out", tmp_path / "a", "--json") == 0
    means = json.loads(capsys.readouterr().out)["persona_means"]
    assert list(means) == ["user 0", "user 1", "user 2", "average"]


def test_a_language_model_and_then_offline(tmp_path, capsys):
    words = ["users", "audit", "--rater", "llm", "--model", "m", *FEW, "--answer", "expected", "--out", tmp_path]
    with serving() as (url, model):
        assert call(*words, "--url", url, "--price", 1, 2) == 0
        assert len(model.requests) > 20
    printed = capsys.readouterr().out
    assert "agreement with the parametric rater: Spearman 0." in printed
    assert "m is not fit to be a reward" in printed  # it looks at quality alone
    assert "USD; faults: none" in printed
    first = json.loads((tmp_path / "audit.json").read_text())
    assert call(*words, "--offline", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ledger"]["requests"] == 0
    assert again["ledger"]["from_cache"] == again["ledger"]["questions"]
    assert {name: value for name, value in again.items() if name != "ledger"} == {
        name: value for name, value in first.items() if name != "ledger"
    }


def test_fallbacks_are_shown(tmp_path, capsys):
    with serving(Model(rate=1.0, faults=("wrong_model",))) as (url, _):
        words = ["--rater", "llm", "--model", "no-such", "--url", url, *FEW, "--out", tmp_path]
        with pytest.warns(RuntimeWarning, match="wrong_model"):
            assert call("users", "audit", *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no-such is not fit to be a reward" in printed
    assert "88 of them are the fallback's, which tell nothing of it" in printed
    assert "88 answered by the fallback" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "m"], "add --rater llm"),
        (["--rater", "llm"], "needs a --model"),
        (["--rater", "llm", "--model", "m", "--offline"], "there is no"),
        (["--rater", "llm", "--model", "m", "--answer", "expected", "--samples", "2"], "one sample"),
        (["--personas", "avarage"], "Did you mean 'average'"),
        (["--personas", "FRUGAL", "average"], "Did you mean 'frugal'?"),
        (["--personas", "average"], "two personas or more"),
        (["--personas", "none.json"], "none.json holds no personas"),
        (["--personas", "object.json"], "must hold a list"),
        (["--personas", "trait.json"], "Did you mean 'openness'"),
        (["--sittings", "1"], "sittings must be"),
        (["--experiences", "1"], "experiences must be"),
        (["--seed", "-1"], "seed must be"),
    ],
)
def test_bad_words(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "trait.json").write_text('[{"name": "a", "opennes": 1}]')
    assert said in refused(capsys, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["object.json", "trait.json"]


def test_without_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openai", None)
    err = refused(capsys, "--rater", "llm", "--model", "m", "--url", "http://127.0.0.1:9/v1", "--out", tmp_path / "new")
    assert "pip install 'netdiffuse[llm]'" in err
    assert not (tmp_path / "new").exists()


def test_help_names_the_command(capsys):
    assert call("users", "--help") == 0
    assert "audit" in capsys.readouterr().out

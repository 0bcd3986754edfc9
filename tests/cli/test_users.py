import json
import sys

import pytest

from netdiffuse.experiments.figures import users as figures
from netdiffuse.experiments.figures.users import audit_figure
from netdiffuse.users import PRESETS, draw_personas
from netdiffuse.users.llm import AnswerCache, endpoint
from tests.users.llm.server import Model, serving

from .test_commands import call, spawn

FEW = ["--experiences", 4, "--sittings", 2, "--personas", "average", "impatient"]


class Gone(Model):
    """Answers the first questions, then knows the model no longer."""

    def __init__(self, questions):
        super().__init__()
        self.questions = questions

    def fault(self, body):
        super().fault(body)
        return "wrong_model" if len(self.requests) > self.questions else None


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
    for number, seed in enumerate((1, 1, 2)):
        assert call("users", "audit", *FEW, "--seed", seed, "--out", tmp_path / str(number), "--json") == 0
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
    words = ["users", "audit", "--rater", "llm", "--model", "m", *FEW, "--answer", "expected"]
    with serving() as (url, model):
        assert call(*words, "--url", url, "--price", 1, 2, "--out", tmp_path) == 0
        assert len(model.requests) > 20
    printed = capsys.readouterr().out
    assert "agreement with the parametric rater: Spearman 0." in printed
    assert "m is not fit to be a reward" in printed  # it looks at quality alone
    assert "USD; faults: none" in printed
    first = json.loads((tmp_path / "audit.json").read_text())
    assert str(tmp_path / "answers.sqlite") in printed
    assert call(*words, "--offline", "--cache", tmp_path / "answers.sqlite", "--out", tmp_path / "b", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ledger"]["requests"] == 0
    assert again["ledger"]["from_cache"] == again["ledger"]["questions"]
    assert {name: value for name, value in again.items() if name != "ledger"} == {
        name: value for name, value in first.items() if name != "ledger"
    }


def test_fallbacks_are_shown_and_pass_nothing(tmp_path, monkeypatch, capsys):
    titles = []
    monkeypatch.setattr(figures, "audit_figure", lambda *given: titles.append(given[2]) or audit_figure(*given))
    with serving(Gone(1 + 8)) as (url, _):  # of the trial, and of one sitting's random experiences
        words = ["--rater", "llm", "--model", "m", "--url", url, *FEW, "--out", tmp_path]
        with pytest.warns(RuntimeWarning, match="wrong_model"):
            assert call("users", "audit", *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "m is not fit to be a reward" in printed
    assert "80 of them are the fallback's, which tell nothing of it" in printed
    assert "80 answered by the fallback" in printed
    assert "passed" not in printed
    assert "rates better quality better 1.00 0.80 - (100% fallback)" in printed
    assert "- (50% fallback)" in printed
    assert "agreement" not in printed
    found = json.loads((tmp_path / "audit.json").read_text())
    assert {check["passed"] for check in found["checks"]} == {None}
    assert found["fallback"] == pytest.approx(80 / 88)
    assert found["fit"] is False
    assert titles == ["Ratings by m (91% fallback)"]


def test_a_warning_is_a_line_without_code(tmp_path):
    with serving(Gone(9)) as (url, _):
        done = spawn("users", "audit", "--rater", "llm", "--model", "m", "--url", url, *FEW, "--out", tmp_path)
        _, err = done.communicate(timeout=300)
    assert done.returncode == 0
    assert err.startswith("warning: 'm' gave no rating (wrong_model")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("known", [None, "404"])
def test_a_model_that_does_not_answer_is_refused(tmp_path, monkeypatch, capsys, known):
    monkeypatch.setattr(endpoint, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.chdir(tmp_path)
    with serving(Gone(0)) as (url, model):
        there = "http://127.0.0.1:9/v1" if known is None else url
        err = refused(capsys, "--rater", "llm", "--model", "m", *FEW, "--url", there)
        assert len(model.requests) == (known is not None)
    assert ("unreachable" if known is None else "wrong_model") in err
    assert f"asked at {there}: is the model served there? (--url; --offline" in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fallbacks", [False, True])
def test_offline_without_an_answer_of_the_model_is_refused(tmp_path, monkeypatch, capsys, fallbacks):
    monkeypatch.chdir(tmp_path)
    words = ["--rater", "llm", "--model", "m", *FEW, "--cache", tmp_path / "answers.sqlite"]
    AnswerCache(tmp_path / "answers.sqlite").close()
    if fallbacks:
        with serving(Gone(1)) as (url, _), pytest.warns(RuntimeWarning, match="wrong_model"):
            assert "none of the answers in" in refused(capsys, *words, "--url", url)
    said = "all are the fallback's" if fallbacks else "the cache has no answer of 'm'"
    assert said in refused(capsys, *words, "--offline")
    assert {path.suffix for path in tmp_path.iterdir()} <= {".sqlite", ".sqlite-shm", ".sqlite-wal"}


def test_an_audit_overwrites_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        assert call("users", "audit", *FEW, "--seed", seed) == 0
    first, second = (json.loads((tmp_path / "runs" / name / "audit.json").read_text()) for name in
                     ("users-audit", "users-audit-2"))  # fmt: skip
    assert (first["seed"], second["seed"]) == (0, 1)
    capsys.readouterr()
    assert "choose another --out" in refused(capsys, *FEW, "--seed", 2, "--out", "runs/users-audit")
    assert json.loads((tmp_path / "runs" / "users-audit" / "audit.json").read_text()) == first


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


def test_help_says_who_rates_unless_told(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call("users", "audit", "--help") == 0
    printed = capsys.readouterr().out
    assert "(default: all presets: average, " in printed
    assert "(default: )" not in printed


def test_help_names_the_command(capsys):
    assert call("users", "--help") == 0
    assert "audit" in capsys.readouterr().out

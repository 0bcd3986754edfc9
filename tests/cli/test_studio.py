import sys

import pytest

from netdiffuse.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "0"], "port must be an integer of at least 1"),
        (["--port", "70000"], "port must be an integer of at most 65535"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0 opens the studio to others"),
    ],
)
def test_bad_words(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("NETDIFFUSE_PASSWORD", raising=False)
    with pytest.raises(SystemExit) as end:
        main(["studio", "--runs", str(tmp_path / "runs"), "--no-browser", *words])
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert not (tmp_path / "runs").exists()


def test_without_the_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    monkeypatch.setenv("NICEGUI_STORAGE_PATH", "")  # given back afterwards
    with pytest.raises(SystemExit) as end:
        main(["studio", "--runs", str(tmp_path), "--no-browser"])
    assert end.value.code == 2
    assert "pip install 'netdiffuse[studio]'" in capsys.readouterr().err

import socket
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


def refused(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["studio", "--no-browser", *words])
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_port_in_use_and_a_host_that_is_not_here(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(["--runs", str(tmp_path / "runs"), "--port", port], capsys)
    assert f"nothing can listen at 127.0.0.1, port {port}" in said
    said = refused(["--runs", str(tmp_path / "runs"), "--host", "192.0.2.1", "--password", "p"], capsys)
    assert "nothing can listen at 192.0.2.1" in said
    assert not (tmp_path / "runs").exists()


def test_runs_that_are_a_file(capsys, tmp_path):
    (tmp_path / "runs").write_text("")
    assert "is a file: name a folder" in refused(["--runs", str(tmp_path / "runs"), "--port", "18999"], capsys)

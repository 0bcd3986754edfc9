import ast
import shlex

import pandas as pd
import pytest

from netdiffuse import experiments
from netdiffuse.cli import main
from netdiffuse.studio.inside import look_into
from netdiffuse.studio.repeat import Training, comparison_lines, decision_lines
from netdiffuse.studio.runs import RunStore

ASKED = Training(
    "power-allocation",
    "diffusion-apg",
    {"timesteps": 1024, "seed": 3, "contexts": 100},
    {"batch_size": 64, "schedule": "cosine"},
    {"channels": 4, "gains": "nakagami:2"},
)


def shell(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "netdiffuse"
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert end.value.code == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("repeat")
    shell(ASKED.lines(str(path / "command")).command)
    exec(ASKED.lines(str(path / "python")).python, {})
    return path


def test_the_command_and_the_python_repeat_a_training(root):
    command, python = (experiments.load(root / name) for name in ("command", "python"))
    assert command.config == python.config
    assert command.summary["evaluation"] == python.summary["evaluation"]
    again = Training.of(command.config)
    assert (again.settings, again.problem_args, again.problem) == (ASKED.settings, ASKED.problem_args, ASKED.problem)
    assert again.options.items() >= ASKED.options.items()


def test_a_decision_is_repeated(root, capsys, tmp_path, monkeypatch):
    inside = look_into(str(root / "command"))
    context = inside.sample(seed=1)
    look = inside.look(context, None)
    lines = decision_lines(str(root / "command"), None, inside.shaped(context), inside.names)
    exec(lines.python, {})
    printed = capsys.readouterr().out
    assert f"{look.steps[-1][0]:.4f}" in printed
    monkeypatch.chdir(tmp_path)
    table, decide = lines.command.splitlines()
    _, form, header, row, _, file = shlex.split(table.replace("> ", "'>' "))
    (tmp_path / file).write_text(f"{header}\n{row}\n")
    assert form == "%s\\n"
    shell(decide)
    assert pd.read_csv("decision.csv").iloc[0].to_list() == pytest.approx(look.steps[-1], abs=1e-4)


def test_a_comparison_is_repeated(root, capsys):
    records = RunStore(root).scan()
    exec(comparison_lines([str(record.path) for record in records]).python, {})
    assert "diffusion-apg:batch_size=64:schedule=cosine" in capsys.readouterr().out


def test_python_is_python():
    for lines in (ASKED.lines("it's here"), comparison_lines(["a b", "c"]), decision_lines("r", 0, [1.0], ["gain_0"])):
        ast.parse(lines.python)
        assert "'\"'\"'" in lines.command or "it's" not in lines.command


def test_the_seeds_of_several_runs():
    assert ASKED.with_seed(7).options == {"timesteps": 1024, "seed": 7, "contexts": 100}

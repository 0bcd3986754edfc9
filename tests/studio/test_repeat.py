import ast
import json
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from netdiffuse import experiments
from netdiffuse.cli import main
from netdiffuse.studio.comparison import Chosen
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


def test_a_run_that_has_learned_from_ratings_says_so(root):
    config = experiments.load(root / "command").config
    lines = Training.lines_of(config, "again", "rated by people.sqlite")
    assert lines.command.endswith(Training.of(config).lines("again").command)
    told = "# netdiffuse train --resume again --ratings 'rated by people.sqlite' --timesteps 1024\n"
    assert told in lines.command
    assert told in lines.python
    assert compile(lines.python, "lines", "exec")
    assert Training.lines_of(config, "again") == Training.of(config).lines("again")


def printed_by(python: str) -> list[list[float]]:
    """The rows that a program prints."""
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, check=True)
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def one_step(tmp_path_factory):
    path = tmp_path_factory.mktemp("repeat") / "ppo"
    settings = {"n_steps": 8, "batch_size": 32}
    experiments.train("power-allocation", "ppo", timesteps=128, n_envs=8, contexts=50, settings=settings, out=path)
    return path


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    path = tmp_path_factory.mktemp("repeat") / "services"
    experiments.train("aigc-services", "d2sac", timesteps=256, contexts=1, out=path, problem_args={"horizon": 1e5})
    return str(path)


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("name", ["command", "ppo"])
def test_the_python_prints_what_is_shown(root, one_step, name, seed):
    path = str(root / "command" if name == "command" else one_step)
    inside = look_into(path)
    context = inside.sample(seed=1)
    look = inside.look(context, seed)
    assert inside.look(context, seed) == look
    lines = decision_lines(path, seed, inside.shaped(context), inside.names, diffusion=inside.diffusion)
    assert np.array(printed_by(lines.python)) == pytest.approx(np.array(look.steps), abs=1e-5)
    assert lines.command.startswith("#") == (seed is not None)  # no command draws from a seed


def test_every_seed_is_repeated(tmp_path):
    asked = Training("power-allocation", "ppo", {"timesteps": 64, "n_envs": 8, "contexts": 10}, {"n_steps": 8})
    outs = {seed: str(tmp_path / f"s{seed}") for seed in (3, 4)}
    lines = asked.lines_of_seeds(outs)
    exec(lines.python, {})
    assert [experiments.load(out).config.seed for out in outs.values()] == [3, 4]
    commands = [shlex.split(line) for line in lines.command.splitlines()]
    assert [(words[words.index("--seed") + 1], words[-1]) for words in commands] == [
        (str(seed), out) for seed, out in outs.items()
    ]
    assert asked.lines_of_seeds({3: "x"}) == asked.with_seed(3).lines("x")


def test_the_command_decides_as_the_deterministic_chain(root, tmp_path, monkeypatch):
    inside = look_into(str(root / "command"))
    context = inside.sample(seed=1)
    look = inside.look(context, None)
    lines = decision_lines(str(root / "command"), None, inside.shaped(context), inside.names)
    monkeypatch.chdir(tmp_path)
    table, decide = lines.command.splitlines()
    _, form, header, row, _, file = shlex.split(table.replace("> ", "'>' "))
    (tmp_path / file).write_text(f"{header}\n{row}\n")
    assert form == "%s\\n"
    shell(decide)
    assert pd.read_csv("decision.csv").iloc[0].to_list() == pytest.approx(look.steps[-1], abs=1e-4)


def test_a_comparison_is_repeated(root):
    chosen = Chosen(RunStore(root).scan())
    runs = {str(root / name): f"mine {name}" for name in chosen.names}
    python = comparison_lines(runs).python + "    print([method.mean, method.worst])\n"
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, check=True)
    found = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert found == [[row["optimality_percent"]] * 2 for row in chosen.rows]


def test_the_command_judges_each_run_of_a_comparison(root, capsys):
    for record in RunStore(root).scan():
        chosen, run = Chosen([record]), str(record.path)
        assert chosen.contexts == [100]  # fewer than usual
        shell(comparison_lines({run: "mine"}, {run: chosen.contexts[0]}).command + " --json")
        judged = json.loads(capsys.readouterr().out)
        assert judged["optimality_percent"] == pytest.approx(record.summary["evaluation"]["optimality_percent"])


@pytest.mark.parametrize("seed", [None, 5])
def test_probabilities_of_providers_are_repeated(services, seed):
    inside = look_into(services)
    context = inside.sample(seed=1)
    lines = decision_lines(services, seed, inside.shaped(context), inside.names, inside.one_shot, inside.diffusion)
    assert np.array(printed_by(lines.python)) == pytest.approx(np.array(inside.look(context, seed).steps), abs=1e-5)


def test_python_is_python():
    for lines in (
        ASKED.lines("it's here"),
        comparison_lines({"a b": "m", "c": "it's"}),
        decision_lines("r", 0, [1.0], ["gain_0"]),
    ):
        ast.parse(lines.python)
        assert "'\"'\"'" in lines.command or "it's" not in lines.command


def test_the_seeds_of_several_runs():
    assert ASKED.with_seed(7).options == {"timesteps": 1024, "seed": 7, "contexts": 100}

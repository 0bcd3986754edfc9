import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from netdiffuse.cli import main
from netdiffuse.cli.output import console, show_evaluation, table_of
from netdiffuse.experiments import Report, self_test
from netdiffuse.experiments.config import short_name
from netdiffuse.experiments.progress import ProgressLine, describe

FAST = ["--timesteps", "256", "--n-envs", "8", "--contexts", "100", "--threads", "1"]
SETTINGS = ["--set", "n_steps=8", "--set", "batch_size=32"]
EVALUATION_KEYS = {
    "contexts",
    "utility_mean",
    "reference_mean",
    "blind_mean",
    "optimality_percent",
    "gap_closed_percent",
    "regret_mean",
    "saturation_percent",
    "baselines",
}
OWN = """
import torch
from netdiffuse.problems import Problem
from netdiffuse.problems.feasible import Box

class Echo(Problem):
    def __init__(self, size: int = 2):
        self.context_shape = (size,)
        self.feasible = Box(0.0, 1.0, (size,))
    def sample_contexts(self, n, generator):
        return torch.rand(n, *self.context_shape, generator=generator)
    def utility(self, contexts, decisions):
        return -(contexts - decisions).square().sum(-1)
"""


def call(*words) -> int:
    """Run a command in this process, and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert isinstance(end.value.code, int)
    return end.value.code


def spawn(*words, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netdiffuse", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    assert call("train", "power-allocation", "--algorithm", "ppo", *FAST, *SETTINGS, "--out", path) == 0
    return path


def test_train_prints_the_policy_among_the_rules_and_draws_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert call("train", "power-allocation", "--algorithm", "ppo", *FAST, *SETTINGS, "--seed", 5) == 0
    out = capsys.readouterr().out
    for word in ("ppo on power-allocation, seed 5", "reference", "equal", "blind", "gap closed", "figure"):
        assert word in out
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "power-allocation-ppo-s5",
        "power-allocation-ppo-s5-2",
    ]
    figures = {p.name for p in Path("runs/power-allocation-ppo-s5/figures").iterdir()}
    assert figures == {"learning_curve.png", "decisions.png", "regret.png"}


def test_train_json_is_the_summary_alone(tmp_path, capsys):
    words = ["--algorithm", "ppo", *FAST, *SETTINGS, "--out", tmp_path / "r", "--problem-set", "channels=4"]
    assert call("train", "power-allocation", *words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "r" / "summary.json").read_text())
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["problem_args"] == {"channels": 4}
    assert config["settings"] == {"n_steps": 8, "batch_size": 32}


def test_evaluate_json_is_the_evaluation_alone(run, capsys):
    assert call("evaluate", run, "--contexts", 100, "--json") == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert set(evaluation) == EVALUATION_KEYS
    assert evaluation == json.loads((run / "summary.json").read_text())["evaluation"]
    assert call("evaluate", run, "--contexts", 100, "--seed", 9) == 0
    assert "gap closed" in capsys.readouterr().out


def test_decide_writes_powers_that_sum_to_the_total(run, tmp_path):
    names = [f"gain_{i}" for i in range(10)]
    pd.DataFrame(torch.rand(20, 10).numpy(), columns=names).to_csv(tmp_path / "gains.csv", index=False)
    assert call("decide", run, tmp_path / "gains.csv", "--out", tmp_path / "powers.csv") == 0
    powers = pd.read_csv(tmp_path / "powers.csv")
    assert list(powers) == [f"power_{i}" for i in range(10)]
    assert powers.sum(axis=1).to_list() == pytest.approx([10] * 20, rel=1e-4)
    assert call("decide", run, tmp_path / "gains.csv", "--out", tmp_path / "powers.csv", "--overwrite") == 0


def test_plot_draws_anew(run, capsys):
    (run / "figures" / "regret.png").unlink()
    assert call("plot", run) == 0
    paths = capsys.readouterr().out.split()
    assert str(run / "figures" / "regret.png") in paths
    assert all(Path(p).stat().st_size > 10_000 for p in paths)


def test_problems_and_algorithms_are_listed(capsys):
    assert call("problems") == 0
    assert "power-allocation-permuted" in capsys.readouterr().out
    assert call("problems", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["context_shape"] == [10]
    assert call("algorithms") == 0
    assert "best-single" in capsys.readouterr().out
    assert call("algorithms", "sac", "--json") == 0
    settings = {s["name"]: s for s in json.loads(capsys.readouterr().out)}
    assert settings["batch_size"]["type"] == "int"
    assert settings["batch_size"]["help"]


def test_a_problem_in_a_file_of_ones_own_trains_from_any_folder(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    words = ["--algorithm", "ppo", *FAST, *SETTINGS, "--problem-set", "size=3", "--out", "r"]
    assert call("train", "mine.py:Echo", *words) == 0
    assert "no reference" in capsys.readouterr().out
    monkeypatch.chdir("/")
    assert call("evaluate", tmp_path / "r", "--contexts", 10, "--json") == 0
    assert json.loads(capsys.readouterr().out)["optimality_percent"] is None


def test_interrupted_training_saves_everything_exits_130_and_resumes(tmp_path):
    words = ["train", "power-allocation", "--algorithm", "ppo", "--timesteps", 2560, "--n-envs", 8]
    process = spawn(*words, "--threads", 1, "--contexts", 100, *SETTINGS, "--out", tmp_path / "r")
    assert process.stderr is not None
    assert "optimality" in process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "go on with: netdiffuse train --resume" in errors
    assert "Traceback" not in errors
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["timesteps"] < 2560
    assert call("train", "--resume", tmp_path / "r", "--contexts", 100) == 0
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["timesteps"] == 2560


def test_compare_prints_a_table_and_where_its_figures_are(tmp_path, capsys):
    words = ["--methods", "equal,blind,random", "--seeds", "0,1", "--out", tmp_path / "c"]
    assert call("compare", "power-allocation", *words) == 0
    out = capsys.readouterr().out
    for word in ("method", "mean", "95% interval", "worst", "time to 99.9%", "blind", "comparison.png"):
        assert word in out
    rows = json.loads((tmp_path / "c" / "results.json").read_text())
    assert [(r["method"], r["seed"]) for r in rows] == [
        (method, seed) for method in ("equal", "blind", "random") for seed in (0, 1)
    ]
    assert call("plot", tmp_path / "c") == 0


def test_doctor_examines_and_trains(capsys):
    assert call("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["self_test"]["passed"] is True
    assert set(found) == {"versions", "platform", "cores", "threads", "device", "extras", "self_test"}


def test_doctor_that_is_interrupted_says_so(monkeypatch):
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(self_test, "train", functools.partial(self_test.train, stop=stopped))
    assert call("doctor", "--json") == 130


@pytest.mark.parametrize("words", [["algorithms", "ppo", "--json"], ["algorithms", "ppo"], ["--help"]])
def test_a_reader_that_has_had_enough_is_told_nothing(words):
    process = spawn(*words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1
    process.stderr.close()


def test_an_interrupt_while_the_command_line_is_imported_is_silent(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.__import__", interrupt)
    try:
        with pytest.raises(SystemExit) as end:
            main(["problems"])
    finally:
        monkeypatch.undo()
    assert end.value.code == 130
    assert capsys.readouterr().err == ""


def test_what_looks_like_markup_is_printed_as_it_is(run, tmp_path, capsys):
    assert call("algorithms", "ppo") == 0
    assert "dict[str, Any] | None" in capsys.readouterr().out
    words = ["--algorithm", "ppo", *FAST, *SETTINGS, "--out", tmp_path / "a[/b]c:smile:"]
    assert call("train", "power-allocation", *words) == 0
    assert f"run      {tmp_path}/a[/b]c:smile:" in capsys.readouterr().out
    method = "ppo:n_steps=8:batch_size=32:policy_kwargs={'net_arch':[8]}"
    table = table_of("method")
    table.add_row(method)
    console().print(table)
    assert method in capsys.readouterr().out


def test_json_stands_alone_whatever_a_users_file_prints(tmp_path, capsys):
    chatty = OWN.replace("        return -(", "        print('hello')\n        return -(")
    (tmp_path / "chatty.py").write_text("print('loaded')\n" + chatty)
    words = ["--algorithm", "ppo", *FAST, *SETTINGS, "--out", tmp_path / "r", "--json"]
    assert call("train", f"{tmp_path}/chatty.py:Echo", *words) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["algorithm"] == "ppo"
    assert {"loaded", "hello"} <= set(captured.err.split())
    assert call("evaluate", tmp_path / "r", "--contexts", 10, "--json") == 0
    assert json.loads(capsys.readouterr().out)["contexts"] == 10


def test_decide_shows_a_bar_on_a_terminal_alone(run, tmp_path, monkeypatch, capsys):
    names = [f"gain_{i}" for i in range(10)]
    pd.DataFrame(torch.rand(30, 10).numpy(), columns=names).to_csv(tmp_path / "gains.csv", index=False)
    words = ["decide", run, tmp_path / "gains.csv", "--out", tmp_path / "powers.csv", "--overwrite"]
    assert call(*words) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # how rich is told that it writes to a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert call(*words) == 0
    captured = capsys.readouterr()
    assert captured.out == f"30 decisions in {tmp_path / 'powers.csv'}\n"
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", captured.err)
    assert "100%" in shown
    assert "30 decisions" in shown


REFUSED_AT_ONCE = [
    ["denoise", "rate", "a", "--rating", "9"],
    ["denoise", "rate", "a", "--rating", "3", "--delay", "-1"],
    ["denoise", "rate", "a", "--rating", "3", "--token", "ü"],
    ["denoise", "rate", "a", "--persona", "nobody", "--quality", "1", "--delay", "1", "--energy-share", "0"],
    ["denoise", "rate", "a", "--persona", "frugal", "--quality", "2", "--delay", "1", "--energy-share", "0"],
    ["denoise", "rate", "a", "--rating", "3", "--server", "localhost:8000"],
    ["denoise", "device", "--prompt", "a", "--server", "localhost:8000"],
    ["denoise", "device", "--prompt", "a", "--persona", "nobody"],
    ["denoise", "device", "--prompt", "a", "--battery", "60"],
    ["denoise", "device", "--prompt", "a", "--gain-db", "105"],
    ["denoise", "serve", "--host", "192.0.2.1", "--token", "t"],
    ["train", "--resume", "nowhere"],
    ["train", "--resume", ".", "--ratings", "nothing.sqlite"],
]


def test_what_is_cheap_to_refuse_needs_no_torch(tmp_path):
    code = f"""
import sys
from netdiffuse.cli import main
for words in {REFUSED_AT_ONCE}:
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 2, words
    assert not {{"torch", "stable_baselines3", "diffusers"}} & set(sys.modules), words
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(REFUSED_AT_ONCE)


COMMANDS = ["train", "evaluate", "compare", "plot", "decide", "studio", "users audit"]
COMMANDS += [f"denoise {name}" for name in ("split", "study", "serve", "device", "rate")]


@pytest.mark.parametrize("command", COMMANDS)
def test_placeholders_say_what_is_wanted(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call(*command.split(), "--help") == 0
    printed = capsys.readouterr().out
    assert not re.findall(r"^.*\b(?:STR|PATH)\b.*$", printed, re.MULTILINE)
    wanted = {"url": "URL", "server": "URL", "reason": "TEXT", "password": "TEXT", "token": "TOKEN", "cache": "FILE"}
    for option, placeholder in re.findall(r"^\W*--(?:\w+-)?(\w+) ([A-Z_]+)\b", printed, re.MULTILINE):
        assert placeholder == wanted.get(option, placeholder), option


def test_help_needs_no_torch():
    code = "import sys; from netdiffuse.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'stable_baselines3' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


OWN_SET = (
    OWN.replace("import Box", "import Box as Base")
    + """
class Box(Base):
    pass
"""
)


def test_a_run_with_a_feasible_set_of_ones_own_opens_in_a_new_process(tmp_path):
    (tmp_path / "own_set.py").write_text(OWN_SET)
    words = ["--algorithm", "diffusion-apg", "--timesteps", 64, "--contexts", 10, "--threads", 1]
    assert call("train", f"{tmp_path}/own_set.py:Echo", *words, "--out", tmp_path / "r") == 0
    process = spawn("evaluate", tmp_path / "r", "--contexts", 10, "--json")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(out)["contexts"] == 10


def test_what_the_system_refuses_is_one_line(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    words = ["--algorithm", "ppo", *FAST, *SETTINGS]
    assert call("train", "power-allocation", *words, "--out", tmp_path / "file" / "r") == 2
    assert "Not a directory" in capsys.readouterr().err.splitlines()[-1]


def test_a_policy_worse_than_chance_is_called_so(tmp_path, capsys):
    show_evaluation("sac", WORSE)
    assert "sac is below random: it has learned nothing yet" in capsys.readouterr().out
    show_evaluation("sac", WORSE | {"optimality_percent": 70.0})
    assert "below" not in capsys.readouterr().out


WORSE = {
    "contexts": 10, "utility_mean": 1.0, "reference_mean": 2.0, "blind_mean": 1.5, "optimality_percent": 50.0,
    "gap_closed_percent": -100.0, "regret_mean": 1.0, "saturation_percent": 0.0,
    "baselines": {"equal": 75.0, "random": 60.0},
}  # fmt: skip


def test_the_progress_line_says_what_is_not_training(capsys):
    report = Report(1.0, 3.0, 0.0, 640, 213.0, {"optimality_percent": 99.0}, True)
    assert describe(report).endswith("evaluating")
    with ProgressLine(Console(file=sys.stdout)) as line:
        line.say("drawing figures")
    assert capsys.readouterr().out == "drawing figures\n"


def test_a_problem_in_a_file_goes_by_its_short_name():
    assert short_name("/home/me/very/deep/efficiency.py:Efficiency") == "efficiency.py:Efficiency"
    assert short_name("package.module:Class") == "package.module:Class"
    assert short_name("power-allocation") == "power-allocation"

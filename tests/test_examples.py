"""Every example runs, briefly, as a user would run it, and says what it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
BRIEF = {
    "quickstart": ["--seconds", "1"],
    "own_problem": ["--seconds", "0.5"],
    "sb3_ppo": ["--timesteps", "10000"],
    "expert_data": ["--rows", "2000", "--timesteps", "12800"],
    "candidates": ["--seconds", "1"],
    "edge_services": ["--timesteps", "4000"],
    "foreign_environment": ["--timesteps", "720", "--episodes", "2"],
}


def run(name: str, folder: Path) -> str:
    command = [sys.executable, EXAMPLES / f"{name}.py", *BRIEF[name]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def percents(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+)%", text)]


def test_every_example_is_tested_and_short():
    scripts = {path.stem: path for path in EXAMPLES.glob("*.py")}
    assert set(scripts) == set(BRIEF)
    for path in scripts.values():
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path


def test_quickstart_learns_and_decides(tmp_path):
    said = run("quickstart", tmp_path)
    assert percents(said)[0] > 84  # the equal split
    assert "10.00 W in all" in said
    figures = re.findall(r"figure +(\S+)", said)
    assert len(figures) == 4
    assert all((tmp_path / path).is_file() for path in figures)


def test_own_problem_is_learned_by_both_algorithms(tmp_path):
    said = run("own_problem", tmp_path)
    pairs = re.findall(r"([\d.]+) bit/J/Hz, best constant ([\d.]+)", said)
    assert len(pairs) == 2
    assert all(float(learned) > 0 for learned, _ in pairs)
    assert float(pairs[1][0]) > float(pairs[1][1])  # by the utility's gradient, half a second beats any constant
    assert len(list(tmp_path.glob("runs/*/figures/decisions.png"))) == 2


def test_sb3_ppo_learns_on_our_environments(tmp_path):
    said = run("sb3_ppo", tmp_path)
    assert "the episode is over: True" in said
    before, after, _ = percents(said)
    assert after > before


def test_expert_data_is_cloned(tmp_path):
    log, policy, equal = percents(run("expert_data", tmp_path))
    assert 98 < log < 99
    assert policy > 95 > equal


def test_more_candidates_are_never_worse(tmp_path):
    one, eight, best = percents(run("candidates", tmp_path))
    assert one <= eight <= best


def test_foreign_environment_is_learned_in(tmp_path):
    assert "after 720 timesteps" in run("foreign_environment", tmp_path)


def test_edge_services_are_told_beside_the_rules(tmp_path):
    said = run("edge_services", tmp_path)
    returns = dict(re.findall(r"^(\S+) +(-?[\d.]+) ", said, flags=re.MULTILINE))
    assert set(returns) == {"d2sac", "random", "round-robin", "crash-avoid", "prophet"}
    assert float(returns["d2sac"]) > float(returns["random"])
    assert "% of the tasks" in said

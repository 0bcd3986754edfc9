import subprocess
import sys
from pathlib import Path

import pytest
import torch

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.problems import (
    PRESETS,
    InterferenceChannel,
    PowerAllocation,
    make_problem,
    problem_names,
    recommended_policy,
)
from netdiffuse.registration import ENVIRONMENTS

OWN = '''
import torch

from netdiffuse.problems import Box, PowerAllocation, Problem


class Follow(Problem):
    """Decide what the context says."""

    structure = "entities"

    def __init__(self, size: int, width: float = 1.0) -> None:
        self.context_shape = (size,)
        self.feasible = Box(-width, width, (size,))

    def sample_contexts(self, n, generator):
        return torch.randn(n, *self.context_shape, generator=generator)

    def utility(self, contexts, decisions):
        return -(contexts - decisions).square().sum(-1)


class Half(Problem):
    def sample_contexts(self, n, generator):
        return torch.zeros(n, 1)


class Stranger:
    pass
'''


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_problem.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_whole(name: str) -> None:
    problem = make_problem(name)
    contexts = problem.check_contexts(problem.sample_contexts(8, generator(0)))
    assert contexts.shape == (8, *problem.context_shape)
    reference = problem.reference(contexts)
    assert problem.feasible.contains(reference).all()
    assert problem.utility(contexts, reference).shape == (8,)
    assert len(problem.context_names) == contexts[0].numel()
    assert name in ENVIRONMENTS.values()
    assert recommended_policy(name) == PRESETS[name].policy
    assert PRESETS[name].description


def test_names_environments_and_policies() -> None:
    assert problem_names() == [
        "power-allocation",
        "power-allocation-gdmopt",
        "power-allocation-deep-fade",
        "power-allocation-permuted",
        "interference-channel",
    ]
    assert set(ENVIRONMENTS) == {
        "PowerAllocation",
        "PowerAllocationGDMOPT",
        "PowerAllocationDeepFade",
        "PowerAllocationPermuted",
        "InterferenceChannel",
    }
    assert {recommended_policy(name) for name in problem_names()} == {"EquivariantPolicy"}


def test_arguments_override_the_presets() -> None:
    problem = make_problem("power-allocation-gdmopt", channels=4, noise_power=2.0)
    assert isinstance(problem, PowerAllocation)
    assert (problem.channels, problem.total_power, problem.noise_power) == (4, 3.0, 2.0)
    links = make_problem("interference-channel", links=3)
    assert isinstance(links, InterferenceChannel)
    assert links.links == 3


def test_unknown_names_and_arguments() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown problem 'power-alocation'.*Did you mean 'power-allocation'"):
        make_problem("power-alocation")
    with pytest.raises(UnknownNameError, match="unknown problem 'nothing'"):
        recommended_policy("nothing")
    with pytest.raises(
        InvalidValueError, match=r"'power-allocation' has no argument 'chanels'; it takes channels, tot"
    ):
        make_problem("power-allocation", chanels=3)


def test_a_problem_of_ones_own_from_a_file(own_file: Path) -> None:
    problem = make_problem(f"{own_file}:Follow", size=3, width=2.0)
    assert problem.feasible.decode(torch.ones(1, 3)).tolist() == [[2.0, 2.0, 2.0]]
    assert recommended_policy(f"{own_file}:Follow") == "EquivariantPolicy"
    own_file.write_text(OWN.replace("Box(-width, width", "Box(-width, 5 * width"))
    assert float(make_problem(f"{own_file}:Follow", size=1).feasible.decode(torch.ones(1))) == 5.0


def test_a_problem_of_ones_own_from_a_module(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(own_file.parent)
    assert make_problem("my_problem:Follow", size=2).context_shape == (2,)
    assert isinstance(make_problem("netdiffuse.problems:PowerAllocation"), PowerAllocation)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "{path}:Folow",
            "'Folow' in .* is not a subclass of .*Problem; the problems there: Follow, Half",
        ),
        ("{path}:Stranger", "is not a subclass"),
        ("{path}:Half", "incomplete: define utility"),
        ("{path}:Follow", "needs a value for size"),
        ("missing.py:Follow", "there is no file missing.py"),
        ("no.such.module:Follow", "there is no module 'no.such.module'"),
        (":Follow", "there is no module ''"),
        (".relative:Follow", "there is no module '.relative'"),
    ],
)
def test_places_that_hold_no_problem(name: str, message: str, own_file: Path) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make_problem(name.format(path=own_file))


def test_errors_in_a_users_file_are_theirs_to_see(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        make_problem(f"{path}:Follow")
    assert "netdiffuse_user_broken" not in sys.modules


def test_importing_the_room_draws_no_random_numbers_and_loads_no_trainer() -> None:
    code = (
        "import sys, torch; state = torch.get_rng_state(); import netdiffuse.problems; "
        "assert torch.equal(state, torch.get_rng_state()); "
        "assert 'stable_baselines3' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

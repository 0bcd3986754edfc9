import inspect

import pytest

from netdiffuse.algorithms import ALGORITHMS
from netdiffuse.baselines import LEARNERS
from netdiffuse.common import UnknownNameError
from netdiffuse.experiments.methods import method_settings
from netdiffuse.problems.power_allocation import PowerAllocation
from netdiffuse.problems.registry import PRESETS
from netdiffuse.registration import SEQUENTIAL
from netdiffuse.studio.fields import algorithm_fields, entered, option_fields, problem_fields, refusal
from netdiffuse.studio.repeat import Training


@pytest.mark.parametrize("name", [*ALGORITHMS, *LEARNERS])
def test_the_form_has_every_setting_of_the_command_line_with_its_help_and_default(name):
    settings = {setting.name: setting for setting in method_settings(name)}
    fields = {field.name: field for field in algorithm_fields(name)}
    assert list(fields) == list(settings)
    for field in fields.values():
        assert settings[field.name].help in field.hint or settings[field.name].help.rstrip(". ") in field.hint
        if field.kind != "text":  # a default that is offered must be taken
            assert field.error(field.default) is None


def test_the_fields_of_a_problem_are_its_constructors_arguments():
    fields = {field.name: field for field in problem_fields("power-allocation-gdmopt")}
    assert list(fields) == list(inspect.signature(PowerAllocation).parameters)
    assert fields["total_power"].default == "3.0"  # the preset's
    assert [field.name for field in problem_fields("aigc-services")][:2] == ["instance", "providers"]
    assert problem_fields("Pendulum-v1") == []
    sharing = {field.name: field for field in problem_fields("shared-denoising")}
    assert (sharing["users"].default, sharing["outcome"].choices) == ("8", ("table", "pictures"))
    assert sharing["show_personas"].kind == "switch"
    assert sharing["slots"].error("0") == "slots must be an integer of at least 1, got 0"
    assert all(problem_fields(name) for name in (*PRESETS, *SEQUENTIAL.values()))  # the form can set what can be set
    assert all(field.help for name in (*PRESETS, *SEQUENTIAL.values()) for field in problem_fields(name))
    with pytest.raises(UnknownNameError):
        problem_fields("no-such")


@pytest.mark.parametrize(
    ("fields", "name", "text", "said"),
    [
        (lambda: algorithm_fields("gddpg"), "batch_size", "0", "must be in [1, 1e+06]"),
        (lambda: algorithm_fields("gddpg"), "batch_size", "many", "must be int"),
        (lambda: algorithm_fields("gddpg"), "learning_rate", "1e999", "must be finite"),
        (lambda: problem_fields("power-allocation"), "channels", "0", "at least 1"),
        (lambda: problem_fields("power-allocation"), "total_power", "-1", "must be positive"),
        (lambda: problem_fields("power-allocation"), "scale", "1e39", "scale must be at most 1e+06"),
        (lambda: option_fields("gddpg"), "seconds", "0", "must be positive"),
        (lambda: option_fields("gddpg"), "seed", "-1", "at least 0"),
        (lambda: option_fields("sac"), "policy", "EquivariantPolicy", "sac comes with MlpPolicy alone"),
    ],
)
def test_a_bad_value_is_refused(fields, name, text, said):
    field = next(field for field in fields() if field.name == name)
    assert said in field.error(text)
    assert field.error("") is None
    assert field.error("  ") is None


def test_whatever_a_value_makes_a_problem_raise_is_said_beside_it(tmp_path):
    (tmp_path / "own.py").write_text(
        "from netdiffuse.problems.power_allocation import PowerAllocation\n\n\n"
        "class Own(PowerAllocation):\n"
        "    def __init__(self, share: float = 1.0):\n"
        "        super().__init__(total_power=1 / share)\n"
    )
    problem = f"{tmp_path / 'own.py'}:Own"
    (field,) = problem_fields(problem)
    assert field.error("0.5") is None
    assert "share=0.0: ZeroDivisionError: float division by zero" in field.error("0.0")
    assert "ZeroDivisionError" in refusal(Training(problem, "gddpg", problem_args={"share": 0.0}))


def test_a_problem_too_large_for_the_page_is_left_to_its_run():
    channels = next(field for field in problem_fields("power-allocation") if field.name == "channels")
    assert channels.error("100000000") is None  # making it would take all memory


def test_what_is_entered_are_values():
    fields = {field.name: field for field in algorithm_fields("gddpg")}
    texts = {"batch_size": "32", "learning_rate": "1e-3", "actor": "mlp", "gamma": "", "policy_kwargs": "{'width': 8}"}
    assert entered(fields, texts) == {
        "batch_size": 32,
        "learning_rate": 0.001,
        "actor": "mlp",
        "policy_kwargs": {"width": 8},
    }


def test_a_training_is_refused_as_a_whole():
    assert refusal(Training("power-allocation", "gddpg", {"seconds": 1.0})) is None
    assert "sudden" in refusal(Training("power-allocation", "gddpg", settings={"schedule": "sudden"}))
    assert "aigc-services" in refusal(Training("aigc-services", "gddpg")) or refusal(Training("aigc-services", "gddpg"))
    assert "no-such" in refusal(Training("no-such", "gddpg"))

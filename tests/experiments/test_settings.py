from typing import Literal

import pytest

from netdiffuse.algorithms import ALGORITHMS
from netdiffuse.baselines import LEARNERS, n_envs
from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.experiments.methods import (
    check_method_settings,
    check_trainable,
    is_rule,
    method_names,
    method_settings,
)
from netdiffuse.experiments.settings import check_settings, parse_assignments, settings_of
from netdiffuse.experiments.tasks import make_task


class Parent:
    """A parent.

    Args:
        hidden: units of a layer.
    """

    def __init__(self, hidden: int = 256, rate: float = 1e-3) -> None:
        """Make it.

        Args:
            hidden: units of a layer.
            rate: how fast
                it learns.
        """


class Child(Parent):
    """A child.

    Args:
        mode: how it acts.
        clip: bound of the gradient, or None.
    """

    def __init__(
        self,
        policy: str,
        env: object,
        mode: Literal["a", "b"] = "a",
        clip: float | None = None,
        seed: int = 0,
        layers: tuple[int, ...] = (8,),
        on: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)


def test_settings_come_from_signatures_and_docstrings_up_to_the_parent():
    found = {s.name: s for s in settings_of(Child)}
    assert list(found) == ["mode", "clip", "layers", "on", "hidden", "rate"]
    assert found["mode"].type_name == "'a' | 'b'"
    assert found["clip"].type_name == "float | None"
    assert found["layers"].type_name == "tuple[int, ...]"
    assert found["clip"].help == "bound of the gradient, or None."
    assert found["rate"].help == "how fast it learns."
    assert found["rate"].default == 1e-3


def test_good_settings_pass():
    values = {"mode": "b", "clip": 1, "rate": 0.5, "layers": [4, 4], "on": False}
    assert check_settings("child", values, settings_of(Child)) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mdoe": "a"}, "Did you mean 'mode'"),
        ({"seed": 1}, "unknown setting of child 'seed'"),
        ({"mode": "c"}, "mode of child must be 'a' | 'b', got 'c'"),
        ({"hidden": 2.5}, "hidden of child must be int, got 2.5"),
        ({"hidden": True}, "hidden of child must be int, got True"),
        ({"clip": "big"}, "clip of child must be float | None"),
        ({"layers": ["x"]}, "layers of child"),
        ({"on": 1}, "on of child must be bool"),
    ],
)
def test_bad_settings_are_refused_by_name(values, message):
    with pytest.raises((UnknownNameError, InvalidValueError)) as error:
        check_settings("child", values, settings_of(Child))
    assert message in str(error.value)


def test_assignments_are_read_by_their_looks():
    words = ["a=1", "b=1e-3", "c=true", "d=none", "e=mlp", "f=[1, 2]", "g-h=x=y"]
    assert parse_assignments(words) == {
        "a": 1,
        "b": 1e-3,
        "c": True,
        "d": None,
        "e": "mlp",
        "f": [1, 2],
        "g_h": "x=y",
    }


@pytest.mark.parametrize("text", ["{[]:1}", "(" * 300, "-" * 100_000 + "1", "9" * 5000, "1j + x"])
def test_text_that_python_cannot_read_stays_text(text):
    assert parse_assignments([f"a={text}"]) == {"a": text}


@pytest.mark.parametrize("text", ["1e999", "-1e999", "[1, 1e999]", "{'lr': (1e999,)}"])
def test_numbers_that_are_not_finite_are_refused(text):
    with pytest.raises(InvalidValueError, match="--problem-set a must be finite"):
        parse_assignments([f"a={text}"], "--problem-set")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gddpg", {"denoising_steps": 10**8}),
        ("gddpg", {"buffer_size": 10**11}),
        ("diffusion-apg", {"n_candidates": 10**9}),
        ("diffusion-bc", {"policy_kwargs": {"net_arch": [10**9]}}),
        ("ppo", {"n_epochs": 0}),
        ("sac", {"batch_size": 0}),
    ],
)
def test_settings_outside_their_range_are_refused(name, values):
    with pytest.raises(InvalidValueError, match=f"{next(iter(values))}|net_arch"):
        check_method_settings(name, values)


def test_learners_show_what_they_use_for_one_shot_problems():
    for name, learner in LEARNERS.items():
        if learner.actions == "discrete":
            continue
        shown = {s.name: s.default for s in method_settings(name)}
        if learner.rollout is not None:
            assert shown["n_steps"] * n_envs(name) == learner.rollout
        assert ("action coordinates" in str(shown.get("target_entropy"))) == (learner.target_entropy is not None)
        assert ("Gaussian" in str(shown.get("action_noise"))) == (learner.action_noise is not None)
        assert shown["policy_kwargs"]["net_arch"] == [256, 256]


def test_rules_refuse_seeds_that_are_none():
    with pytest.raises(InvalidValueError, match="seed"):
        make_task("power-allocation").score_rule("random", 2**70)


@pytest.mark.parametrize("word", ["a", "=1", "1a=2", "a b=1"])
def test_words_that_assign_nothing_are_refused(word):
    with pytest.raises(InvalidValueError, match="key=value"):
        parse_assignments([word])


def test_a_key_given_twice_is_refused():
    with pytest.raises(InvalidValueError, match="twice"):
        parse_assignments(["a=1", "a=2"])


def test_every_method_describes_its_settings():
    for name in method_names():
        if is_rule(name):
            with pytest.raises(InvalidValueError, match="rule"):
                check_trainable(name)
        else:
            settings = method_settings(name)
            assert settings
            if name in ALGORITHMS:  # what is documented elsewhere is not ours to demand
                assert [s.name for s in settings if not s.help] == []

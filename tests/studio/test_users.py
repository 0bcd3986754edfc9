import shlex

import numpy as np
import pytest

from netdiffuse.cli import main
from netdiffuse.experiments import train
from netdiffuse.studio.charts import radar_chart
from netdiffuse.studio.runs import RunStore
from netdiffuse.studio.users import Crowd, ask, ask_lines, pleased
from netdiffuse.users import PRESETS, Experience, ParametricRater

RECEIVED = Experience("a red apple on a table", 0.9, 3.0, 0.03)


def test_opinions_are_the_raters():
    said = ask(Crowd(), RECEIVED, seed=4)
    assert [one.name for one in said] == list(PRESETS)
    people = list(PRESETS.values())
    drawn = ParametricRater(4).rate(people, [RECEIVED] * len(people))
    assert [one.drawn for one in said] == [opinion.rating for opinion in drawn]
    many = [[one.drawn for one in ask(Crowd(), RECEIVED, seed)] for seed in range(300)]
    np.testing.assert_allclose(np.mean(many, 0), [one.mean for one in said], atol=0.15)


def test_a_crowd_is_drawn_by_its_seed():
    names = [[persona.openness for persona in Crowd(5, seed).personas] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 5


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(3, 2)])
def test_its_lines_repeat_it(crowd, capsys):
    lines = ask_lines(crowd, RECEIVED, seed=7)
    exec(lines.python, {})
    printed = capsys.readouterr().out.strip().splitlines()
    said = ask(crowd, RECEIVED, seed=7)
    assert len(printed) == len(said)
    for line, one in zip(printed, said, strict=True):
        assert line == f"{one.name}: mean opinion {one.mean}, one rating {one.drawn}, {one.reason}"
    note, audit = lines.command.splitlines()
    assert note.startswith("# no command asks for single opinions")
    words = shlex.split(audit)
    assert words[:5] == ["netdiffuse", "users", "audit", "--seed", "7"]
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert end.value.code == 0


def test_how_a_run_pleases_users_is_read_from_its_evaluations(tmp_path):
    settings = {"learning_starts": 64, "batch_size": 32}
    arguments = {"users": 3, "groups": 1, "slots": 2}
    out = tmp_path / "shared"
    run = train(
        "shared-denoising", "gddpg", timesteps=128, settings=settings, problem_args=arguments, n_envs=16, contexts=8,
        out=out,
    )  # fmt: skip
    found = pleased(RunStore(tmp_path).get("shared"))
    assert found is not None
    assert set(found) == set(PRESETS)
    assert found["easygoing"] == pytest.approx(float(run.curve["qoe_easygoing"].iloc[-1]))
    train("power-allocation", "ppo", timesteps=512, out=tmp_path / "power", n_envs=8, contexts=50)
    assert pleased(RunStore(tmp_path).get("power")) is None


def test_a_radar_has_a_corner_a_number():
    options = radar_chart(("a", "b", "c"), {"x": [0.1, 0.2, 0.3], "y": [1, 0, float("nan")]})
    assert [one["name"] for one in options["radar"]["indicator"]] == ["a", "b", "c"]
    assert options["series"][0]["data"][1]["value"] == [1, 0, None]

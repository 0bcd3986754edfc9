"""`netdiffuse problems` and `netdiffuse algorithms`."""

import json
from collections.abc import Mapping
from typing import Any

import tyro

from netdiffuse.cli.arguments import AsJson, Name


def problems(json_: AsJson = False) -> int:
    """List the problems that come with netdiffuse.

    Args:
        json_: print JSON.
    """
    import gymnasium

    from netdiffuse.cli.output import console, table_of
    from netdiffuse.problems.registry import PRESETS, make_problem
    from netdiffuse.registration import ENVIRONMENTS, SEQUENTIAL

    environments = {preset: name for name, preset in ENVIRONMENTS.items()}
    rows: list[dict[str, Any]] = []
    for name, preset in PRESETS.items():
        problem = make_problem(name)
        rows.append(
            {
                "name": name,
                "description": preset.description,
                "context_shape": list(problem.context_shape),
                "decision_shape": list(problem.decision_shape),
                "policy": preset.policy,
                "environment": f"netdiffuse/{environments[name]}-v0",
            }
        )
    for name, word in SEQUENTIAL.items():
        env = gymnasium.make(f"netdiffuse/{name}-v0")
        rows.append(
            {
                "name": word,
                "description": (type(env.unwrapped).__doc__ or "").strip().splitlines()[0],
                "context_shape": list(env.observation_space.shape or ()),
                "decision_shape": list(env.action_space.shape or ()),
                "policy": "MlpPolicy",
                "environment": f"netdiffuse/{name}-v0",
            }
        )
    if json_:
        print(json.dumps(rows))
        return 0
    table = table_of("problem", "context", "policy", "description")
    table.columns[3].justify = "left"
    for row in rows:
        shape = " x ".join(map(str, row["context_shape"]))
        table.add_row(row["name"], shape, row["policy"], row["description"])
    console().print(table)
    print("Also: any Gymnasium id (Pendulum-v1), and a problem of your own as file.py:Class.")
    return 0


def algorithms(
    name: tyro.conf.Positional[Name] = None,
    json_: AsJson = False,
) -> int:
    """List the algorithms and baselines; with a NAME, its settings, for --set.

    Args:
        name: an algorithm.
        json_: print JSON.
    """
    from netdiffuse.cli.output import console, table_of
    from netdiffuse.experiments.methods import describe_methods, method_settings

    if name is None:
        kinds = describe_methods()
        if json_:
            print(json.dumps(kinds))
            return 0
        table = table_of("name", "kind", "what it is")
        for column in table.columns:
            column.justify = "left"
        for row in kinds:
            table.add_row(row["name"], row["kind"], row["description"])
        console().print(table)
        return 0
    settings = method_settings(name)
    if json_:
        print(
            json.dumps(
                [{"name": s.name, "type": s.type_name, "default": _plain(s.default), "help": s.help} for s in settings]
            )
        )
        return 0
    table = table_of("setting", "default", "type", "help")
    for column in table.columns:
        column.justify = "left"
    for s in settings:
        table.add_row(s.name, str(_plain(s.default)), s.type_name, s.help)
    console().print(table)
    return 0


def _plain(value: Any) -> Any:
    """A default as JSON or text shows it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    return getattr(value, "__name__", None) or str(value)

"""The exact lines that repeat what the page does: as Python, and as a command."""

import dataclasses
import pprint
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netdiffuse.experiments.config import Config


@dataclass(frozen=True)
class Lines:
    """How to repeat something.

    Attributes:
        python: a program.
        command: a line for a shell.
    """

    python: str
    command: str


@dataclass(frozen=True)
class Training:
    """A training as it is asked for.

    Attributes:
        problem: a name, "file.py:Class" or a Gymnasium id.
        algorithm: name of the method.
        options: of the training, such as `seconds` and `seed`.
        settings: of the algorithm.
        problem_args: of the problem.
    """

    problem: str
    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    problem_args: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> "Training":
        """What a run was asked for."""
        options: dict[str, Any] = {name: value for name, value in config.budget.items() if value is not None}
        options |= {name: getattr(config, name) for name in ("seed", "policy", "n_envs", "threads")}
        options |= {} if config.device == "auto" else {"device": config.device}
        options |= {} if config.contexts is None else {"contexts": config.contexts}
        return cls(config.problem, config.algorithm, options, config.settings, config.problem_args)

    def with_seed(self, seed: int) -> "Training":
        """The same with another seed."""
        return dataclasses.replace(self, options={**self.options, "seed": seed})

    def words(self, out: str) -> list[str]:
        """For the command line, after `netdiffuse`."""
        words = ["train", self.problem, "--algorithm", self.algorithm]
        for name, value in self.options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        for flag, values in (("--set", self.settings), ("--problem-set", self.problem_args)):
            for name, value in values.items():
                words += [flag, f"{name}={value if isinstance(value, str) else repr(value)}"]
        return [*words, "--out", out]

    def lines(self, out: str) -> Lines:
        """That repeat it, into a folder."""
        arguments = {**self.options}
        arguments |= {name: dict(values) for name in ("settings", "problem_args") if (values := getattr(self, name))}
        call = _call("train", [self.problem, self.algorithm], {**arguments, "out": out})
        return Lines(f"from netdiffuse.experiments import train\n\nrun = {call}\n", command(self.words(out)))


def decision_lines(
    run: str, seed: int | None, context: Sequence[Any], names: Sequence[str], one_shot: bool = True
) -> Lines:
    """That repeat a decision of a run, and its denoising.

    Args:
        run: the run's folder.
        seed: of the noise; None for the deterministic chain.
        context: what was observed.
        names: one an entry of the flattened context.
        one_shot: whether it is a context of a one-shot problem, for which there is a command.
    """
    opened = (
        "import numpy as np\nimport torch\n\nfrom netdiffuse import load\n\n"
        f"run = load({run!r})\n"
        f"context = np.array([{list(context)!r}], dtype=np.float32)\n"
        f"chain = torch.as_tensor(run.model.denoising_trajectory(context, seed={seed}))\n"
    )
    if not one_shot:
        python = opened + "print(run.model.policy.log_probs(chain[:, 0], None).exp())  # from noise to the policy's\n"
        return Lines(python, command(["plot", run]))
    python = (
        opened + "print(run.problem.feasible.decode(chain)[:, 0])  # from noise to the decision\n"
        "print(run.decide(torch.as_tensor(context)))  # the deterministic one\n"
    )
    header, row = ",".join(names), ",".join(format(value, ".9g") for value in _flat(context))
    decide = command(["decide", run, "context.csv", "--out", "decision.csv"])
    return Lines(python, f"printf '%s\\n' {header} {row} > context.csv\n{decide}")


def comparison_lines(runs: Sequence[str]) -> Lines:
    """That repeat a comparison of runs, by their folders."""
    python = (
        "from netdiffuse import load\nfrom netdiffuse.experiments.results import summarise\n"
        "from netdiffuse.experiments.compare import row_of\n\n"
        f"runs = {pprint.pformat(list(runs), width=88)}\n"
        "for method in summarise([row_of(load(run)) for run in runs]):\n    print(method)\n"
    )
    return Lines(python, "\n".join(command(["evaluate", run]) for run in runs))


def command(words: Sequence[str]) -> str:
    """A line for a shell."""
    return shlex.join(["netdiffuse", *words])


def _call(function: str, positional: Sequence[Any], named: Mapping[str, Any]) -> str:
    arguments = [repr(value) for value in positional] + [f"{name}={value!r}" for name, value in named.items()]
    return f"{function}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def _flat(value: Any) -> list[float]:
    return [number for part in value for number in _flat(part)] if isinstance(value, (list, tuple)) else [float(value)]

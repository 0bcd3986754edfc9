"""The exact lines that repeat what the page does: as Python, and as a command."""

import dataclasses
import pprint
import shlex
import textwrap
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

    @classmethod
    def lines_of(cls, config: Config, out: str, ratings: str | None = None) -> Lines:
        """That repeat a run, into a folder; `ratings` is the file that it has learned from on the way."""
        asked = cls.of(config)
        lines = asked.lines(out)
        if ratings is None:
            return lines
        words = ["train", "--resume", out, "--ratings", ratings]
        words += [word for unit, end in config.budget.items() if end is not None for word in (f"--{unit}", str(end))]
        note = f"# on the way it has learned from ratings: stop there, and go on with\n# {command(words)}\n"
        return Lines(note + lines.python, note + lines.command)

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
        call = _call("train", [self.problem, self.algorithm], self._arguments() | {"out": out})
        return Lines(f"from netdiffuse.experiments import train\n\nrun = {call}\n", command(self.words(out)))

    def lines_of_seeds(self, outs: Mapping[int, str]) -> Lines:
        """That repeat it with several seeds, each into a folder of its own.

        Args:
            outs: seed to folder, at least one.
        """
        if len(outs) == 1:
            ((seed, out),) = outs.items()
            return self.with_seed(seed).lines(out)
        named = self._arguments() | {"seed": _Name("seed"), "out": _Name("out")}
        call = _call("train", [self.problem, self.algorithm], named)
        runs = pprint.pformat(dict(outs), width=88, sort_dicts=False)
        python = (
            f"from netdiffuse.experiments import train\n\nouts = {runs}\n"
            f"for seed, out in outs.items():\n{textwrap.indent(call, '    ')}\n"
        )
        return Lines(python, "\n".join(command(self.with_seed(seed).words(out)) for seed, out in outs.items()))

    def _arguments(self) -> dict[str, Any]:
        named = {name: dict(values) for name in ("settings", "problem_args") if (values := getattr(self, name))}
        return {**self.options, **named}


def decision_lines(
    run: str,
    seed: int | None,
    context: Sequence[Any],
    names: Sequence[str],
    one_shot: bool = True,
    diffusion: bool = True,
) -> Lines:
    """That repeat a decision of a run, and its denoising: the Python prints a step of the chain a line.

    Args:
        run: the run's folder.
        seed: of the noise; None for the deterministic chain.
        context: what was observed.
        names: one an entry of the flattened context.
        one_shot: whether it is a context of a one-shot problem, for which there is a command.
        diffusion: whether the policy has a chain; else it decides in one step.
    """
    start = "zero" if seed is None else "noise"
    draw = (
        f"chain = torch.as_tensor(run.model.denoising_trajectory(context, seed={seed}))  # {start} to decision\n"
        if diffusion
        else "model = run.model  # opened first, which draws random numbers too\n"
        + (f"torch.manual_seed({seed})\n" if seed is not None else "")
        + f"chain = torch.as_tensor(model.predict(context, deterministic={seed is None})[0])[None]\n"
    )
    opened = (
        "import numpy as np\nimport torch\n\nfrom netdiffuse import load\n\n"
        f"run = load({run!r})\n"
        f"context = np.array([{list(context)!r}], dtype=np.float32)\n"
        f"{draw}"
    )
    if not one_shot:
        python = opened + _each("run.model.policy.log_probs(chain[:, 0], None).exp()", "probabilities")
        note = "# no command decides for a single task: this one draws the run's figures\n"
        return Lines(python, note + command(["plot", run]))
    python = opened + _each("run.problem.feasible.decode(chain[:, 0]).flatten(1)", "decision")
    header, row = ",".join(names), ",".join(format(value, ".9g") for value in _flat(context))
    decide = command(["decide", run, "context.csv", "--out", "decision.csv"])
    # Commands decide by the deterministic chain alone.
    note = "" if seed is None else f"# the deterministic decision; what is drawn from seed {seed} only Python repeats\n"
    return Lines(python, f"{note}printf '%s\\n' {shlex.join([header, row])} > context.csv\n{decide}")


def comparison_lines(runs: Mapping[str, str], contexts: Mapping[str, int] | None = None) -> Lines:
    """That repeat a comparison of runs.

    Args:
        runs: a run's folder to what its method is called.
        contexts: a run's folder to the number of contexts it was judged on, where that was asked for.
    """
    python = (
        "from netdiffuse import load\nfrom netdiffuse.experiments.results import summarise\n"
        "from netdiffuse.experiments.compare import row_of\n\n"
        f"runs = {pprint.pformat(dict(runs), width=88, sort_dicts=False)}\n"
        "for method in summarise([row_of(load(run), method) for run, method in runs.items()]):\n    print(method)\n"
    )
    numbers = {run: ["--contexts", str(number)] for run, number in (contexts or {}).items()}
    return Lines(python, "\n".join(command(["evaluate", run, *numbers.get(run, [])]) for run in runs))


def command(words: Sequence[str]) -> str:
    """A line for a shell."""
    return shlex.join(["netdiffuse", *words])


def _call(function: str, positional: Sequence[Any], named: Mapping[str, Any]) -> str:
    arguments = [repr(value) for value in positional] + [f"{name}={value!r}" for name, value in named.items()]
    return f"{function}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def _each(rows: str, name: str) -> str:
    return f"for {name} in {rows}.tolist():\n    print({name})\n"


class _Name(str):
    """A name in a program, written without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _flat(value: Any) -> list[float]:
    return [number for part in value for number in _flat(part)] if isinstance(value, (list, tuple)) else [float(value)]

"""Tables on standard output."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def console(stderr: bool = False) -> Console:
    """Standard output (or error), wide enough for tables where it is no terminal.

    What is printed is data, a path or a type among it: no brackets or colons in it are markup.
    """
    terminal = Console(stderr=stderr).is_terminal
    return Console(stderr=stderr, width=None if terminal else 140, markup=False, emoji=False, highlight=False)


def alone_on_stdout(json_: bool) -> contextlib.AbstractContextManager[object]:
    """With --json, standard output is the JSON's: what a user's file prints meanwhile goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr) if json_ else contextlib.nullcontext()


def working(text: str) -> contextlib.AbstractContextManager[object]:
    """Say on standard error, where it is a terminal, what a block of more than a moment does."""
    errors = console(stderr=True)
    return errors.status(text) if errors.is_terminal else contextlib.nullcontext()


@contextlib.contextmanager
def counting(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where it is a terminal; yields what is to be told how many of how many are done."""
    from rich.progress import Progress

    errors = console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(text)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_run(path: Path, summary: dict[str, Any], figures: Sequence[Path]) -> None:
    """Print how a run ended: the policy among the rules and the reference, and where everything is."""
    from netdiffuse.experiments.config import short_name

    out = console()
    out.print(
        f"{summary['algorithm']} on {short_name(summary['problem'])}, seed {summary['seed']}: "
        f"{summary['timesteps']:,} timesteps in {summary['train_seconds']:.1f} s of training"
    )
    show_evaluation(summary["algorithm"], summary["evaluation"])
    if "rater" in summary:
        from netdiffuse.users.llm.ledger import in_words

        out.print(f"rater    {summary['rater']['model']}: {in_words(summary['rater'])}", soft_wrap=True)
    if "ratings" in summary:
        said = summary["ratings"]
        unused = f", {said['left_out']} others of no use" if said["left_out"] else ""
        out.print(
            f"ratings  {said['ratings']} of {said['file']}{unused}: {said['mean_difference']:+.2f} on average from "
            f"what the simulated users say (rms {said['rms_difference']:.2f}), who were corrected by them (rms "
            f"{said['rms_left_out']:.2f}, of a rating that is left out); in the table above they are not",
            soft_wrap=True,
        )
    out.print(f"run      {path}", soft_wrap=True)
    for figure in figures:
        out.print(f"figure   {figure}", soft_wrap=True)


def show_evaluation(name: str, evaluation: dict[str, Any]) -> None:
    """Print an evaluation: the policy, the rules and the reference, the best on top."""
    from netdiffuse.experiments.evaluation import measure_of

    out = console()
    measure = measure_of(evaluation)
    in_percent = measure.endswith("percent")
    tops = {"optimality_percent": 100.0, "gap_closed_percent": 100.0, "utility_mean": evaluation.get("reference_mean")}
    top = tops.get(measure)
    rows = [*evaluation["baselines"].items(), (name, evaluation[measure])]
    rows += [("reference", top)] if top is not None else []
    table = table_of("method", measure.removesuffix("_percent").removesuffix("_mean").replace("_", " "))
    form = "{:.2f}%" if in_percent else "{:.2f}" if measure == "return_mean" else "{:.6g}"
    for method, value in sorted(rows, key=lambda row: -row[1]):
        table.add_row(method, form.format(value), style="bold" if method == name else None)
    out.print(table)
    better = [rule for rule, value in evaluation["baselines"].items() if value > evaluation[measure]]
    if "random" in better:
        out.print(f"{name} is below random: it has learned nothing yet, or cannot learn this; try more --seconds")
    if measure == "return_mean":
        more = {
            "prophet_percent": "{:.1f}% of the prophet",
            "greedy_percent": "{:.1f}% of greedy",
            "qoe": "opinions {:.2f} above 1",
            "server_energy_j": "{:.0f} J of the server a slot",
            "late_percent": "{:.1f}% of users served late",
            "lost_percent": "{:.1f}% of pictures lost to empty batteries",
            "crash_percent": "{:.2f}% of accepted tasks lost",
            "return_std": "standard deviation {:.2f}",
            "episodes": "over {} episodes",
        }
        out.print(
            ", ".join(form.format(evaluation[key]) for key, form in more.items() if evaluation.get(key) is not None)
        )
        return
    numbers = {
        "gap closed": (evaluation["gap_closed_percent"], "{:.1f}%"),
        "mean regret": (evaluation["regret_mean"], "{:.4g}"),
        "saturation": (evaluation["saturation_percent"], "{:.1f}%"),
    }
    known = ", ".join(f"{key} {form.format(v)}" for key, (v, form) in numbers.items() if v is not None)
    if evaluation["reference_mean"] is None:
        known += ", the problem has no reference"
    out.print(f"{known}, over {evaluation['contexts']:,} contexts")


def table_of(*columns: str) -> Table:
    """An empty table without a box, numbers to the right of the first column."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0)
    return table

"""`netdiffuse decide`."""

import tyro

from netdiffuse.cli.arguments import NeededFile, RunFolder


def decide(
    run: tyro.conf.Positional[RunFolder],
    contexts: tyro.conf.Positional[NeededFile],
    out: NeededFile,
    overwrite: bool = False,
) -> int:
    """Decide for every context in a file of your own.

    The file has a header with the names of the context's entries (gain_0, gain_1, ...) and one context a row;
    the decisions are written in the same order, in physical units.

    Args:
        run: the run's folder.
        contexts: CSV or Parquet file of contexts.
        out: CSV or Parquet file for the decisions.
        overwrite: replace the file if it exists.
    """
    from rich.progress import Progress, TextColumn

    from netdiffuse.cli.output import console
    from netdiffuse.experiments import load
    from netdiffuse.problems.tables import decide_file

    opened = load(run)
    errors = console(stderr=True)
    with Progress(
        *Progress.get_default_columns(),  # a bar, percent and the time left
        TextColumn("{task.fields[rows]:,} decisions"),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        task = bar.add_task("deciding", total=1.0, rows=0)
        rows = decide_file(
            contexts,
            out,
            opened.problem,
            opened.decide,
            overwrite=overwrite,
            report=lambda done, fraction: bar.update(task, completed=fraction, rows=done),
        )
    print(f"{rows:,} decisions in {out}")
    return 0

"""`netdiffuse plot`."""

import tyro

from netdiffuse.cli.arguments import RunFolder


def plot(run: tyro.conf.Positional[RunFolder]) -> int:
    """Draw a run's figures anew, and print where they are.

    Args:
        run: the run's folder, or a comparison's.
    """
    from netdiffuse.cli.output import working
    from netdiffuse.experiments import load
    from netdiffuse.experiments.figures import plot_run
    from netdiffuse.experiments.results import RESULTS, plot_comparison

    with working("drawing figures"):
        paths = plot_comparison(run) if (run / RESULTS).is_file() else plot_run(load(run))
    for path in paths:
        print(path)
    return 0

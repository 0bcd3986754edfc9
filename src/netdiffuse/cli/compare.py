"""`netdiffuse compare`."""

import tyro

from netdiffuse.cli.arguments import Assignments, Folder, Word, Words


def compare(
    problem: tyro.conf.Positional[Word],
    methods: Words = "gddpg,sac,td3,ppo,equal",
    seeds: Words = "0,1,2",
    seconds: float = 30.0,
    out: Folder = None,
    jobs: int = 1,
    problem_set: Assignments = (),
) -> int:
    """Train several methods with several seeds, one thread each, and print a table.

    Call it again to go on after a stop: finished runs are kept, an unfinished one is resumed.

    Args:
        problem: a problem's name, your own file.py:Class, or a Gymnasium id.
        methods: algorithms, baselines and rules, with commas between them; settings follow after colons, as in
            gddpg:batch_size=64:policy=MlpPolicy.
        seeds: seeds, with commas between them.
        seconds: seconds of training a run.
        out: the comparison's folder; runs/compare-PROBLEM unless told.
        jobs: runs at the same time; more than one only where there are cores for them.
        problem_set: an argument of the problem.
    """
    from netdiffuse.cli.output import console, table_of
    from netdiffuse.common import InvalidValueError, checks
    from netdiffuse.experiments import compare as comparison
    from netdiffuse.experiments import results
    from netdiffuse.experiments.evaluation import MEASURES
    from netdiffuse.experiments.settings import parse_assignments
    from netdiffuse.experiments.specs import split_specs

    try:
        numbers = [int(word) for word in seeds.split(",")]
    except ValueError as error:
        raise InvalidValueError(f"--seeds takes integers with commas between them, got '{seeds}'") from error
    for number in numbers:
        checks.seed("seed", number)
    errors = console(stderr=True)
    result = comparison.compare(
        problem,
        split_specs(methods),
        numbers,
        seconds=seconds,
        out=out,
        jobs=jobs,
        problem_args=parse_assignments(problem_set, "--problem-set"),
        report=lambda text: errors.print(text, soft_wrap=True),
    )
    measure = results.measure_in(result.rows)
    targets = results.TARGETS if measure.endswith("percent") else ()
    form = "{:.2f}" if targets or measure == "return_mean" else "{:.6g}"
    table = table_of("method", "mean", "95% interval", "worst", *(f"time to {t}%" for t in targets))
    table.title = MEASURES[measure]
    for row in results.summarise(result.rows):
        interval = "" if row.half_width is None else f"± {form.format(row.half_width)}"
        times = ["" if t is None else f"{t:.1f} s" for t in row.times[: len(targets)]]
        table.add_row(row.method, form.format(row.mean), interval, form.format(row.worst), *times)
    console().print(table)
    for path in (result.path / results.RESULTS, *result.figures):
        print(path)
    return 0

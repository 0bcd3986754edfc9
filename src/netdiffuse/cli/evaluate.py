"""`netdiffuse evaluate`."""

import json

import tyro

from netdiffuse.cli.arguments import AsJson, Count, RunFolder


def evaluate(
    run: tyro.conf.Positional[RunFolder],
    contexts: Count = None,
    seed: Count = None,
    json_: AsJson = False,
) -> int:
    """Judge a run's policy on fresh contexts, against the reference and the rules.

    Args:
        run: the run's folder.
        contexts: how many contexts (episodes of sequential environments); 10000 (20) unless told.
        seed: seed of the contexts; a fixed one, other than training's, unless told.
        json_: print the evaluation as JSON, alone on standard output.
    """
    from netdiffuse.cli.output import alone_on_stdout, show_evaluation, working
    from netdiffuse.experiments import load
    from netdiffuse.experiments.evaluation import SEED
    from netdiffuse.experiments.ratings import has_learned

    with alone_on_stdout(json_), working("evaluating"):
        opened = load(run)
        evaluation = opened.evaluate(contexts, SEED if seed is None else seed)
    if json_:
        print(json.dumps(evaluation))
    else:
        show_evaluation(opened.config.algorithm, evaluation)
        if has_learned(opened):
            print("these users are the simulated ones, uncorrected by the ratings that the run has learned from")
    return 0

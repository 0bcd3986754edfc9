"""All figures of a run."""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from netdiffuse.baselines.rules import applicable_rules
from netdiffuse.common.seeding import generator
from netdiffuse.experiments.config import short_name
from netdiffuse.experiments.evaluation import MEASURES, SEED, Evaluation, measure_of, rule_generator
from netdiffuse.experiments.figures.curves import Curve, curves_figure
from netdiffuse.experiments.figures.decisions import decisions_figure
from netdiffuse.experiments.figures.ratings import ratings_figures
from netdiffuse.experiments.figures.regret import regret_figure
from netdiffuse.experiments.figures.services import service_figures
from netdiffuse.experiments.figures.sharing import sharing_figures
from netdiffuse.experiments.figures.style import save
from netdiffuse.experiments.figures.trajectory import trajectory_figure
from netdiffuse.experiments.run import FIGURES, Run
from netdiffuse.experiments.tasks import OneShotTask
from netdiffuse.experiments.tasks.batched import BatchedTask

SHOWN = 3  # contexts in the figures of decisions
REGRETS = 5000  # contexts in the histogram


def plot_run(run: Run) -> list[Path]:
    """Draw a run's figures into its folder `figures/`, and return their paths.

    Learning curve; for edge AIGC services crashes, loads and choices; for shared denoising opinions a persona, who
    shares how much, energy against QoE and, where it has learned from people's ratings, these against the simulated
    users'; for one-shot problems decisions against the reference, the histogram of regret where there is a reference,
    and the denoising trajectory where the policy is a diffusion model.

    Raises:
        RunError: the run has no progress or no usable checkpoint.
    """
    folder = run.path / FIGURES
    paths = [save(_learning(run), folder / "learning_curve.png")]
    if isinstance(run.task, BatchedTask):
        figures = service_figures(run, run.task) | sharing_figures(run, run.task) | ratings_figures(run)
        return [*paths, *(save(figure, folder / f"{name}.png") for name, figure in figures.items())]
    if not isinstance(run.task, OneShotTask):
        return paths
    problem = run.problem
    with torch.no_grad():
        contexts = problem.sample_contexts(SHOWN, generator(SEED))
        reference = problem.reference(contexts)
        figure = decisions_figure(problem, contexts, run.decide(contexts), reference)
        paths.append(save(figure, folder / "decisions.png"))
        if reference is not None:
            evaluation = Evaluation(problem, REGRETS, SEED)
            regret = regret_figure(evaluation.regrets(run.policy), problem.utility_unit, _best_rule(evaluation))
            paths.append(save(regret, folder / "regret.png"))
        if hasattr(run.model, "denoising_trajectory"):
            trajectory = torch.as_tensor(run.model.denoising_trajectory(contexts.numpy(), seed=0))
            chain = trajectory_figure(problem, contexts, trajectory.cpu(), reference)
            paths.append(save(chain, folder / "denoising.png"))
    return paths


def _best_rule(evaluation: Evaluation) -> tuple[str, torch.Tensor]:
    rules = {n: r for n, r in applicable_rules(evaluation.problem).items() if n != "reference"}
    regrets = {
        name: evaluation.regrets(lambda c, rule=rule: rule.decide(evaluation.problem, c, rule_generator(SEED)))  # type: ignore[misc]
        for name, rule in rules.items()
    }
    best = min(regrets, key=lambda name: float(regrets[name].mean()))
    return best, regrets[best]


def _learning(run: Run) -> Figure:
    curve = run.curve
    summary = run.summary
    measure = next(m for m in MEASURES if m in curve)  # a curve has one
    known = summary is not None and measure_of(summary["evaluation"]) == measure
    levels = run.curve_levels if known else {}
    return curves_figure(
        {run.config.algorithm: [Curve(curve["seconds"].tolist(), curve[measure].tolist())]},
        title=f"{run.config.algorithm} on {short_name(run.config.problem)}",
        measure=MEASURES[measure],
        reference=100.0 if measure.endswith("percent") else None,
        levels=levels,
    )

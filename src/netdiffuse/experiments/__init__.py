"""Runs on disk, evaluation, comparisons (problem x method x seed) and figures."""

from netdiffuse.experiments.budget import Budget, TimeBudget
from netdiffuse.experiments.config import Config
from netdiffuse.experiments.evaluation import Evaluation, evaluate
from netdiffuse.experiments.monitor import Report
from netdiffuse.experiments.policies import LearnedPolicy
from netdiffuse.experiments.run import Run, load
from netdiffuse.experiments.settings import Setting, settings_of
from netdiffuse.experiments.training import resume, train

__all__ = [
    "Budget",
    "Config",
    "Evaluation",
    "LearnedPolicy",
    "Report",
    "Run",
    "Setting",
    "TimeBudget",
    "evaluate",
    "load",
    "resume",
    "settings_of",
    "train",
]

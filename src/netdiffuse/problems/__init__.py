"""What is decided: problems, feasible sets, reference solvers, and problems by name."""

from netdiffuse.problems.base import Problem, Structure
from netdiffuse.problems.feasible import Box, Budget, FeasibleSet, Integer, OneHot, Product, Simplex
from netdiffuse.problems.interference_channel import InterferenceChannel
from netdiffuse.problems.power_allocation import PowerAllocation
from netdiffuse.problems.registry import (
    PRESETS,
    Preset,
    make_problem,
    problem_names,
    recommended_policy,
)

__all__ = [
    "PRESETS",
    "Box",
    "Budget",
    "FeasibleSet",
    "Integer",
    "InterferenceChannel",
    "OneHot",
    "PowerAllocation",
    "Preset",
    "Problem",
    "Product",
    "Simplex",
    "Structure",
    "make_problem",
    "problem_names",
    "recommended_policy",
]

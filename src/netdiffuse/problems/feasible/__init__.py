"""Feasible sets: what decisions are allowed, and the standardised coordinates in which they are learned."""

from netdiffuse.problems.feasible.base import FeasibleSet
from netdiffuse.problems.feasible.box import Box, Integer
from netdiffuse.problems.feasible.one_hot import OneHot
from netdiffuse.problems.feasible.product import Product
from netdiffuse.problems.feasible.simplex import Budget, Simplex, project_budget, project_simplex

__all__ = [
    "Box",
    "Budget",
    "FeasibleSet",
    "Integer",
    "OneHot",
    "Product",
    "Simplex",
    "project_budget",
    "project_simplex",
]

"""Does a problem do what it promises? Asked once, before anything is learned or written."""

import numpy as np
import torch
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.common.seeding import generator
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import FeasibleSet

CONTEXTS = 7  # a size that hardly any problem has: an axis taken for another shows
TOLERANCE = 1e-3  # of reference decisions, as of an expert's in files
DIMENSIONS = {"entities": (1, 2), "pairs": (2, 3)}


def check_contract(problem: Problem) -> None:
    """Refuse a problem whose attributes or methods break the contract of `Problem`, on a few random contexts.

    What a method raises by itself is not caught: it is its author's to see.

    Raises:
        InvalidValueError: the message names the class and the method or attribute.
    """
    name = type(problem).__name__
    _check_attributes(name, problem)
    contexts = problem.sample_contexts(CONTEXTS, generator(0))
    _check_tensor(f"{name}.sample_contexts({CONTEXTS}, ...)", contexts, (CONTEXTS, *problem.context_shape))
    if contexts.dtype != torch.float32:
        raise InvalidValueError(f"{name}.sample_contexts must return float32, got {contexts.dtype}: add .float()")
    try:
        problem.check_contexts(contexts)
    except InvalidValueError as error:
        raise InvalidValueError(f"{name}.sample_contexts returned a context that is not allowed: {error}") from error

    actions = 2 * torch.rand(CONTEXTS, problem.feasible.action_size, generator=generator(1)) - 1
    with torch.set_grad_enabled(problem.differentiable):
        decisions = problem.feasible.decode(actions.requires_grad_(problem.differentiable))
        utility = problem.utility(contexts, decisions)
    _check_tensor(f"{name}.utility", utility, (CONTEXTS,))
    wrong = (~utility.isfinite()).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise InvalidValueError(
            f"{name}.utility must be finite for every feasible decision, got {utility[row].item()} for the decision "
            f"{decisions[row].tolist()} in the context {contexts[row].tolist()}"
        )
    if problem.differentiable and not utility.requires_grad:
        raise InvalidValueError(f"{name}.utility has no gradient by its decisions: set differentiable = False")

    with torch.no_grad():
        reference = problem.reference(contexts)
    if reference is not None:
        _check_tensor(f"{name}.reference", reference, (CONTEXTS, *problem.decision_shape))
        outside = (~problem.feasible.contains(reference, TOLERANCE)).nonzero()
        if len(outside):
            decision = reference[int(outside[0])].tolist()
            raise InvalidValueError(f"{name}.reference must be in {problem.feasible!r}, got {decision}")


def _check_attributes(name: str, problem: Problem) -> None:
    shape = getattr(problem, "context_shape", None)
    sizes = isinstance(shape, tuple) and all(isinstance(size, (int, np.integer)) and size > 0 for size in shape)
    if not (sizes and shape):
        raise InvalidValueError(f"{name}.context_shape must be a tuple of sizes such as (10,), got {shape!r}")
    if not isinstance(getattr(problem, "feasible", None), FeasibleSet):
        found = getattr(problem, "feasible", None)
        raise InvalidValueError(f"{name}.feasible must be a FeasibleSet such as Box(0.0, 1.0, (3,)), got {found!r}")
    dimensions = DIMENSIONS.get(problem.structure)
    if dimensions is not None and (
        len(shape) not in dimensions or (problem.structure == "pairs" and shape[0] != shape[1])
    ):
        expected = "(n,) or (n, features)" if problem.structure == "entities" else "(n, n) or (n, n, features)"
        raise InvalidValueError(f"{name}.context_shape must be {expected} for {problem.structure}, got {shape}")


def _check_tensor(what: str, found: object, shape: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor):
        raise InvalidValueError(f"{what} must return a tensor of shape {shape}, got {type(found).__name__}")
    if tuple(found.shape) != shape or not found.is_floating_point():
        raise InvalidValueError(
            f"{what} must return floating-point numbers of shape {shape}, got {found.dtype} of shape "
            f"{tuple(found.shape)}"
        )

"""A trained model as a function from contexts to decisions."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from netdiffuse.algorithms import D2SAC
from netdiffuse.common.seeding import random_state, set_random_state
from netdiffuse.problems.base import Problem

NUMBERS = 2**14  # of contexts in a batch: small enough for a processor's cache


class LearnedPolicy:
    """The decisions of a trained model.

    Args:
        model: a model with Stable-Baselines3's `predict`.
        problem: what it decides about.
    """

    def __init__(self, model: BaseAlgorithm, problem: Problem) -> None:
        self.model = model
        self.problem = problem

    def actions(self, contexts: Tensor) -> Tensor:
        """Standardised actions, shape (n, action_size), for contexts of shape (n, *context_shape)."""
        batches = contexts.cpu().numpy().astype(np.float32, copy=False)
        rows = max(1, NUMBERS // max(1, batches[:1].size))
        parts = [self.model.predict(batches[i : i + rows], deterministic=True)[0] for i in range(0, len(batches), rows)]
        if not parts:
            return torch.empty(0, self.problem.feasible.action_size)
        return torch.as_tensor(np.concatenate(parts), dtype=torch.float32)

    def __call__(self, contexts: Tensor) -> Tensor:
        """Decisions in physical units, shape (n, *decision_shape).

        Raises:
            InvalidValueError: contexts of the wrong shape or outside the problem's range.
        """
        contexts = self.problem.check_contexts(contexts)
        return self.problem.feasible.decode(self.actions(contexts))


def wants_masks(model: BaseAlgorithm) -> bool:
    """Whether a model acts by action masks."""
    return isinstance(model, MaskablePPO) or (isinstance(model, D2SAC) and model.action_masks)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the global random states after the block as they were before it."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)

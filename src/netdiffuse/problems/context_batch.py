"""A batch of contexts that moves on: what every environment made from a `Problem` is built on."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.common.checks import integer
from netdiffuse.problems.base import Problem


class ContextBatch:
    """n contexts of a problem, drawn from a generator of its own, and decided all at once.

    Args:
        problem: the problem.
        n: number of contexts.
        seed: seed of the generator; None for a fresh one each time.

    Raises:
        InvalidValueError: n below 1.
    """

    def __init__(self, problem: Problem, n: int, seed: int | None = None) -> None:
        self.problem = problem
        self.n = integer("num_envs", n)
        self.generator = torch.Generator()
        self.seed(seed)
        self._contexts: Tensor | None = None

    @property
    def contexts(self) -> Tensor:
        """The contexts to decide in, shape (n, *context_shape), float32.

        Raises:
            gymnasium.error.ResetNeeded: none have been drawn.
        """
        if self._contexts is None:
            raise gymnasium.error.ResetNeeded("there is no context to decide in: call reset() first")
        return self._contexts

    def seed(self, seed: int | None) -> None:
        """Seed the generator; None takes a seed from the operating system."""
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)

    def draw(self) -> Tensor:
        """Move on to new contexts, and return them.

        Raises:
            InvalidValueError: the problem's `sample_contexts` returned another shape or type than it
                promises.
        """
        contexts = self.problem.sample_contexts(self.n, self.generator)
        shape = (self.n, *self.problem.context_shape)
        if tuple(contexts.shape) != shape or contexts.dtype != torch.float32:
            raise InvalidValueError(
                f"{type(self.problem).__name__}.sample_contexts({self.n}, ...) must return float32 of shape "
                f"{shape}, got {contexts.dtype} of shape {tuple(contexts.shape)}"
            )
        self._contexts = contexts
        return contexts

    def clear(self) -> None:
        """Forget the contexts: the episode is over."""
        self._contexts = None

    @torch.no_grad()
    def decide(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Decode actions and earn their utility, in the contexts that are current and stay so.

        Args:
            actions: shape (n, action_size).

        Returns:
            Rewards, shape (n,), and decisions, shape (n, *decision_shape).

        Raises:
            gymnasium.error.ResetNeeded: there are no contexts.
            InvalidValueError: an action that is not finite or has the wrong shape, or a `utility` that
                returned another shape than it promises or a value that is not finite.
        """
        contexts = self.contexts
        if len(actions) != self.n:
            raise InvalidValueError(f"expected {self.n} actions, one a context, got {len(actions)}")
        decisions = self.problem.feasible.decode(actions)
        rewards = self.problem.utility(contexts, decisions)
        name = f"{type(self.problem).__name__}.utility"
        if tuple(rewards.shape) != (self.n,):
            raise InvalidValueError(f"{name} must return shape ({self.n},), got {tuple(rewards.shape)}")
        if not rewards.isfinite().all():
            row = int((~rewards.isfinite()).nonzero()[0])
            raise InvalidValueError(f"{name} must be finite, got {float(rewards[row])} for row {row}")
        return rewards, decisions

    def state_dict(self) -> dict[str, Any]:
        """Generator state and contexts: all that is needed to go on bit for bit."""
        contexts = None if self._contexts is None else self._contexts.clone()
        return {"generator": self.generator.get_state(), "contexts": contexts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InvalidValueError: the state is of another number or shape of contexts.
        """
        contexts = state["contexts"]
        shape = (self.n, *self.problem.context_shape)
        if contexts is not None and tuple(contexts.shape) != shape:
            raise InvalidValueError(f"the saved contexts must have shape {shape}, got {tuple(contexts.shape)}")
        self.generator.set_state(state["generator"])
        self._contexts = None if contexts is None else contexts.clone()


def observation_space(problem: Problem) -> spaces.Box:
    """Raw contexts, without bounds: standardising them is the business of networks."""
    return spaces.Box(-np.inf, np.inf, problem.context_shape, np.float32)


def action_space(problem: Problem) -> spaces.Box:
    """The standardised coordinates of the problem's feasible set."""
    return spaces.Box(-1.0, 1.0, (problem.feasible.action_size,), np.float32)


def to_tensor(actions: Any) -> Tensor:
    """Actions as the float32 tensor that `ContextBatch.decide` takes."""
    return torch.as_tensor(np.asarray(actions), dtype=torch.float32)


def to_array(values: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A copy as a NumPy array, which its receiver may keep and change."""
    return values.numpy().copy()

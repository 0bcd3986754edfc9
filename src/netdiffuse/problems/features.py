"""Standardised contexts: zero mean and unit variance, before any network sees them."""

from typing import Any, TypedDict

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from netdiffuse.common import InvalidValueError
from netdiffuse.common.checks import integer, positive
from netdiffuse.common.seeding import generator
from netdiffuse.problems.base import Problem, Structure

FLOOR = 0.01
"""Share of the median gain that is added before a logarithm, so that zero and nearly zero gains look alike."""


class ContextStatistics(TypedDict):
    """Arguments of `StandardisedContext`, as plain lists that JSON and pickle both keep."""

    mean: Any
    std: Any
    structure: Structure
    floor: float | None


def context_statistics(problem: Problem, n: int = 4096, seed: int = 0) -> ContextStatistics:
    """Mean and standard deviation of the contexts, from a seeded sample.

    The statistics of entities and pairs are shared, so that they hold for any number of entities. With `f`
    the trailing feature dimension, if there is one, the shapes are:

    - `"vector"`: `context_shape`, each entry its own;
    - `"entities"`: `()` or `(f,)`, shared over the entities;
    - `"pairs"`: `(2,)` or `(2, f)`, row 0 shared over the off-diagonal (interference), row 1 over the
      diagonal (own links).

    Args:
        problem: what the contexts are drawn from.
        n: number of contexts to draw.
        seed: of the draw.

    Returns:
        Keyword arguments for `StandardisedContext`. An entry that never varies has standard deviation 1.
    """
    contexts = problem.sample_contexts(integer("n", n, minimum=2), generator(seed)).double()
    floor = None
    if problem.log_contexts:
        floor = FLOOR * float(contexts[contexts > 0].median())
        contexts = torch.log(contexts + floor)
    match problem.structure:
        case "vector":
            groups = [contexts]  # (n, *context_shape): over the sample alone
        case "entities":
            groups = [contexts.flatten(0, 1)]  # (n * entities, [f])
        case "pairs":
            own = torch.eye(contexts.shape[1], dtype=torch.bool)
            groups = [contexts[:, mask].flatten(0, 1) for mask in (~own, own)]
    if problem.structure == "pairs" and len(groups[0]) == 0:  # a single entity has no interference
        groups[0] = groups[1]
    mean = torch.stack([group.mean(0) for group in groups])
    std = torch.stack([group.std(0) for group in groups])
    std = torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))
    if problem.structure != "pairs":
        mean, std = mean.squeeze(0), std.squeeze(0)
    return ContextStatistics(mean=mean.tolist(), std=std.tolist(), structure=problem.structure, floor=floor)


class StandardisedContext(BaseFeaturesExtractor):
    """A Stable-Baselines3 features extractor: `(context - mean) / std`, flattened to (n, d), float32.

    The buffers have the compact shapes of `context_statistics` and are spread over the entities of each
    batch, so weights learned with one number of entities load, and run, with another.

    Args:
        observation_space: the space of raw contexts.
        mean: what is subtracted; a number, or the shape described in `context_statistics`.
        std: what is divided by, positive; likewise.
        structure: how mean and std are laid over a context.
        floor: where given, contexts are replaced by log(context + floor) before anything else.

    Raises:
        InvalidValueError: a standard deviation is not positive, or a shape does not fit the observations.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
        structure: Structure = "vector",
        floor: float | None = None,
    ) -> None:
        if not isinstance(observation_space, spaces.Box):
            raise InvalidValueError(f"contexts must be a Box space, got {observation_space}")
        super().__init__(observation_space, features_dim=int(np.prod(observation_space.shape)))
        self.structure = structure
        self.floor = None if floor is None else positive("floor", floor)
        self.register_buffer("mean", torch.as_tensor(np.asarray(mean, dtype=np.float32)))
        self.register_buffer("std", torch.as_tensor(np.asarray(std, dtype=np.float32)))
        if not bool((self.std > 0).all()):
            raise InvalidValueError(f"std must be positive, got {std!r}")
        for name, value in (("mean", self.mean), ("std", self.std)):
            try:
                torch.broadcast_to(self._spread(value, observation_space.shape), observation_space.shape)
            except RuntimeError as error:
                raise InvalidValueError(
                    f"{name} of shape {tuple(value.shape)} does not fit {structure} contexts of shape "
                    f"{observation_space.shape}; take it from context_statistics(problem)"
                ) from error

    def set_statistics(self, mean: ArrayLike, std: ArrayLike) -> None:
        """Replace mean and standard deviation, each of the shape of one observation (structure "vector" alone)."""
        self.mean = torch.as_tensor(np.asarray(mean, dtype=np.float32), device=self.mean.device)
        self.std = torch.as_tensor(np.asarray(std, dtype=np.float32), device=self.std.device)

    def _spread(self, statistic: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Lay a compact statistic over one context of this shape."""
        if self.structure != "pairs" or statistic.ndim == 0:
            return statistic
        own = torch.eye(shape[0], dtype=torch.long, device=statistic.device)
        return statistic[own]  # (entities, entities, [f])

    def forward(self, observations: Tensor) -> Tensor:
        """Standardise contexts of shape (n, *context_shape) to (n, d)."""
        shape = tuple(observations.shape[1:])
        mean, std = self._spread(self.mean, shape), self._spread(self.std, shape)
        x = observations.float()
        if self.floor is not None:
            x = torch.log(x.clamp(min=0) + self.floor)
        return ((x - mean) / std).flatten(1)

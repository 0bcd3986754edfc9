"""Problems of two or three entities whose best decisions are known by heart, and a chain to walk along."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from netdiffuse.problems import Problem
from netdiffuse.problems.feasible import Box, OneHot, Product, Simplex, project_simplex

SMALL = {"net_arch": [64, 64]}


class Target(Problem):
    """Box: name two numbers; utility = -|decision - context|^2, context uniform in [-0.8, 0.8]."""

    def __init__(self, size: int = 2, known: bool = True) -> None:
        self.context_shape = (size,)
        self.feasible = Box(-1.0, 1.0, (size,))
        self.known = known

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return 1.6 * torch.rand(n, *self.context_shape, generator=generator) - 0.8

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        return -(decisions - contexts).square().sum(-1)

    def reference(self, contexts: Tensor) -> Tensor | None:
        return contexts if self.known else None


class Share(Target):
    """Simplex: share 2 among three, as near as can be to what each asks; interchangeable entities."""

    structure = "entities"

    def __init__(self, entities: int = 3, scale: float | None = None) -> None:
        self.context_shape = (entities,)
        self.feasible = Simplex(entities, 2.0, scale)

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return 2 * torch.rand(n, *self.context_shape, generator=generator)

    def reference(self, contexts: Tensor) -> Tensor:
        return 2 * project_simplex(contexts / 2)


class Pick(Problem):
    """OneHot: take the largest of three."""

    def __init__(self, known: bool = True) -> None:
        self.context_shape = (3,)
        self.feasible = OneHot(3)
        self.known = known

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 3, generator=generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        return (contexts * decisions).sum(-1)

    def reference(self, contexts: Tensor) -> Tensor | None:
        return torch.nn.functional.one_hot(contexts.argmax(-1), 3).float() if self.known else None


class Mixed(Problem):
    """Product: share 1 between two as the first context entry asks, and pick the larger of the other two."""

    def __init__(self) -> None:
        self.context_shape = (3,)
        self.feasible = Product(share=Simplex(2, 1.0), pick=OneHot(2))

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 3, generator=generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        miss = (decisions[:, 0] - contexts[:, 0]).square()
        return (contexts[:, 1:] * decisions[:, 2:]).sum(-1) - miss

    def reference(self, contexts: Tensor) -> Tensor:
        share = torch.stack([contexts[:, 0], 1 - contexts[:, 0]], -1)
        return torch.cat([share, torch.nn.functional.one_hot(contexts[:, 1:].argmax(-1), 2)], -1)


class Links(Problem):
    """Pairs: each of n links names the mean gain it receives, its own included."""

    structure = "pairs"

    def __init__(self, links: int = 3) -> None:
        self.context_shape = (links, links)
        self.feasible = Box(0.0, 1.0, (links,))

    def sample_contexts(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, *self.context_shape, generator=generator)

    def utility(self, contexts: Tensor, decisions: Tensor) -> Tensor:
        return -(decisions - contexts.mean(-1)).square().mean(-1)

    def reference(self, contexts: Tensor) -> Tensor:
        return contexts.mean(-1)


class Chain(gymnasium.Env[Any, Any]):
    """Walk a chain of five places with steps of at most one, action in [-2, 2]; the right end pays 1 and ends."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 4.0, (1,), np.float32)
        self.action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(0, 3)
        self.steps = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = float(np.clip(self.place + action[0] / 2, 0, 4))
        self.steps += 1
        end = self.place >= 3.5
        return self._see(), float(end), end, self.steps >= 20 and not end, {}

    def _see(self) -> Any:
        return np.array([self.place], dtype=np.float32)


def regret(model: Any, problem: Problem, n: int = 2000) -> float:
    """Mean utility lost to the reference in fresh contexts, by deterministic decisions."""
    contexts = problem.sample_contexts(n, torch.Generator().manual_seed(123))
    actions = torch.as_tensor(model.predict(contexts.numpy(), deterministic=True)[0])
    reference = problem.reference(contexts)
    lost = problem.utility(contexts, reference) - problem.utility(contexts, problem.feasible.decode(actions))
    return float(lost.mean())


def random_regret(problem: Problem, n: int = 2000) -> float:
    """The same for actions drawn uniformly."""
    generator = torch.Generator().manual_seed(123)
    contexts = problem.sample_contexts(n, generator)
    actions = 2 * torch.rand(n, problem.feasible.action_size, generator=generator) - 1
    lost = problem.utility(contexts, problem.reference(contexts)) - problem.utility(
        contexts, problem.feasible.decode(actions)
    )
    return float(lost.mean())

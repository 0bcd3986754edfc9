"""Denoisers: networks that map a noisy action, a timestep and a context to a prediction.

What does not change along a chain is computed once: `embed(context)` reads the context, a table holds the embedding of
every timestep, and `forward` only adds the noisy action to them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netdiffuse.common import UnsupportedError
from netdiffuse.diffusion.equivariant import EquivariantTrunk

Structure = Literal["vector", "entities", "pairs"]


def timestep_table(steps: int, width: int) -> nn.Parameter:
    """A learned embedding of the timesteps 0..T, shape (T + 1, width), started from sinusoids (Vaswani, 2017)."""
    frequencies = torch.exp(-math.log(100.0) * torch.arange((width + 1) // 2) / max((width + 1) // 2 - 1, 1))
    angles = torch.arange(steps + 1).unsqueeze(1) * frequencies  # (T + 1, width / 2)
    return nn.Parameter(torch.cat([angles.sin(), angles.cos()], 1)[:, :width].clone())


class Denoiser(nn.Module, ABC):
    """A network epsilon(x_t, t, context) in two halves: `embed` once a chain, `forward` at each step."""

    @property
    def output(self) -> nn.Linear:
        """The last layer, where there is one to be scaled."""
        raise UnsupportedError(f"{type(self).__name__} does not tell its last layer: leave initial_scale 1")

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Multiply the last layer's weights, so that predictions begin near zero where the factor is small."""
        for parameter in self.output.parameters():
            parameter.mul_(factor)

    @abstractmethod
    def embed(self, context: Tensor) -> Any:
        """Read standardised contexts, shape (n, d), once a chain."""

    @abstractmethod
    def forward(self, x: Tensor, t: int | Tensor, embedding: Any) -> Tensor:
        """Predict from x_t, shape (n, action_size), at timestep t (an int, or (n,) integers) in 1..T."""

    @abstractmethod
    def repeat(self, embedding: Any, times: int) -> Any:
        """The embedding with each context repeated `times` times in a row, for several draws a context."""


class MLPDenoiser(Denoiser):
    """Fully connected denoiser.

    Args:
        context_size: entries of a context.
        action_size: entries of an action.
        steps: denoising steps T.
        hidden: widths of the hidden layers; the first also embeds context, time and noisy action, which are summed.
    """

    def __init__(self, context_size: int, action_size: int, steps: int, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__()
        width = hidden[0]
        self.context_net = nn.Sequential(nn.Linear(context_size, width), nn.SiLU(), nn.Linear(width, width))
        self.action_in = nn.Linear(action_size, width, bias=False)
        self.time = timestep_table(steps, width)
        layers: list[nn.Module] = [nn.SiLU()]
        for before, after in pairwise(hidden):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Linear(hidden[-1], action_size))

    @property
    def output(self) -> nn.Linear:
        """The last layer."""
        return self.trunk[-1]  # type: ignore[return-value]

    def embed(self, context: Tensor) -> Tensor:
        """(n, context_size) to (n, hidden[0])."""
        return self.context_net(context)

    def forward(self, x: Tensor, t: int | Tensor, embedding: Tensor) -> Tensor:
        """(n, action_size) to the same shape."""
        return self.trunk(embedding + self.time[t] + self.action_in(x))

    def repeat(self, embedding: Tensor, times: int) -> Tensor:
        """(n, w) to (n * times, w)."""
        return embedding.repeat_interleave(times, 0)


class EquivariantDenoiser(Denoiser):
    """Permutation-equivariant denoiser: shared weights per entity, any number of entities.

    Args:
        structure: "entities" (contexts are flattened (n_entities, features)), or "pairs" ((n_entities, n_entities,
            features)).
        features: features an entity or an ordered pair has in the context.
        action_parts: action coordinates an entity has; coordinate c of entity i stands at c * n_entities + i.
        steps: denoising steps T.
        width: features an entity carries inside.
        blocks: message-passing blocks.
    """

    def __init__(
        self,
        structure: Structure,
        features: int,
        action_parts: int,
        steps: int,
        width: int = 64,
        blocks: int = 3,
    ) -> None:
        super().__init__()
        self.reader = ContextReader(structure, features)
        self.action_parts = action_parts
        self.context_in = nn.Linear(features, width)
        self.action_in = nn.Linear(action_parts, width, bias=False)
        self.time = timestep_table(steps, width)
        self.trunk = EquivariantTrunk(width, blocks, self.reader.pair_features)
        self.out = nn.Linear(width, action_parts)

    @property
    def output(self) -> nn.Linear:
        """The last layer."""
        return self.out

    def embed(self, context: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """(n, d) to entity embeddings (n, entities, width) and the pair embeddings of each block."""
        nodes, pairs = self.reader(context)
        return self.context_in(nodes), self.trunk.embed_pairs(pairs)

    def forward(self, x: Tensor, t: int | Tensor, embedding: tuple[Tensor, list[Tensor | None]]) -> Tensor:
        """(n, action_parts * entities) to the same shape."""
        nodes, messages = embedding
        time = self.time[t] if isinstance(t, int) else self.time[t].unsqueeze(1)
        h = nodes + time + self.action_in(to_entities(x, self.action_parts))
        return from_entities(self.out(self.trunk(h, messages)))

    def repeat(self, embedding: tuple[Tensor, list[Tensor | None]], times: int) -> tuple[Tensor, list[Tensor | None]]:
        """Repeat the entity and the pair embeddings."""
        nodes, messages = embedding
        return nodes.repeat_interleave(times, 0), [
            None if m is None else m.repeat_interleave(times, 0) for m in messages
        ]


class ContextReader:
    """Reads flattened contexts as entities, or as ordered pairs whose diagonal gives the entities."""

    def __init__(self, structure: Structure, features: int) -> None:
        if structure == "vector":
            raise UnsupportedError(
                "an equivariant network needs a problem whose structure is 'entities' or 'pairs'; this one's is "
                "'vector': use policy 'MlpPolicy'"
            )
        self.features = features
        self.pairs = structure == "pairs"

    @property
    def pair_features(self) -> int:
        """Features of a pair, 0 where there are none: those of (i, j) and of (j, i)."""
        return 2 * self.features if self.pairs else 0

    def __call__(self, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """(n, d) to features of entities (n, entities, f), and of pairs (n, entities, entities, f) or None."""
        if not self.pairs:
            return context.reshape(len(context), -1, self.features), None
        entities = math.isqrt(context.shape[1] // self.features)
        pairs = context.reshape(len(context), entities, entities, self.features)
        # What j does to i, and what i does to j: an entity must know the harm it causes, too.
        both = torch.cat([pairs, pairs.transpose(1, 2)], -1)
        return pairs.diagonal(dim1=1, dim2=2).transpose(1, 2), both


def to_entities(action: Tensor, parts: int) -> Tensor:
    """(n, parts * entities) to (n, entities, parts)."""
    return action.reshape(len(action), parts, -1).transpose(1, 2)


def from_entities(x: Tensor) -> Tensor:
    """(n, entities, parts) to (n, parts * entities)."""
    return x.transpose(1, 2).reshape(len(x), -1)

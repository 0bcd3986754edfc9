"""Critics: ensembles of action-value networks with layer normalisation and standardised targets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from netdiffuse.diffusion.denoisers import ContextReader, Structure, to_entities
from netdiffuse.diffusion.equivariant import EquivariantTrunk


class QNetwork(nn.Module, ABC):
    """Q(context, action), shape (n,), or a part of it for every entity, (n, entities); its last layer is `head`."""

    head: nn.Linear

    @abstractmethod
    def forward(self, context: Tensor, action: Tensor) -> Tensor:
        """Map standardised contexts (n, d) and actions (n, action_size) to values (n,) or (n, entities)."""


class MLPQNetwork(QNetwork):
    """Fully connected; layer normalisation keeps off-policy values from diverging (Ball et al., RLPD, ICML 2023)."""

    def __init__(self, context_size: int, action_size: int, hidden: Sequence[int], entities: int = 0) -> None:
        super().__init__()
        self.entities = entities
        layers: list[nn.Module] = []
        before = context_size + action_size
        for after in hidden:
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU()]
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, entities or 1)

    def forward(self, context: Tensor, action: Tensor) -> Tensor:
        """Map (n, d) and (n, action_size) to (n,), or (n, entities) where entities are valued apart."""
        values = self.head(self.body(torch.cat([context, action], 1)))
        return values if self.entities else values.squeeze(1)


class EquivariantQNetwork(QNetwork):
    """The equivariant trunk on (context, action) of each entity, then a mean over entities, or a value for each."""

    def __init__(
        self, structure: Structure, features: int, action_parts: int, width: int, blocks: int, apart: bool = False
    ) -> None:
        super().__init__()
        self.apart = apart
        self.reader = ContextReader(structure, features)
        self.action_parts = action_parts
        self.context_in = nn.Linear(features, width)
        self.action_in = nn.Linear(action_parts, width, bias=False)
        self.trunk = EquivariantTrunk(width, blocks, self.reader.pair_features)
        self.body = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.head = nn.Linear(width, 1)

    def forward(self, context: Tensor, action: Tensor) -> Tensor:
        """Map (n, d) and (n, action_parts * entities) to (n,), or (n, entities) where entities are valued apart."""
        nodes, pairs = self.reader(context)
        h = self.context_in(nodes) + self.action_in(to_entities(action, self.action_parts))
        h = self.trunk(h, self.trunk.embed_pairs(pairs))
        h = self.body(h)
        return self.head(h if self.apart else h.mean(1)).squeeze(-1)


class Critic(nn.Module):
    """An ensemble of Q networks that predict standardised returns.

    The returns' mean and standard deviation are tracked, and the last layers are rescaled whenever they move so that
    the values in the reward's own unit stay put (Pop-Art: van Hasselt et al., NeurIPS 2016, arXiv 1602.07714).

    Args:
        make: makes one Q network.
        n_critics: size of the ensemble; 2 gives the twin critics of TD3.
        rate: share of each new batch in the running mean and variance, once past the first 1 / rate batches.
    """

    optimizer: torch.optim.Optimizer
    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, make: Callable[[], nn.Module], n_critics: int = 2, rate: float = 0.01) -> None:
        super().__init__()
        self.networks: nn.ModuleList = nn.ModuleList(make() for _ in range(n_critics))
        self.rate = rate
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("batches", torch.zeros(()))

    @property
    def std(self) -> Tensor:
        """Standard deviation of the returns, at least what single precision resolves beside their mean."""
        return torch.maximum(self.variance.sqrt(), 1e-6 * self.mean.abs()).clamp(min=1e-12)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Standardised values of each network on a context and an action, shape (n_critics, n).

        Networks that value entities apart give (n_critics, n, entities). Networks that value every discrete action at
        once take a context alone: (n_critics, n, actions).
        """
        return torch.stack([network(*inputs) for network in self.networks])

    def total(self, context: Tensor, action: Tensor) -> Tensor:
        """Standardised values of decisions, summed over entities where these are valued apart; (n_critics, n)."""
        values = self(context, action)
        return values if values.ndim == 2 else values.sum(-1)

    def values(self, *inputs: Tensor) -> Tensor:
        """Values in the unit of the return, of the shape of `forward`."""
        return self(*inputs) * self.std + self.mean

    @torch.no_grad()
    def standardise(self, returns: Tensor) -> Tensor:
        """Take the returns, shape (n,) or (n, entities), into the running statistics, and standardise them."""
        old_mean, old_std = self.mean.clone(), self.std.clone()
        self.batches += 1
        rate = torch.clamp(1 / self.batches, min=self.rate)
        delta = returns.mean() - self.mean
        self.mean += rate * delta
        second = returns.var(unbiased=False) + (1 - rate) * delta**2
        self.variance.copy_((1 - rate) * self.variance + rate * second)  # exact for the first one, whatever its unit
        if self.batches > 1:  # before the first one, values are arbitrary: to keep them would blow up small rewards
            self.rescale(old_mean, old_std)
        return (returns - self.mean) / self.std

    @torch.no_grad()
    def rescale(self, old_mean: Tensor, old_std: Tensor) -> None:
        """Change the last layers so that `values` is what it was under the old statistics."""
        for network in self.networks:
            head: nn.Linear = network.head  # type: ignore[assignment]
            head.weight *= old_std / self.std
            head.bias.copy_((old_std * head.bias + old_mean - self.mean) / self.std)

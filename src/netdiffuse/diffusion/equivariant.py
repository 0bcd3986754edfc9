"""A permutation-equivariant trunk: every entity shares the same weights, and entities talk through means.

Reordering the entities reorders the outputs and changes nothing else, and the weights do not depend on the number of
entities: what is trained on 20 channels runs on 100. (Zaheer et al., Deep Sets, NeurIPS 2017, for entities; message
passing with pair features as in Shen et al., "Graph neural networks for scalable radio resource management", IEEE JSAC
2021.)
"""

from torch import Tensor, nn


class EntityBlock(nn.Module):
    """h_i <- h_i + W2 silu(W1 h_i + U mean_j h_j), normalised before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.pooled = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, messages: Tensor | None) -> Tensor:  # noqa: ARG002
        """Map (n, entities, width) to the same shape."""
        x = self.norm(h)
        pooled = self.pooled(x.mean(-2, keepdim=True))
        return h + self.out(nn.functional.silu(self.own(x) + pooled))


class PairBlock(nn.Module):
    """h_i <- h_i + W2 silu(W1 h_i + U mean_j silu(S h_j + R h_i + e_ij)), normalised before; e_ij embeds the pair."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sender = nn.Linear(width, width, bias=False)
        self.receiver = nn.Linear(width, width, bias=False)
        self.own = nn.Linear(width, width)
        self.pooled = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, messages: Tensor | None) -> Tensor:
        """Map (n, entities, width), with pair embeddings (n, entities, entities, width), to (n, entities, width)."""
        x = self.norm(h)
        pairs = self.sender(x).unsqueeze(-3) + self.receiver(x).unsqueeze(-2) + messages  # (n, i, j, width)
        pooled = self.pooled(nn.functional.silu(pairs).mean(-2))
        return h + self.out(nn.functional.silu(self.own(x) + pooled))


class EquivariantTrunk(nn.Module):
    """Blocks over entities, with the embedding of the pair features computed once by `embed_pairs`.

    Args:
        width: features an entity carries.
        blocks: number of blocks.
        pair_features: features of an ordered pair; 0 for plain entities.
    """

    def __init__(self, width: int, blocks: int, pair_features: int = 0) -> None:
        super().__init__()
        self.pair_embeddings = nn.ModuleList(
            nn.Linear(pair_features, width) for _ in range(blocks if pair_features else 0)
        )
        block = PairBlock if pair_features else EntityBlock
        # A plain linear map of a few features would be normalised to a direction by the first block, its size lost.
        self.mix = nn.Linear(width, width)
        self.blocks = nn.ModuleList(block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def embed_pairs(self, pairs: Tensor | None) -> list[Tensor | None]:
        """Embed pair features (n, entities, entities, features) for each block; None for plain entities."""
        if pairs is None:
            return [None] * len(self.blocks)
        return [embedding(pairs) for embedding in self.pair_embeddings]

    def forward(self, h: Tensor, messages: list[Tensor | None]) -> Tensor:
        """Map entity features (n, entities, width) to the same shape."""
        h = self.mix(nn.functional.silu(h))
        for block, message in zip(self.blocks, messages, strict=True):
            h = block(h, message)
        return self.norm(h)

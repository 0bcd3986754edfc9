"""Transitions from elsewhere: logged decisions that take part in every gradient batch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netdiffuse.algorithms.common.replay import ReplayBatch
from netdiffuse.common import InvalidValueError


@dataclass(frozen=True)
class OfflineData:
    """Logged transitions of episodes of one step: nothing is bootstrapped after them.

    Attributes:
        observations: shape (n, ...).
        actions: standardised and canonical, shape (n, action_size).
        rewards: shape (n,), or each entity's part, shape (n, entities), which add up to the reward.

    Raises:
        InvalidValueError: no transitions, different numbers of them, or a number that is not finite.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]

    def __post_init__(self) -> None:
        sizes = [len(values) for values in (self.observations, self.actions, self.rewards)]
        if len(set(sizes)) > 1 or sizes[0] == 0:
            raise InvalidValueError(
                f"offline data need a transition or more, got {sizes[0]} observations, {sizes[1]} actions and "
                f"{sizes[2]} rewards"
            )
        for name in ("observations", "actions", "rewards"):
            if not np.isfinite(getattr(self, name)).all():
                raise InvalidValueError(f"the {name} of offline data must be finite")

    def __len__(self) -> int:
        return len(self.observations)

    def draw(self, batch_size: int, device: torch.device | str = "cpu", entities: bool = False) -> ReplayBatch:
        """Draw transitions uniformly, with replacement; their indices are -1, of no replay buffer.

        Args:
            batch_size: how many.
            device: where they go.
            entities: whether each entity's part of the return is told, for critics that value entities apart.
        """
        rows = np.random.randint(len(self), size=batch_size)

        def tensor(values: NDArray[np.float32]) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(values[rows], dtype=np.float32), device=device)

        observations, rewards = tensor(self.observations), tensor(self.rewards)
        return ReplayBatch(
            observations=observations,
            actions=tensor(self.actions),
            next_observations=observations,
            returns=rewards if rewards.ndim == 1 else rewards.sum(1),
            discounts=torch.zeros(batch_size, device=device),
            weights=torch.ones(batch_size, device=device),
            indices=np.full((2, batch_size), -1, np.int64),
            entity_returns=rewards if entities else None,
        )


def join_batches(first: ReplayBatch, second: ReplayBatch) -> ReplayBatch:
    """Two batches as one, the first one's transitions before the second's.

    An optional field that one of them lacks is missing in the whole.
    """
    joined: dict[str, Tensor | NDArray[np.int64] | None] = {}
    for name, one in first._asdict().items():
        other = getattr(second, name)
        if one is None or other is None:
            joined[name] = None
        elif isinstance(one, Tensor):
            joined[name] = torch.cat([one, other])
        else:
            joined[name] = np.concatenate([one, other], -1)
    return ReplayBatch(**joined)  # type: ignore[arg-type]

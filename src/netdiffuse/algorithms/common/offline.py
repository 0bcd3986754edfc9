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
        rewards: shape (n,), or each entity's part, shape (n, entities), which add up to the reward; NaN for parts that
            nobody knows, of which a transition has one that is known at least.

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
        for name in ("observations", "actions"):
            if not np.isfinite(getattr(self, name)).all():
                raise InvalidValueError(f"the {name} of offline data must be finite")
        known = ~np.isnan(self.rewards.reshape(sizes[2], -1))
        if np.isinf(self.rewards).any() or not known.any(1).all():
            raise InvalidValueError(
                "the rewards of offline data must be finite; each entity's part may be NaN, not all"
            )

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which transitions have no part of the reward that is not known, shape (n,)."""
        unknown: NDArray[np.bool_] = np.isnan(self.rewards.reshape(len(self), -1))
        return np.asarray(~unknown.any(1))

    def part(self, which: NDArray[np.bool_]) -> "OfflineData":
        """The marked transitions alone."""
        return OfflineData(self.observations[which], self.actions[which], self.rewards[which])

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
        known = ~rewards.isnan()
        rewards = rewards.nan_to_num(0.0)
        return ReplayBatch(
            observations=observations,
            actions=tensor(self.actions),
            next_observations=observations,
            returns=rewards if rewards.ndim == 1 else rewards.sum(1),
            discounts=torch.zeros(batch_size, device=device),
            weights=torch.ones(batch_size, device=device),
            indices=np.full((2, batch_size), -1, np.int64),
            entity_returns=rewards if entities else None,
            known=known if entities else None,
        )


def join_batches(first: ReplayBatch, second: ReplayBatch) -> ReplayBatch:
    """Two batches as one, the first one's transitions before the second's.

    An optional field that one of them lacks is missing in the whole; but where one says what is known, all of the
    other's returns are.
    """
    if first.known is None and second.known is not None and first.entity_returns is not None:
        first = first._replace(known=torch.ones_like(first.entity_returns, dtype=torch.bool))
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

"""One replay buffer for uniform or prioritised sampling, with n-step returns."""

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from torch import Tensor

from netdiffuse.common import UnsupportedError, checks


class ReplayBatch(NamedTuple):
    """A batch of n-step transitions; observations (n, ...), actions (n, action_size), the others (n,).

    Attributes:
        returns: discounted sum of the rewards up to the last step of each transition.
        discounts: what the value of `next_observations` is multiplied by; 0 after a true end of the episode.
        weights: importance-sampling weights, at most 1.
        indices: rows and environments, shape (2, n), for `update_priorities`.
        masks, next_masks: which discrete actions are allowed now and then, booleans (n, actions), where they are kept.
        entity_returns: each entity's part of the returns, shape (n, entities), where they are kept.
    """

    observations: Tensor
    actions: Tensor
    next_observations: Tensor
    returns: Tensor
    discounts: Tensor
    weights: Tensor
    indices: NDArray[np.int64]
    masks: Tensor | None = None
    next_masks: Tensor | None = None
    entity_returns: Tensor | None = None


class NStepReplayBuffer(ReplayBuffer):
    """Stable-Baselines3's replay buffer with n-step returns and proportional priorities.

    Prioritised experience replay (Schaul et al., ICLR 2016, arXiv 1511.05952): a transition is drawn with probability
    proportional to priority^alpha, and weighted by (N p)^-beta over the largest weight in the batch. With alpha = 0
    sampling is uniform. A return stops at an end of the episode, at a time limit (whose value is bootstrapped), and at
    the newest transition of an environment.

    Args:
        buffer_size, observation_space, action_space, device, n_envs, handle_timeout_termination: as in
            Stable-Baselines3.
        optimize_memory_usage: not supported.
        n_steps: rewards summed in a return.
        gamma: discount factor.
        alpha: priority exponent in [0, 1]; 0 is uniform.
        beta: importance-sampling exponent in [0, 1].
        masked_actions: number of discrete actions whose masks are kept (see `add_masks`); 0 for none.
        entities: number of entities whose parts of the rewards are kept (see `add_entity_rewards`); 0 for none.

    Raises:
        InvalidValueError: a value outside its range.
        UnsupportedError: optimize_memory_usage is True.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
        alpha: float = 0.0,
        beta: float = 0.4,
        masked_actions: int = 0,
        entities: int = 0,
    ) -> None:
        if optimize_memory_usage:
            raise UnsupportedError("NStepReplayBuffer keeps next observations: leave optimize_memory_usage False")
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.n_steps = checks.integer("n_steps", n_steps)
        self.gamma = checks.fraction("gamma", gamma)
        self.alpha = checks.fraction("alpha", alpha)
        self.beta = checks.fraction("beta", beta)
        self.priorities = np.zeros((self.buffer_size, n_envs)) if alpha > 0 else None
        shape = (self.buffer_size, n_envs, masked_actions)
        self.masks, self.next_masks = (np.ones(shape, bool) if masked_actions else None for _ in range(2))
        self.entity_rewards = np.zeros((self.buffer_size, n_envs, entities), np.float32) if entities else None

    def reset(self) -> None:
        """Forget all transitions, and their priorities."""
        super().reset()
        if self.priorities is not None:
            self.priorities[:] = 0

    def add_entity_rewards(self, rewards: NDArray[Any]) -> None:
        """Keep the parts, (n_envs, entities), of the rewards that `add` is called with next."""
        assert self.entity_rewards is not None
        self.entity_rewards[self.pos] = rewards

    def add_masks(self, masks: NDArray[np.bool_], next_masks: NDArray[np.bool_]) -> None:
        """Keep the masks, (n_envs, actions), of the transitions that `add` is called with next."""
        assert self.masks is not None
        assert self.next_masks is not None
        self.masks[self.pos], self.next_masks[self.pos] = masks, next_masks

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Add one transition of every environment; new ones get the largest priority yet, so that all are seen."""
        if self.priorities is not None:
            self.priorities[self.pos] = max(self.priorities.max(), 1.0)
        self.timeouts[self.pos] = 0  # one that `cut` has set
        super().add(*args, **kwargs)

    def sample(self, batch_size: int, env: Any = None) -> Any:  # noqa: ARG002
        """Not here: Stable-Baselines3's samples have neither n-step returns nor weights.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError("NStepReplayBuffer has draw(batch_size) instead of sample()")

    def draw(self, batch_size: int) -> ReplayBatch:
        """Draw a batch of n-step transitions."""
        filled = self.size()
        if self.priorities is None:
            rows = np.random.randint(filled, size=batch_size)
            envs = np.random.randint(self.n_envs, size=batch_size)
            weights = np.ones(batch_size)
        else:
            mass = (self.priorities[:filled] ** self.alpha).ravel()
            total = np.cumsum(mass)
            flat = np.searchsorted(total, np.random.rand(batch_size) * total[-1], side="right").clip(max=mass.size - 1)
            rows, envs = np.divmod(flat, self.n_envs)
            weights = (mass.size * mass[flat] / total[-1]) ** -self.beta
            weights /= weights.max()
        ends, discounts, steps = self._ends(rows, envs)
        returns = self._sum(self.rewards, steps, envs)
        arrays = (
            self.observations[rows, envs],
            self.actions[rows, envs],
            self.next_observations[ends, envs],
            returns.astype(np.float32),
            discounts.astype(np.float32),
            weights.astype(np.float32),
        )
        observations, actions, following, sums, factors, importance = map(self.to_torch, arrays)
        batch = ReplayBatch(observations, actions, following, sums, factors, importance, np.stack([rows, envs]))
        if self.entity_rewards is not None:
            parts = self._sum(self.entity_rewards, steps, envs).astype(np.float32)
            batch = batch._replace(entity_returns=self.to_torch(parts))
        if self.masks is None or self.next_masks is None:
            return batch
        return batch._replace(
            masks=self.to_torch(self.masks[rows, envs]), next_masks=self.to_torch(self.next_masks[ends, envs])
        )

    def _ends(
        self, rows: NDArray[np.int64], envs: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], list[tuple[NDArray[np.int64], NDArray[np.float64]]]]:
        """Where the transitions that start at these rows end.

        Returns:
            Their last rows, their bootstrap discounts, and for each step of the longest its rows and the factors of the
            rewards there, 0 where the transition has ended.
        """
        newest = (self.pos - 1) % self.buffer_size
        ends = rows.copy()
        going = np.ones(len(rows), dtype=bool)
        length = np.ones(len(rows))
        steps = [(rows, np.ones(len(rows)))]
        for k in range(1, self.n_steps):
            stop = (self.dones[ends, envs] > 0) | (self.timeouts[ends, envs] > 0) | (ends == newest)
            going = going & ~stop
            ends = np.where(going, (ends + 1) % self.buffer_size, ends)
            steps.append((ends, np.where(going, self.gamma**k, 0.0)))
            length += going
        terminal = self.dones[ends, envs] * (1 - self.timeouts[ends, envs])
        return ends, self.gamma**length * (1 - terminal), steps

    @staticmethod
    def _sum(
        rewards: NDArray[Any],
        steps: list[tuple[NDArray[np.int64], NDArray[np.float64]]],
        envs: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Discounted sums over the steps of `_ends` of rewards (rows, envs) or their parts (rows, envs, entities)."""
        found = np.zeros((len(envs), *rewards.shape[2:]))
        for rows, factors in steps:
            found += rewards[rows, envs] * factors.reshape(-1, *[1] * (rewards.ndim - 2))
        return found

    def cut(self) -> None:
        """Let no return run on from the newest transitions to what is added next: environments are being reset.

        An episode that is thereby left unfinished is cut as by a time limit, and its value bootstrapped.
        """
        if self.size():
            newest = self.pos - 1
            self.timeouts[newest] = np.where(self.dones[newest] > 0, self.timeouts[newest], 1)

    def update_priorities(self, indices: NDArray[np.int64], errors: Tensor) -> None:
        """Set the priorities of drawn transitions to their absolute errors, shape (n,)."""
        if self.priorities is not None:
            self.priorities[indices[0], indices[1]] = errors.abs().cpu().numpy() + 1e-3

    def state_dict(self) -> dict[str, Any]:
        """The filled part of the buffer, for a checkpoint."""
        names = ["observations", "next_observations", "actions", "rewards", "dones", "timeouts", "priorities"]
        names += ["masks", "next_masks", "entity_rewards"]
        filled = self.size()
        arrays = {n: torch.from_numpy(getattr(self, n)[:filled]) for n in names if getattr(self, n) is not None}
        return {"arrays": arrays, "pos": self.pos, "full": self.full}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, array in state["arrays"].items():
            getattr(self, name)[: len(array)] = array.numpy()
        self.pos, self.full = state["pos"], state["full"]

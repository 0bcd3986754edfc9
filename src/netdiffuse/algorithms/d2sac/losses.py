"""Losses of D2SAC: functions that return (loss, metrics)."""

import math

import torch
from torch import Tensor

from netdiffuse.algorithms.common.critics import Critic
from netdiffuse.algorithms.common.replay import ReplayBatch

Metrics = dict[str, float]


def critic_loss(critic: Critic, context: Tensor, batch: ReplayBatch, targets: Tensor) -> tuple[Tensor, Metrics, Tensor]:
    """Weighted squared error of both critics at the actions taken; also the mean absolute error, shape (n,)."""
    values = critic(context)  # (n_critics, n, actions)
    taken = values.gather(2, batch.actions.long().expand(len(values), -1, -1)).squeeze(2)  # (n_critics, n)
    errors = taken - targets
    loss = (batch.weights * errors.square()).mean(1).sum()
    metrics = {"critic/loss": float(loss.detach()), "critic/return_mean": float(critic.mean)}
    return loss, metrics, errors.detach().abs().mean(0)


def actor_loss(log_probs: Tensor, values: Tensor, temperature: float) -> tuple[Tensor, Metrics]:
    """E[sum_a pi(a) (temperature log pi(a) - Q(a))]: exact over the actions, no sample of them (Christodoulou, 2019).

    Args:
        log_probs: of the actor, shape (n, actions); -inf where an action is masked.
        values: the smaller of both critics, shape (n, actions), no gradient.
        temperature: weight of the entropy, in the unit of the values.
    """
    probs = log_probs.exp()
    entropy = entropy_of(log_probs)
    loss = -((probs * values).sum(1) + temperature * entropy).mean()
    value = (probs * values).sum(1).mean()
    metrics = {"actor/value": float(value.detach()), "actor/entropy": float(entropy.mean().detach())}
    return loss, metrics


def soft_value(log_probs: Tensor, values: Tensor, temperature: float) -> Tensor:
    """Value of a state under the policy, entropy included: (n, actions) to (n,)."""
    return (log_probs.exp() * values).sum(1) + temperature * entropy_of(log_probs)


def entropy_of(log_probs: Tensor) -> Tensor:
    """Entropy of categorical distributions in nats, (n, actions) to (n,); masked actions count nothing."""
    finite = torch.where(log_probs > -math.inf, log_probs, torch.zeros_like(log_probs))
    return -(log_probs.exp() * finite).sum(1)

"""Losses of G-DDPG: functions that return (loss, metrics)."""

import torch
from torch import Tensor

from netdiffuse.algorithms.common.canonical import canonical, leaky_canonical, pull
from netdiffuse.algorithms.common.critics import Critic
from netdiffuse.algorithms.common.replay import ReplayBatch
from netdiffuse.diffusion import DiffusionModel, denoising_loss
from netdiffuse.problems.feasible import FeasibleSet

Metrics = dict[str, float]


def critic_loss(critic: Critic, context: Tensor, batch: ReplayBatch, targets: Tensor) -> tuple[Tensor, Metrics, Tensor]:
    """Weighted squared error of every critic against standardised targets; also the mean absolute error (n,).

    Targets have shape (n,), or (n, entities) where entities are valued apart.
    """
    errors = critic(context, batch.actions) - targets
    errors = errors.reshape(*errors.shape[:2], -1)  # (n_critics, n, entities or 1)
    loss = (batch.weights * errors.square().mean(-1)).mean(1).sum()
    metrics = {"critic/loss": float(loss.detach()), "critic/return_mean": float(critic.mean)}
    return loss, metrics, errors.detach().abs().mean((0, 2))


def backpropagation_loss(
    actor: DiffusionModel, critic: Critic, feasible: FeasibleSet | None, context: Tensor, pull_weight: float
) -> tuple[Tensor, Metrics]:
    """Minus the critics' mean value of sampled actions, back-propagated through the whole chain.

    The critics judge canonical actions, the only ones they know; the pull keeps the actor's own near them. Values are
    standardised, so no division by their mean size is needed; where entities are valued apart both value and pull are
    sums over entities, whose number leaves their balance alone.
    """
    action = actor(context)
    to = leaky_canonical(feasible, action)
    value = critic.total(context, to).mean()
    distance = pull(action, to.detach())
    metrics = {"actor/value": float(value.detach()), "actor/pull": float(distance.detach())}
    return -value + pull_weight * distance, metrics


def improved_actions(
    actor: DiffusionModel,
    critic: Critic,
    feasible: FeasibleSet | None,
    context: Tensor,
    step_size: float,
    steps: int,
) -> Tensor:
    """Sampled actions after a few normalised steps up the critics' gradient, canonical, shape (n, action_size)."""
    with torch.no_grad():
        action = canonical(feasible, actor(context))
    for _ in range(steps):
        action.requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic.total(context, action).mean(0).sum(), action)
        norm = gradient.square().mean(1, keepdim=True).sqrt()
        action = canonical(feasible, action.detach() + step_size * gradient / (norm + 1e-8))
    return action


def action_gradient_loss(
    actor: DiffusionModel,
    critic: Critic,
    feasible: FeasibleSet | None,
    context: Tensor,
    step_size: float,
    steps: int,
) -> tuple[Tensor, Metrics]:
    """Regress the denoiser onto improved actions, with no gradient through the chain (DIPO, arXiv 2305.13122)."""
    target = improved_actions(actor, critic, feasible, context, step_size, steps)
    loss, metrics = denoising_loss(actor, context, target)
    return loss, {f"actor/{name}": value for name, value in metrics.items()}


def best_candidate_loss(
    actor: DiffusionModel, critic: Critic, feasible: FeasibleSet | None, context: Tensor, draws: int, noise: float
) -> tuple[Tensor, Metrics]:
    """Regress the denoiser onto the critics' favourite among sampled, disturbed and uniform actions.

    It needs no gradient of the critics, which between the alternatives of a choice says nothing (as the
    cross-entropy method in QT-Opt: Kalashnikov et al., CoRL 2018).

    Args:
        actor: who acts.
        critic: who judges.
        feasible: what is allowed.
        context: standardised contexts, shape (n, d).
        draws: candidates a context; half of them from the actor.
        noise: standard deviation of what is added to the actor's.
    """
    with torch.no_grad():
        repeated = context.repeat_interleave(draws, 0)
        own = actor(repeated)
        uniform = 2 * torch.rand_like(own) - 1
        odd = torch.arange(len(own), device=own.device).remainder(2).bool().unsqueeze(1)
        candidates = canonical(feasible, torch.where(odd, uniform, own + noise * torch.randn_like(own)))
        scores = critic.total(repeated, candidates).mean(0).reshape(-1, draws)
        best = candidates.reshape(len(context), draws, -1)[torch.arange(len(context)), scores.argmax(1)]
    loss, metrics = denoising_loss(actor, context, best)
    return loss, {f"actor/{name}": value for name, value in metrics.items()}

"""The best decision that never looks at the context: what a policy must beat to have learned to look."""

import torch
from torch import Tensor

from netdiffuse.common import checks
from netdiffuse.common.seeding import generator as seeded
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import FeasibleSet

BLIND_SEED = 4_271_828
BLIND_CONTEXTS = 4096
COARSE_CONTEXTS = 512  # enough to tell starts apart; the whole sample decides between the last ones
MAX_CORNERS = 256
MAX_CHOICES = 4096
STARTS = 3
CHUNK = 2**21  # numbers of contexts held at a time


def best_blind_decision(problem: Problem, contexts: int = BLIND_CONTEXTS, seed: int = BLIND_SEED) -> Tensor:
    """Maximise the mean utility of one constant decision over a fixed sample of contexts.

    The centre and the corners of the action coordinates (equal split, full power, one link alone), every
    combination of choices (where there are at most 4,096) and a few random points are tried. The best are
    improved by Adam on the mean utility or, where the utility is not differentiable, by the cross-entropy
    method (Rubinstein, 1999), first on a part of the sample. The best of all these on the whole sample is
    returned.

    Args:
        problem: the problem.
        contexts: number of contexts in the sample.
        seed: seed of the sample and of the search; equal seeds give equal decisions.

    Returns:
        The decision, shape decision_shape.

    Raises:
        InvalidValueError: fewer than one context.
    """
    random = seeded(seed)
    sample = problem.sample_contexts(checks.integer("contexts", contexts), random)
    coarse = sample[:COARSE_CONTEXTS]

    def improve(contexts: Tensor, actions: Tensor) -> Tensor:
        if problem.differentiable:
            return _adam(problem, contexts, actions)
        return _cross_entropy(problem, contexts, actions, random)

    candidates = _best(problem, coarse, _starts(problem.feasible, random), keep=STARTS)
    improved = improve(coarse, candidates)
    finalists = torch.cat([candidates, improved])
    winner = _best(problem, sample, finalists, keep=1)
    polished = improve(sample, winner)
    return problem.feasible.decode(_best(problem, sample, torch.cat([winner, polished]), keep=1)[0])


def mean_utility(problem: Problem, contexts: Tensor, decisions: Tensor) -> Tensor:
    """Mean utility of each constant decision, shapes (n, *context_shape) and (k, *decision_shape) to (k,)."""
    n = len(contexts)
    means = []
    for chunk in torch.split(decisions, max(1, CHUNK // contexts.numel())):
        k = len(chunk)
        every_context = contexts.repeat(k, *[1] * (contexts.ndim - 1))  # (k n, *context_shape)
        utility = problem.utility(every_context, chunk.repeat_interleave(n, 0))
        means.append(utility.reshape(k, n).mean(1))
    return torch.cat(means)


def _starts(feasible: FeasibleSet, random: torch.Generator) -> Tensor:
    """Centre, all up, all down, one up and the others down, choices, and random points, shape (k, action_size)."""
    size = feasible.action_size
    choices = feasible.choices(MAX_CHOICES)
    one_up = 2 * torch.eye(size)[:MAX_CORNERS] - 1
    return torch.cat(
        [
            torch.zeros(1, size),
            torch.ones(1, size),
            -torch.ones(1, size),
            one_up,
            *([] if choices is None else [choices]),
            2 * torch.rand(16, size, generator=random) - 1,
        ]
    )


@torch.no_grad()
def _best(problem: Problem, contexts: Tensor, actions: Tensor, keep: int) -> Tensor:
    """The `keep` actions of the highest mean utility, shape (keep, size)."""
    utility = mean_utility(problem, contexts, problem.feasible.decode(actions))
    return actions[utility.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[:keep]]


@torch.enable_grad()
def _adam(problem: Problem, contexts: Tensor, starts: Tensor) -> Tensor:
    """Ascend the mean utility from each start, shape (k, size); steps decay from 0.1 to 0."""
    steps = 100
    actions = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([actions], lr=0.1, maximize=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        utility = mean_utility(problem, contexts, problem.feasible.decode(actions)).sum()
        (slope,) = torch.autograd.grad(utility, actions)
        actions.grad = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)  # infinite on the rim of some sets
        optimizer.step()
        decay.step()
        with torch.no_grad():
            # the canonical action keeps coordinates that a projection has cut off within reach of coming back
            actions.copy_(problem.feasible.encode(problem.feasible.decode(actions)))
    return actions.detach()


@torch.no_grad()
def _cross_entropy(problem: Problem, contexts: Tensor, starts: Tensor, random: torch.Generator) -> Tensor:
    """Narrow a Gaussian around the best of its draws, from each start, shape (k, size)."""
    draws, elites, rounds = 64, 8, 25
    results = []
    for start in starts:
        mean, deviation, best = start, torch.full_like(start, 0.5), start.unsqueeze(0)
        for _ in range(rounds):
            noise = torch.randn(draws, len(start), generator=random)
            actions = torch.cat([(mean + deviation * noise).clamp(-1, 1), best])
            top = _best(problem, contexts, actions, keep=elites)
            mean, best = top.mean(0), top[:1]
            # a floor that shrinks: neither stuck early nor wandering at the end
            deviation = (0.3 * deviation + 0.7 * top.std(0)).clamp(min=1e-3)
        results.append(best)
    return torch.cat(results)

"""Run a plan: shared steps once per segment, all segments of a step in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.families import Conditioning, Family
from netdiffuse.denoising.planner import Plan, Segment
from netdiffuse.denoising.state import ChainState, stack

Watch = Callable[[Sequence[Segment], ChainState], None]
"""Shown the segments that have gone a step together, and their chains after it, in the same order."""

MOST_AT_ONCE = 32  # chains in a batch: more take memory and spare no time


@dataclass(frozen=True)
class HandOff:
    """A chain on its way to a user.

    Attributes:
        user: by number.
        state: of one chain, after k steps.
    """

    user: int
    state: ChainState


def share(
    model: Family,
    plan: Plan,
    conditioning: Conditioning,
    begin: Callable[[Sequence[int]], ChainState],
    *,
    seeds: Sequence[int] | None = None,
    deliver: Callable[[HandOff], None] | None = None,
    watch: Watch | None = None,
) -> list[ChainState]:
    """Run the shared steps of a plan and hand the chains to the users.

    Segments that are at the same step run in one batch, whatever their groups. The chain of a root begins from its
    (first) leader's noise, so whoever leads all the way, or shares nothing, makes the same picture in every plan.

    Args:
        model: runs the chains.
        plan: who shares what.
        conditioning: of the users' prompts, in their order.
        begin: seeds to chains of pure noise, as `model.begin` makes them, with the plan's number of steps.
        seeds: of each user's noise; 0, 1, 2, .. unless told.
        deliver: told of each hand-off as soon as it is there.
        watch: shown every step.

    Returns:
        The state that each user goes on from, in their order.

    Raises:
        InvalidValueError: another number of prompts, seeds or steps than the plan has.
    """
    if len(conditioning) != plan.users:
        raise InvalidValueError(f"the plan has {plan.users} users, but there are {len(conditioning)} prompts")
    seeds = range(plan.users) if seeds is None else seeds
    if len(seeds) != plan.users:
        raise InvalidValueError(f"the plan has {plan.users} users, but there are {len(seeds)} seeds")
    roots = list(plan.roots)
    alone = [user for user, k in enumerate(plan.shared_steps) if k == 0]
    states = begin([seeds[root.leaders[0]] for root in roots] + [seeds[user] for user in alone])
    if states.steps != plan.steps:
        raise InvalidValueError(f"the plan has {plan.steps} steps, the chains have {states.steps}")
    found: dict[int, ChainState] = {}

    def hand(user: int, state: ChainState) -> None:
        found[user] = state
        if deliver is not None:
            deliver(HandOff(user, state))

    for place, user in enumerate(alone):
        hand(user, states.select([len(roots) + place]))
    running = [(root, states.select([place])) for place, root in enumerate(roots)]
    while running:
        stop = min(segment.stop for segment, _ in running)
        running = [
            (segment, state)
            for first in range(0, len(running), MOST_AT_ONCE)
            for segment, state in _together(model, running[first : first + MOST_AT_ONCE], conditioning, stop, watch)
        ]
        going = []
        for segment, state in running:
            if segment.stop > stop:
                going.append((segment, state))
                continue
            going += [(child, state) for child in segment.children]
            continued = {member for child in segment.children for member in child.members}
            for member in segment.members:
                if member not in continued:
                    hand(member, state)
        running = going
    return [found[user] for user in range(plan.users)]


def _together(
    model: Family,
    running: Sequence[tuple[Segment, ChainState]],
    conditioning: Conditioning,
    stop: int,
    watch: Watch | None,
) -> list[tuple[Segment, ChainState]]:
    """Take segments that are at the same step to the step `stop`, in one batch."""
    leading = [conditioning.select(segment.leaders).mean() for segment, _ in running]
    prompts = Conditioning(
        {name: torch.cat([one.tensors[name] for one in leading]) for name in leading[0].tensors},
        conditioning.guidance_scale,
    )
    batch = stack([state for _, state in running])
    for after in model.run(batch, prompts, stop):
        batch = after
        if watch is not None:
            watch([segment for segment, _ in running], batch)
    return [(segment, batch.select([row])) for row, (segment, _) in enumerate(running)]

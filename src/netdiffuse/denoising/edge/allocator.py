"""Who decides what requests share: a small protocol, so that a trained policy can, and the default by meaning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netdiffuse.denoising.edge.messages import Ask, Decision
from netdiffuse.denoising.embeddings import PromptEncoder
from netdiffuse.denoising.planner import Leader, Plan, Segment, Shape, SharingRule, make_plan


@dataclass(frozen=True)
class Allocation:
    """What was decided about the requests of one window.

    Attributes:
        plan: what they share.
        decisions: a policy's, one a request, in their order; none where no policy decides.
    """

    plan: Plan
    decisions: tuple[Decision, ...] = ()


class Allocator(Protocol):
    """Decides what the requests of one window share."""

    def __call__(self, asks: Sequence[Ask], steps: int) -> Allocation:
        """A plan for these requests, in their order, with chains of `steps` steps."""


class ByMeaning:
    """Prompts that are alike share steps, the more alike the more.

    Args:
        encoder: prompts to embeddings.
        rule: how much may be shared.
        shape: "tree" or "flat", as in `make_plan`.
        leader_id: of the request that leads wherever it takes part; the medoid of each group unless told.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        rule: SharingRule | None = None,
        shape: Shape = "tree",
        leader_id: str | None = None,
    ) -> None:
        self.encoder, self.rule, self.shape = encoder, rule or SharingRule(), shape
        self.leader_id = leader_id

    def __call__(self, asks: Sequence[Ask], steps: int) -> Allocation:
        """A plan for these requests."""
        embeddings = self.encoder([ask.prompt for ask in asks])
        leading = [user for user, ask in enumerate(asks) if ask.id == self.leader_id]
        leader: Leader | int = leading[0] if leading else "medoid"
        plan = make_plan(embeddings, steps, rule=self.rule, shape=self.shape, leader=leader)
        return Allocation(relieved(plan, asks))


def relieved(plan: Plan, asks: Sequence[Ask]) -> Plan:
    """The plan with further steps for devices that cannot do all of theirs: run on the server by their own prompt."""
    roots = list(plan.roots)
    for user, (k, ask) in enumerate(zip(plan.shared_steps, asks, strict=True)):
        least = plan.steps - (ask.most_local_steps or plan.steps)
        if k < least:
            own = Segment((user,), (user,), k, least)
            roots = [_append(root, user, own) for root in roots] if k else [*roots, own]
    return Plan(plan.users, plan.steps, tuple(roots))


def _append(segment: Segment, user: int, own: Segment) -> Segment:
    """A segment with a child where the user leaves it."""
    if user not in segment.members:
        return segment
    if segment.stop == own.start:
        return Segment(segment.members, segment.leaders, segment.start, segment.stop, (*segment.children, own))
    children = tuple(_append(child, user, own) for child in segment.children)
    return Segment(segment.members, segment.leaders, segment.start, segment.stop, children)

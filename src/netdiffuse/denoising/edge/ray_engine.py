"""Shared steps on several hosts: a Ray Serve deployment of denoisers, whatever number of machines Ray spans."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from netdiffuse.common import MissingExtraError, RunError, UnsupportedError, checks
from netdiffuse.denoising.edge.allocator import Allocation, Allocator
from netdiffuse.denoising.edge.engine import Decided, Deliver, LocalEngine, decide
from netdiffuse.denoising.edge.messages import Ask, ModelCard
from netdiffuse.denoising.planner import Plan, Segment

NAME = "netdiffuse-denoisers"


class Given:
    """An allocator whose plan is made already."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, asks: Sequence[Ask], steps: int) -> Allocation:  # noqa: ARG002
        """The plan."""
        return Allocation(self.plan)


class Denoiser:
    """What a replica does: open the model once, then run the parts of windows that it is given.

    Args:
        source: of the model, which each host must reach.
        dtype: of the model.
        card: as JSON.

    Raises:
        UnsupportedError: the model that this host opens is another than the card's.
    """

    def __init__(self, source: str, dtype: str, card: str) -> None:
        import torch

        from netdiffuse.denoising.families import open_model

        torch.set_num_threads(1)  # a replica is a core; more replicas for more
        self.card = ModelCard.model_validate_json(card)
        self.model = open_model(source, dtype=dtype)
        if self.model.revision != self.card.revision:
            raise UnsupportedError(
                f"the model '{source}' has revision {self.model.revision} on this host, {self.card.revision} on the "
                "server's: give every host the same files"
            )

    def run(self, asks: list[str], plan: Plan) -> list[tuple[str, bytes, int]]:
        """States of these requests by this plan: id, bytes and step."""
        found: list[tuple[str, bytes, int]] = []
        engine = LocalEngine(self.model, self.card, Given(plan))
        read = [Ask.model_validate_json(ask) for ask in asks]
        engine.run(read, lambda *state: found.append(state), lambda *_: None)
        return found


class RayEngine:
    """Deals out the groups of a window to replicas, the largest first, each to the one with the least to do.

    Args:
        source: of the model, a hub's name or a folder that every host has.
        allocator: decides what is shared; runs here.
        card: what devices are told.
        replicas: how many denoisers there are; Ray places them where it has cores.
        dtype: of the model.
        address: of a running Ray cluster; "auto" to find it, None to start one on this host.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: the denoisers do not start, for one because a host has another model.
    """

    def __init__(
        self,
        source: str,
        allocator: Allocator,
        card: ModelCard,
        replicas: int = 2,
        dtype: str = "float32",
        address: str | None = None,
    ) -> None:
        try:
            import ray
            from ray import serve
        except ImportError as error:
            raise MissingExtraError("--engine ray", "ray") from error
        self.card, self.allocator = card, allocator
        self.replicas = checks.integer("replicas", replicas)
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        deployment: Any = serve.deployment(Denoiser)
        deployment = deployment.options(
            num_replicas=replicas, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=1
        )
        bound = deployment.bind(source, dtype, card.model_dump_json())
        try:
            self.handle: Any = serve.run(bound, name=NAME, route_prefix=None)
        except RuntimeError as error:
            self.close()
            raise RunError(f"the denoisers do not start: {error}") from error

    def run(
        self,
        asks: Sequence[Ask],
        deliver: Deliver,
        progress: Callable[[int, int], None],
        decided: Decided | None = None,
    ) -> None:
        """Run what is shared, the groups of a window on several replicas at once."""
        plan = decide(self.allocator, asks, self.card.steps, decided)
        shares = deal(plan, self.replicas)
        answers = []
        for users, part in shares:
            answers.append((part, self.handle.run.remote([asks[user].model_dump_json() for user in users], part)))
        done = 0
        for part, answer in answers:
            for state in answer.result():
                deliver(*state)
            done += part.server_steps
            progress(done, plan.server_steps)

    def close(self) -> None:
        """Take the denoisers down."""
        from ray import serve

        serve.delete(NAME)


def deal(plan: Plan, replicas: int) -> list[tuple[list[int], Plan]]:
    """Parts of a plan for several replicas: the users of each, and their plan, in which they are numbered anew.

    Groups stay whole. Who shares nothing, and so has nothing to run, goes with the first part.
    """
    alone = [user for user, k in enumerate(plan.shared_steps) if k == 0]
    hands: list[list[Segment]] = [[] for _ in range(replicas)]
    for root in sorted(plan.roots, key=_work, reverse=True):
        min(hands, key=lambda hand: sum(map(_work, hand))).append(root)
    parts = []
    for number, hand in enumerate(hands):
        users = sorted({member for root in hand for member in root.members} | set(alone if number == 0 else ()))
        if users:
            place = {user: position for position, user in enumerate(users)}
            parts.append((users, Plan(len(users), plan.steps, tuple(_renumbered(root, place) for root in hand))))
    return parts


def _work(root: Segment) -> int:
    return sum(segment.stop - segment.start for segment in root.walk())


def _renumbered(segment: Segment, place: dict[int, int]) -> Segment:
    return dataclasses.replace(
        segment,
        members=tuple(place[member] for member in segment.members),
        leaders=tuple(place[leader] for leader in segment.leaders),
        children=tuple(_renumbered(child, place) for child in segment.children),
    )

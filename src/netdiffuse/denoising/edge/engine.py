"""Where the shared steps of a window are run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from netdiffuse.denoising.edge.allocator import Allocator
from netdiffuse.denoising.edge.messages import Ask, Decision, ModelCard, noise_seed
from netdiffuse.denoising.families import Family
from netdiffuse.denoising.planner import Plan, Segment
from netdiffuse.denoising.sharing import HandOff, share
from netdiffuse.denoising.state import ChainState

Deliver = Callable[[str, bytes, int], None]
"""Told of each state: the request's id, the state's bytes, and its step."""
Decided = Callable[[Mapping[str, Decision]], None]
"""Told of a policy's decisions by the requests' ids, before anything is run."""


class Engine(Protocol):
    """Runs the requests of one window; called from a thread of its own."""

    @property
    def card(self) -> ModelCard:
        """What devices are told of its chains."""

    def run(
        self,
        asks: Sequence[Ask],
        deliver: Deliver,
        progress: Callable[[int, int], None],
        decided: Decided | None = None,
    ) -> None:
        """Run what is shared.

        Args:
            asks: the requests; each one's noise follows from its id.
            deliver: told of each state as soon as it is there.
            progress: told how many steps of how many are done.
            decided: told what a policy has decided, where one does.
        """

    def close(self) -> None:
        """Free what it holds on other hosts; it runs nothing afterwards."""


@dataclass(frozen=True)
class LocalEngine:
    """Runs shared steps in this process.

    Attributes:
        model: runs the chains.
        card: what devices are told; its steps, scheduler and guidance are used.
        allocator: decides what is shared.
    """

    model: Family
    card: ModelCard
    allocator: Allocator

    @classmethod
    def of(
        cls,
        model: Family,
        allocator: Allocator,
        steps: int,
        scheduler: str | None = None,
        guidance_scale: float | None = None,
    ) -> "LocalEngine":
        """An engine for chains of this kind; what is not told is usual for the model."""
        return cls(model, card_of(model, steps, scheduler, guidance_scale), allocator)

    def run(
        self,
        asks: Sequence[Ask],
        deliver: Deliver,
        progress: Callable[[int, int], None],
        decided: Decided | None = None,
    ) -> None:
        """Run what is shared, once for each group, all groups in one batch."""
        card, plan = self.card, decide(self.allocator, asks, self.card.steps, decided)
        done, total = 0, plan.server_steps

        def count(segments: Sequence[Segment], _: ChainState) -> None:
            nonlocal done
            done += len(segments)
            progress(done, total)

        def hand(off: HandOff) -> None:
            ask = asks[off.user]
            deliver(ask.id, off.state.to_bytes(ask.codec), off.state.step)

        share(
            self.model,
            plan,
            self.model.encode([ask.prompt for ask in asks], card.guidance_scale),
            lambda seeds: self.model.begin(
                seeds, card.steps, scheduler=card.scheduler, guidance_scale=card.guidance_scale
            ),
            seeds=[noise_seed(ask.id) for ask in asks],
            deliver=hand,
            watch=count,
        )

    def close(self) -> None:
        """Nothing: it holds nothing on other hosts."""


def decide(allocator: Allocator, asks: Sequence[Ask], steps: int, decided: Decided | None) -> Plan:
    """Ask who allocates, and pass on what a policy has decided."""
    allocation = allocator(asks, steps)
    if decided is not None and allocation.decisions:
        decided({ask.id: decision for ask, decision in zip(asks, allocation.decisions, strict=True)})
    return allocation.plan


def card_of(model: Family, steps: int, scheduler: str | None = None, guidance_scale: float | None = None) -> ModelCard:
    """What devices are told of a model and its kind of chain; errors as `Family.begin`."""
    state = model.begin([0], steps, scheduler=scheduler, guidance_scale=guidance_scale)
    return ModelCard(
        family=model.name,
        revision=model.revision,
        steps=steps,
        scheduler=scheduler,
        guidance_scale=state.guidance_scale,
        height=state.height,
        width=state.width,
    )

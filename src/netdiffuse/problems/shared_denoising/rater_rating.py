"""Sessions rated by any rater of `netdiffuse.users`, a language model among them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import Outcome
from netdiffuse.problems.shared_denoising.rating import Array, energy_share
from netdiffuse.users import Experience, Persona, Rater, StatefulRater

if TYPE_CHECKING:
    from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator


class RaterRating:
    """Hands who the users are and what they received to a rater, all of a step in one call.

    Each user goes by a name of their own, "user 2 of session 0", by which a rater may remember them; whoever begins a
    session is forgotten first. Raters are told the prompt, the measured quality, the delay and the battery's share,
    but no pictures. A rater's randomness is its own, not `simulator.opinion_random`'s, and is saved with its memories.

    Args:
        rater: who rates; a `StatefulRater` goes on bit for bit from what is saved, any other is to remember nothing.
    """

    def __init__(self, rater: Rater) -> None:
        self.rater = rater

    def __call__(self, simulator: "SharedDenoisingSimulator", outcome: Outcome) -> Array:
        """Opinions in [1, 5], shape (sessions, users)."""
        people = _named(simulator)
        if isinstance(self.rater, StatefulRater):
            new = np.repeat(simulator.index == 0, simulator.users)
            self.rater.forget([person.name for person, begins in zip(people, new, strict=True) if begins])
        opinions = self.rater.rate(people, _experiences(simulator, outcome))
        return np.array([opinion.rating for opinion in opinions]).reshape(simulator.n, simulator.users)

    def state_dict(self) -> dict[str, Any]:
        """What the rater remembers."""
        return self.rater.state_dict() if isinstance(self.rater, StatefulRater) else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; nothing where another rating saved it that remembers nothing."""
        if state and isinstance(self.rater, StatefulRater):
            self.rater.load_state_dict(state)


def _named(simulator: "SharedDenoisingSimulator") -> list[Persona]:
    """The users, session by session."""
    return [
        replace(simulator.people[number], name=f"user {user} of session {session}")
        for session, row in enumerate(simulator.person.tolist())
        for user, number in enumerate(row)
    ]


def _experiences(simulator: "SharedDenoisingSimulator", outcome: Outcome) -> list[Experience]:
    """What they received, in the same order."""
    captions = library().captions
    received = zip(
        simulator.slot.caption.ravel().tolist(),
        outcome.quality.ravel().tolist(),
        outcome.delay_s.ravel().tolist(),
        energy_share(simulator, outcome).ravel().tolist(),
        strict=True,
    )
    return [Experience(captions[caption], *felt) for caption, *felt in received]

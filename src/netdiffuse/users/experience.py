"""What a user received, what they think of it, and who can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.users.persona import Persona
from netdiffuse.users.qoe import CEILING, FLOOR

if TYPE_CHECKING:
    from PIL.Image import Image

Source = Literal["parametric", "llm", "fallback"]


@dataclass(frozen=True)
class Experience:
    """One picture as one user received it.

    Attributes:
        prompt: what the user asked for.
        quality: how well the picture shows it, in [0, 1]: what a `Judge` of split denoising, or its table, says.
        delay_s: from asking to seeing, seconds, at least 0.
        energy_share: energy that the user's device spent, as a share of what its battery held before, in [0, 1].
        measures: further measures of the picture by name, such as its SSIM; they are told to language models alone.
        picture: for raters that can see.

    Raises:
        InvalidValueError: a number outside its range.
    """

    prompt: str
    quality: float
    delay_s: float
    energy_share: float = 0.0
    measures: Mapping[str, float] = field(default_factory=dict)
    picture: "Image | None" = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.fraction("quality", self.quality)
        checks.non_negative("delay_s", self.delay_s)
        checks.fraction("energy_share", self.energy_share)
        for name, value in self.measures.items():
            checks.finite(name, value)


@dataclass(frozen=True)
class Opinion:
    """What a user thinks of an experience.

    Attributes:
        rating: on the scale of absolute category rating (ITU-T P.800), from 1, bad, to 5, excellent; not rounded.
        reason: in words.
        variance: of the rating's samples, or of its distribution; 0 where there is one sample.
        samples: behind the rating.
        source: who said so; "fallback" where a language model should have and could not.

    Raises:
        InvalidValueError: a rating outside [1, 5].
    """

    rating: float
    reason: str
    variance: float = 0.0
    samples: int = 1
    source: Source = "parametric"

    def __post_init__(self) -> None:
        if not FLOOR <= checks.finite("rating", self.rating) <= CEILING:
            raise InvalidValueError(f"a rating must be in [1, 5], got {self.rating!r}")
        checks.non_negative("variance", self.variance)


class Rater(Protocol):
    """Tells what users think."""

    def rate(self, personas: Sequence[Persona], experiences: Sequence[Experience]) -> list[Opinion]:
        """One opinion for each pair of a persona and an experience, in their order.

        Where a persona comes more than once, the earlier experience was the earlier one in time.
        """


@runtime_checkable
class StatefulRater(Rater, Protocol):
    """A rater that depends on what was before: on memories, or on a generator."""

    def forget(self, names: Collection[str] | None = None) -> None:
        """Empty the memories of personas by their names, of all unless told."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def check_pairs(personas: Sequence[Persona], experiences: Sequence[Experience]) -> None:
    """Refuse lists of different lengths.

    Raises:
        InvalidValueError: they do not pair up.
    """
    if len(personas) != len(experiences):
        raise InvalidValueError(
            f"personas and experiences must pair up, got {len(personas)} personas and {len(experiences)} experiences"
        )

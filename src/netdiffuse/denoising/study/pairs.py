"""Pairs of prompts from alike to unlike: one leads the shared steps, the other follows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Two users.

    Attributes:
        leader: the prompt that the shared steps follow.
        follower: the prompt of the user whose picture is judged.
    """

    leader: str
    follower: str


SIMILAR = Pair("apple on table", "lemon on table")
DISSIMILAR = Pair("a cup on a book", "a tree near a river")
"""The two pairs of Du et al. (IEEE Network 2023, arXiv 2304.03446)."""

PAIRS: tuple[Pair, ...] = (
    SIMILAR,
    DISSIMILAR,
    Pair("a red apple on a table", "a red apple on a table"),
    Pair("a red apple on a table", "a green apple on a table"),
    Pair("a blue cup on a table", "a blue cup on a book"),
    Pair("a white dog on the road", "a black dog on the road"),
    Pair("a white dog on the road", "a white bird on the road"),
    Pair("a green tree near a river", "a green tree on the road"),
    Pair("a yellow lemon on a table", "a red apple on a book"),
    Pair("a brown dog near a river", "a blue bird near a river"),
    Pair("a pink cup on a book", "a brown dog on the road"),
    Pair("a purple bird near a river", "a red cup on a table"),
)

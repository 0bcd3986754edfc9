"""Who shares which denoising steps with whom: prompts grouped by meaning, and k chosen by how alike they are.

A plan is a forest of segments. A segment is a stretch of steps that runs once for several users, led by the prompt of
one of them or by the mean of some; its children go on from where it stops, each for some of the users; who is in no
child is handed the chain and goes on alone. So three steps shared among eight users and four more among three of them
are a segment of eight with a child of three (the idea of sharing: Du et al., IEEE Network 2023, arXiv 2304.03446).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree

from netdiffuse.common import InvalidValueError, UnknownNameError, checks

Array = NDArray[np.float64]
Shape = Literal["tree", "flat"]
Leader = Literal["medoid", "mean"]


@dataclass(frozen=True)
class Segment:
    """Steps that run once for several users.

    Attributes:
        members: the users, by number.
        leaders: whose prompt is followed; the mean of several.
        start, stop: steps done before and after.
        children: segments that go on from here.
    """

    members: tuple[int, ...]
    leaders: tuple[int, ...]
    start: int
    stop: int
    children: tuple["Segment", ...] = ()

    def walk(self) -> Iterator["Segment"]:
        """This segment and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Plan:
    """How users share a chain of `steps` steps.

    Attributes:
        users: their number.
        steps: T, of each user's whole chain.
        roots: the segments that begin at pure noise; who is in none shares nothing.
    """

    users: int
    steps: int
    roots: tuple[Segment, ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All of them, parents first."""
        return tuple(segment for root in self.roots for segment in root.walk())

    @property
    def shared_steps(self) -> tuple[int, ...]:
        """For each user k, the steps that are done when the chain is handed to them; 0 for who shares nothing."""
        k = [0] * self.users
        for segment in self.segments:
            for member in segment.members:
                k[member] = max(k[member], segment.stop)
        return tuple(k)

    @property
    def server_steps(self) -> int:
        """Steps that are run for several users at once."""
        return sum(segment.stop - segment.start for segment in self.segments)

    @property
    def device_steps(self) -> int:
        """Steps that users run for themselves."""
        return sum(self.steps - k for k in self.shared_steps)

    @property
    def saved(self) -> float:
        """Share of all steps that sharing spares, in [0, 1)."""
        return 1 - (self.server_steps + self.device_steps) / (self.users * self.steps)


@dataclass(frozen=True)
class SharingRule:
    """How large a share of the steps two prompts may have in common, by the cosine of their embeddings.

    Nothing up to `low`; then linearly up to `most` at `high` and above. In the study of the small model
    (docs/denoising/results.json) all pairs stood five shared steps of eleven, but for one whose cosine is below 0.1; a
    half is also what was found fine with Stable Diffusion (arXiv 2304.03446).

    Attributes:
        low, high: cosines, low below high.
        most: largest share of the steps, in [0, 1).
    """

    low: float = 0.0
    high: float = 0.4
    most: float = 0.5

    def __post_init__(self) -> None:
        if not -1 <= checks.finite("low", self.low) < checks.finite("high", self.high) <= 1:
            raise InvalidValueError(f"low and high must be cosines, low below high, got {self.low} and {self.high}")
        if checks.fraction("most", self.most) == 1:
            raise InvalidValueError("most must be below 1: the last step is each user's own")

    def steps(self, cosine: float, steps: int) -> int:
        """How many of a chain of `steps` steps."""
        share = np.clip((cosine - self.low) / (self.high - self.low), 0, 1) * self.most
        return int(share * steps + 1e-9)


def cosines(embeddings: Array) -> Array:
    """Cosine of each pair of embeddings, shape (n, d) to (n, n).

    Raises:
        InvalidValueError: another shape, or a row that is zero or not finite.
    """
    found = np.asarray(embeddings, dtype=np.float64)
    if found.ndim != 2 or not len(found):
        raise InvalidValueError(f"embeddings must have shape (n, d), got {found.shape}")
    length = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length == 0).any():
        row = int(np.argmin(np.isfinite(length[:, 0]) & (length[:, 0] > 0)))
        raise InvalidValueError(f"embedding {row} must be finite and not zero")
    unit = found / length
    return np.clip(unit @ unit.T, -1, 1)


def make_plan(
    embeddings: Array,
    steps: int,
    *,
    rule: SharingRule | None = None,
    shape: Shape = "tree",
    leader: Leader | int = "medoid",
) -> Plan:
    """Group prompts by meaning and choose what they share.

    Groups are those of agglomerative clustering by mean cosine ("average linkage"). In a "tree" every merge of the
    dendrogram shares as many steps as the rule allows to its mean cosine, so that those who are more alike go on
    together. "flat" cuts the dendrogram once, where the rule allows a step, and each member of a group leaves the
    common chain after what the rule allows to its cosine with the leader.

    Args:
        embeddings: of the prompts, shape (n, d).
        steps: T.
        rule: how much may be shared.
        shape: "tree" or "flat".
        leader: "medoid", the member that is most like the others; "mean", of all members; or a user's number, who leads
            wherever that user is a member.

    Raises:
        InvalidValueError, UnknownNameError: an argument that is none of these.
    """
    checks.integer("steps", steps)
    if shape not in ("tree", "flat"):
        raise UnknownNameError("shape of a plan", str(shape), ("tree", "flat"))
    alike = cosines(embeddings)
    n = len(alike)
    if isinstance(leader, str) and leader not in ("medoid", "mean"):
        raise UnknownNameError("leader", leader, ("medoid", "mean"))
    if not isinstance(leader, str):
        checks.integer("leader", leader, minimum=0, maximum=n - 1)
    rule = rule or SharingRule()
    if n == 1:
        return Plan(1, steps, ())
    build = _tree if shape == "tree" else _flat
    return Plan(n, steps, build(_dendrogram(alike), alike, steps, rule, leader))


def groups(alike: Array, steps: int, rule: SharingRule | None = None) -> tuple[tuple[int, ...], ...]:
    """Users in groups of like prompts, those of a "flat" plan; who is like nobody is a group.

    Args:
        alike: cosines of the prompts, shape (n, n), as `cosines` gives them.
        steps: T.
        rule: how much may be shared.
    """
    if len(alike) == 1:
        return ((0,),)
    return _clusters(_dendrogram(alike), steps, rule or SharingRule())


def _dendrogram(alike: Array) -> ClusterNode:
    distances = np.maximum(1 - alike, 0)
    return to_tree(linkage(distances[np.triu_indices(len(alike), 1)], method="average"))


def fixed_plan(users: int, steps: int, shared: int, leader: int | None = None) -> Plan:
    """All users share the first `shared` steps.

    Args:
        users: their number.
        steps: T.
        shared: k, in 0..T.
        leader: whose prompt leads; the mean of all unless told.

    Raises:
        InvalidValueError: a number that is out of its range.
    """
    checks.integer("users", users)
    checks.integer("shared", shared, minimum=0, maximum=checks.integer("steps", steps))
    everyone = tuple(range(users))
    if leader is not None:
        checks.integer("leader", leader, minimum=0, maximum=users - 1)
    leaders = everyone if leader is None else (leader,)
    return Plan(users, steps, (Segment(everyone, leaders, 0, shared),) if shared else ())


def medoid(members: Sequence[int], alike: Array) -> int:
    """The member with the largest mean cosine to all members; of equals, the first."""
    index = list(members)
    return index[int(alike[np.ix_(index, index)].sum(1).argmax())]


def _leaders(members: tuple[int, ...], alike: Array, leader: Leader | int) -> tuple[int, ...]:
    if leader == "mean":
        return members
    if leader in members:
        return (int(leader),)
    return (medoid(members, alike),)


def _tree(
    node: ClusterNode, alike: Array, steps: int, rule: SharingRule, leader: Leader | int, start: int = 0
) -> tuple[Segment, ...]:
    """Segments of a dendrogram's node, from `start` on."""
    if node.is_leaf():
        return ()
    stop = max(rule.steps(1 - node.dist, steps), start)
    below = tuple(
        segment
        for child in (node.get_left(), node.get_right())
        for segment in _tree(child, alike, steps, rule, leader, stop)
    )
    if stop == start:
        return below
    members = tuple(sorted(node.pre_order()))
    return (Segment(members, _leaders(members, alike, leader), start, stop, below),)


def _flat(node: ClusterNode, alike: Array, steps: int, rule: SharingRule, leader: Leader | int) -> tuple[Segment, ...]:
    """Groups in which the rule allows a step to the mean cosine, each a chain that members leave one after another."""
    return tuple(
        segment
        for members in _clusters(node, steps, rule)
        if len(members) > 1
        for segment in _staircase(members, alike, steps, rule, leader)
    )


def _clusters(node: ClusterNode, steps: int, rule: SharingRule) -> tuple[tuple[int, ...], ...]:
    """The dendrogram cut where the rule allows no step to the mean cosine."""
    if node.is_leaf():
        return ((int(node.id),),)
    if rule.steps(1 - node.dist, steps) == 0:
        return _clusters(node.get_left(), steps, rule) + _clusters(node.get_right(), steps, rule)
    return (tuple(sorted(node.pre_order())),)


def _staircase(
    members: tuple[int, ...], alike: Array, steps: int, rule: SharingRule, leader: Leader | int
) -> tuple[Segment, ...]:
    leaders = _leaders(members, alike, leader)
    # Cosine with the mean of unit vectors; with a single leader, with that one.
    to_leader = alike[:, leaders].sum(1) / np.sqrt(alike[np.ix_(leaders, leaders)].sum())
    k = {member: rule.steps(float(to_leader[member]), steps) for member in members}
    foremost = max(members, key=lambda member: k[member])
    k[foremost] = max(k[member] for member in members if member != foremost)  # nobody shares alone
    leaders = tuple(one for one in leaders if k[one] > 0) or (foremost,)  # who leaves at once leads nobody
    return leaving(k, leaders)


def leaving(k: Mapping[int, int], leaders: tuple[int, ...]) -> tuple[Segment, ...]:
    """One chain that users leave one after another; no segment where nobody shares anything.

    Args:
        k: the steps after which each user leaves; 0 for who is not in it.
        leaders: whose prompts are followed throughout; users who share.
    """
    chain: tuple[Segment, ...] = ()
    for stop in sorted(set(k.values()) - {0}, reverse=True):
        start = max((other for other in k.values() if other < stop), default=0)
        chain = (Segment(tuple(m for m in k if k[m] >= stop), leaders, start, stop, chain),)
    return chain

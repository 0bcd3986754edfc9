"""A trained policy in the place of an edge server's rule: requests that wait become users of a session."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdiffuse.channels import db_to_linear
from netdiffuse.denoising.cost import Radio
from netdiffuse.denoising.edge.allocator import Allocation, relieved
from netdiffuse.denoising.edge.messages import Ask, Decision, Grant, Report
from netdiffuse.denoising.embeddings import PromptEncoder
from netdiffuse.denoising.planner import Plan, Segment, SharingRule, cosines, groups, leaving, medoid
from netdiffuse.problems.feasible import Product
from netdiffuse.problems.shared_denoising.observation import rows
from netdiffuse.problems.shared_denoising.outcomes import LATE_S, STEPS, deliver, server_joules, share_steps
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.vector_env import decode, encode, feasible_set
from netdiffuse.users import persona_of, persona_table
from netdiffuse.users.persona import AVERAGE

Array = NDArray[Any]
Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A policy: the observation of a session, shape (users, features), to an action, shape (3 users,)."""

USUAL_GAIN = Radio().gain  # of a device that does not say: 100 m away
USUAL_GHZ = 1.5
ALIKE = SharingRule(low=0.3, high=0.4)  # the environment's groups have cosines of 0.33 to 0.89 with their leaders
SESSION_LEFT = 1.0  # a window is a session of its own: what comes after it is not known


class PolicyAllocator:
    """Shared steps, power and bandwidth of each request by a policy that was trained on shared denoising.

    The requests of a window are the users of a session. Groups are those of like prompts, led by their medoid; where
    the policy has the medoid share nothing, whoever shares and is most like it leads. The policy's k is of the
    environment's 11 steps, and is taken to the nearest step of the server's chains. A hand-off that would take longer
    than 10 s over the radio is none: the device would have gone on alone.

    What is kept for learning is what was done, not what the policy wanted: k after all that, in the environment's
    steps. A request whose device cannot do what is left to it has its further steps from the server, by its own prompt;
    and where another user than the medoid leads, the policy has seen another likeness than counts: ratings of either
    would not judge the policy, and are of no session.

    Args:
        act: the policy.
        settings: of the environment that it was trained on: the power and bandwidth that are divided, and whether
            personas are observed.
        encoder: prompts to embeddings.
        version: of the policy, which devices are told.
        rule: which prompts are alike; as alike as those of the environment's groups unless told.
    """

    def __init__(
        self,
        act: Act,
        settings: SharedDenoisingSettings,
        encoder: PromptEncoder,
        version: str,
        rule: SharingRule | None = None,
    ) -> None:
        self.act, self.settings, self.encoder = act, settings, encoder
        self.version, self.rule = version, rule or ALIKE

    def __call__(self, asks: Sequence[Ask], steps: int) -> Allocation:
        """Decide about these requests.

        Raises:
            UnsupportedError: a policy that is tied to another number of users.
        """
        alike = cosines(self.encoder([ask.prompt for ask in asks]))
        members = groups(alike, steps, self.rule)
        group, similarity = np.zeros(len(asks), np.int64), np.ones(len(asks))
        for number, those in enumerate(members):
            group[list(those)] = number
            similarity[list(those)] = alike[medoid(those, alike), list(those)]
        np.clip(similarity, -1, 1, out=similarity)
        reports = [ask.report or Report() for ask in asks]
        gain = np.array([gain_of(report) for report in reports])
        observation = self._observe(reports, similarity, group, gain)
        action = np.asarray(self.act(observation), np.float32).reshape(-1)
        shared, power_w, bandwidth_hz = (part[0] for part in self._decode(action, len(asks)))
        shared = np.where(deliver(gain, power_w, bandwidth_hz).delay_s > LATE_S, 0, shared)
        k = np.rint(shared * steps / STEPS).astype(np.int64).tolist()
        roots = [segment for those in members for segment in _chain(those, k, alike)]
        plan = relieved(Plan(len(asks), steps, tuple(roots)), asks)
        given = np.array(plan.shared_steps)
        done, own = (np.rint(n * STEPS / steps).astype(np.int64) for n in (np.array(k), given - k))
        sent_j = np.where(given > 0, deliver(gain, power_w, bandwidth_hz).energy_j, 0.0)
        server_j = server_joules(share_steps(done[None], group[None], len(members)).steps[0] + own) + sent_j
        judges = (given == k) & np.array([_follows_medoid(those, k, alike) for those in members])[group]
        taken = encode(self._feasible(len(asks)), done[None], power_w[None], bandwidth_hz[None])[0]
        session = uuid.uuid4().hex
        decisions = tuple(
            Decision(
                grant=Grant(
                    shared_steps=plan.shared_steps[user],
                    power_w=float(power_w[user]),
                    bandwidth_hz=float(bandwidth_hz[user]),
                    policy=self.version,
                ),
                session=session if judges[user] else None,
                user=user,
                observation=tuple(map(tuple, observation.tolist())),
                action=tuple(taken.tolist()),
                server_j=float(server_j[user]),
                settings=physics(self.settings),
            )
            for user in range(len(asks))
        )
        return Allocation(plan, decisions)

    def check(self, ask: Ask) -> None:
        """Refuse a request whose user is none: one would spoil the decisions about all, and what is learned of them.

        Raises:
            InvalidValueError: another number of wants than personas have, or one outside its range.
        """
        if ask.report is not None and ask.report.wants is not None:
            seen = np.array(ask.report.wants, np.float32)  # as the policy sees them, where close ones may be equal
            persona_of(ask.report.persona or "user", seen.tolist())

    def _observe(self, reports: list[Report], similarity: Array, group: Array, gain: Array) -> NDArray[np.float32]:
        """What the policy sees, shape (users, features)."""
        found: NDArray[np.float32] = rows(
            similarity=similarity[None],
            group=group[None],
            gain=gain[None],
            frequency_hz=np.array([[frequency_of(report) for report in reports]]),
            battery=np.array([[report.battery for report in reports]]),
            session_left=SESSION_LEFT,
            personas=np.array([[_wants(report) for report in reports]]) if self.settings.show_personas else None,
            settings=self.settings,
        )[0]
        return found

    def _decode(self, action: NDArray[np.float32], users: int) -> tuple[Array, Array, Array]:
        """k, powers and bandwidths, shape (1, users) each."""
        return decode(self._feasible(users), action[None])

    def _feasible(self, users: int) -> Product:
        return feasible_set(users, self.settings.power_w, self.settings.bandwidth_hz)


def physics(settings: SharedDenoisingSettings) -> dict[str, float]:
    """What an observation, an action and its outcome mean nothing without: what is divided, and a full battery."""
    return {name: float(getattr(settings, name)) for name in ("power_w", "bandwidth_hz", "battery_j")}


def gain_of(report: Report) -> float:
    """Linear power gain of a device's channel, the usual one where it does not say."""
    return USUAL_GAIN if report.gain_db is None else float(db_to_linear(report.gain_db))


def frequency_of(report: Report) -> float:
    """Frequency of a device's processor in Hz, the usual one where it does not say."""
    return 1e9 * (USUAL_GHZ if report.frequency_ghz is None else report.frequency_ghz)


def _wants(report: Report) -> tuple[float, ...]:
    """A user's numbers, the average persona's where there are none."""
    return tuple(persona_table([AVERAGE])[0].tolist()) if report.wants is None else report.wants


def _chain(members: tuple[int, ...], k: list[int], alike: Array) -> tuple[Segment, ...]:
    """A group's segments, led by who shares and is most like the medoid: itself, where it shares."""
    sharing = [user for user in members if k[user] > 0]
    if not sharing:
        return ()
    leads = medoid(members, alike)
    if k[leads] == 0:
        leads = max(sharing, key=lambda user: float(alike[leads, user]))
    return leaving({user: k[user] for user in members}, (leads,))


def _follows_medoid(members: tuple[int, ...], k: list[int], alike: Array) -> bool:
    """Whether a group is led by its medoid, as the policy has seen it, or shares nothing."""
    return k[medoid(members, alike)] > 0 or not any(k[user] for user in members)

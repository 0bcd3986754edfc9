"""Sessions of users who share denoising, many in step: slots, groups, channels, batteries, opinions."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from netdiffuse.channels import LogDistance, db_to_linear, log_distance_path_loss_db
from netdiffuse.common import InvalidValueError, checks
from netdiffuse.problems.shared_denoising.library import library
from netdiffuse.problems.shared_denoising.outcomes import Outcome, deliver, receive, server_joules, share_steps
from netdiffuse.problems.shared_denoising.quality import quality_of
from netdiffuse.problems.shared_denoising.rating import ParametricRating, Rating, parametric_means
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.users import PRESETS, draw_personas, persona_table

Array = NDArray[Any]

CELL = LogDistance()  # path loss and shadowing around the server
NEAREST_M, FARTHEST_M = 20.0, CELL.max_distance_m
STRIDE_M = 5.0  # standard deviation of a user's way towards or from the server in a slot
DEVICE_HZ = (1e9, 2e9)  # of the slowest and the fastest device; HIS has 1.4 to 1.6 GHz
POPULATION = 512  # personas of which random ones are drawn
FIRST_LEVEL = (0.3, 1.0)  # of batteries at the start, as a share of what they hold


class Slot(NamedTuple):
    """What users want in a slot, arrays of shape (episodes, users).

    Attributes:
        caption: number of each user's caption in the library.
        group: of each user, from 0.
        leader: the user whose prompt leads the user's group.
        similarity: cosine of the user's prompt and the leader's; 1 for the leader.
        gain: linear power gain of the channel.
    """

    caption: NDArray[np.int64]
    group: NDArray[np.int64]
    leader: NDArray[np.int64]
    similarity: Array
    gain: Array


class SharedDenoisingSimulator:
    """n independent sessions in step.

    Two generators: one of the world, one of opinions, so that who rates changes nothing that goes on.

    Args:
        n: number of sessions.
        settings: of the sessions; those by default where there are none.
        rating: who rates; `ParametricRater` unless told.

    Attributes:
        random: generator of the world.
        opinion_random: generator of opinions.
    """

    def __init__(self, n: int, settings: SharedDenoisingSettings | None = None, rating: Rating | None = None) -> None:
        self.n = checks.integer("num_envs", n)
        self.settings = settings or SharedDenoisingSettings()
        self.users, self.groups = self.settings.users, self.settings.groups
        self.quality = quality_of(self.settings.outcome)
        self.rating = rating or ParametricRating(self.settings.noisy)
        people = list(PRESETS.values()) if self.settings.personas == "presets" else draw_personas(POPULATION, 0)
        self.people = people
        self.names = [person.name for person in people]
        self.population = persona_table(people)
        self.seed(None)
        shape = (self.n, self.users)
        self.index = np.zeros(self.n, np.int64)
        self.person = np.zeros(shape, np.int64)
        self.distance_m = np.full(shape, NEAREST_M)
        self.shadowing_db = np.zeros(shape)
        self.frequency_hz = np.full(shape, DEVICE_HZ[0])
        self.left_j = np.zeros(shape)
        zeros = np.zeros(shape, np.int64)
        self.slot = Slot(zeros, zeros.copy(), zeros.copy(), np.ones(shape), np.ones(shape))

    def seed(self, seed: int | None) -> None:
        """Seed both generators; None for fresh ones."""
        world, opinions = np.random.SeedSequence(seed).spawn(2)
        self.random, self.opinion_random = np.random.default_rng(world), np.random.default_rng(opinions)

    def begin(self, which: NDArray[np.bool_] | None = None) -> None:
        """Start the marked sessions anew (all by default): new users, and their first wishes."""
        rows = np.arange(self.n) if which is None else np.flatnonzero(which)
        if not rows.size:
            return
        shape, random = (len(rows), self.users), self.random
        self.index[rows] = 0
        self.person[rows] = random.integers(0, len(self.population), shape)
        # uniform over the area: the square of the distance is uniform
        self.distance_m[rows] = np.sqrt(random.uniform(NEAREST_M**2, FARTHEST_M**2, shape))
        self.shadowing_db[rows] = CELL.shadowing_db * random.standard_normal(shape)
        self.frequency_hz[rows] = random.uniform(*DEVICE_HZ, shape)
        self.left_j[rows] = self.settings.battery_j * random.uniform(*FIRST_LEVEL, shape)
        self._wish(rows)

    def _wish(self, rows: NDArray[np.int64]) -> None:
        """Draw what users want now, and their channels."""
        shape, random, known = (len(rows), self.users), self.random, library()
        group = random.integers(0, self.groups, shape)
        theme = random.integers(0, len(known.themes), (len(rows), self.groups))
        choice = random.integers(0, known.themes.shape[1], shape)
        caption = known.themes[np.take_along_axis(theme, group, 1), choice]
        together = group[:, :, None] == group[:, None, :]
        cosine = known.similarity[caption[:, :, None], caption[:, None, :]]
        # The medoid: whose prompt is most like all of the group; of equals, the first.
        likeness = (cosine * together).sum(-1)
        leader = np.where(together, likeness[:, None, :], -np.inf).argmax(-1)
        distance_m, shadowing_db = (torch.from_numpy(a[rows]) for a in (self.distance_m, self.shadowing_db))
        loss_db = log_distance_path_loss_db(distance_m, CELL.exponent, CELL.reference_loss_db) + shadowing_db
        fading = np.maximum(random.exponential(1.0, shape), 1e-6)
        similarity = np.take_along_axis(cosine, leader[..., None], 2)[..., 0]
        new = Slot(caption, group, leader, similarity, db_to_linear(-loss_db).numpy() * fading)
        for kept, drawn in zip(self.slot, new, strict=True):
            kept[rows] = drawn

    def outcome(self, shared: NDArray[np.int64], power_w: Array, bandwidth_hz: Array) -> Outcome:
        """What a decision leads to in this slot, without anything moving on.

        Args:
            shared: k of each user, in 0..T, shape (n, users).
            power_w: of each user's hand-off, shape (n, users).
            bandwidth_hz: likewise.
        """
        delivery = deliver(self.slot.gain, power_w, bandwidth_hz)
        work = share_steps(shared, self.slot.group, self.groups)
        got = receive(shared, work.ready_s, delivery, self.frequency_hz, self.left_j)
        return Outcome(
            quality=np.where(got.lost, 0.0, self.quality(self, got.shared, got.bit_error_rate)),
            delay_s=got.delay_s,
            device_j=got.device_j,
            server_j=server_joules(work.steps) + np.where(shared > 0, delivery.energy_j, 0.0),
            shared=got.shared,
            bit_error_rate=got.bit_error_rate,
            late=got.late,
            lost=got.lost,
        )

    def opinions(self, outcome: Outcome) -> Array:
        """What the users say of it, in [1, 5], shape (n, users)."""
        return self.rating(self, outcome)

    def mean_opinions(self, outcome: Outcome) -> Array:
        """Means of the parametric rater, whoever rates: what rules reckon with; shape (n, users)."""
        return parametric_means(self, outcome)

    def advance(self, outcome: Outcome) -> NDArray[np.bool_]:
        """Draw the batteries down and move on to the next slot.

        Returns:
            Whose session is over, shape (n,).
        """
        self.left_j = self.left_j - outcome.device_j
        moved = self.distance_m + STRIDE_M * self.random.standard_normal(self.distance_m.shape)
        moved = np.abs(moved - NEAREST_M) + NEAREST_M  # whoever comes too near turns around
        self.distance_m = FARTHEST_M - np.abs(FARTHEST_M - moved)
        self.index += 1
        self._wish(np.arange(self.n))
        return self.index >= self.settings.slots

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit."""
        names = ("index", "person", "distance_m", "shadowing_db", "frequency_hz", "left_j")
        return {
            "arrays": {name: getattr(self, name).copy() for name in names},
            "slot": [values.copy() for values in self.slot],
            "random": self.random.bit_generator.state,
            "opinion_random": self.opinion_random.bit_generator.state,
            "rating": self.rating.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InvalidValueError: the state is of another number of sessions or users.
        """
        shape = state["arrays"]["person"].shape
        if shape != self.person.shape:
            raise InvalidValueError(f"the saved sessions must have shape {self.person.shape}, got {shape}")
        for name, values in state["arrays"].items():
            setattr(self, name, values.copy())
        self.slot = Slot(*(values.copy() for values in state["slot"]))
        self.random.bit_generator.state = state["random"]
        self.opinion_random.bit_generator.state = state["opinion_random"]
        self.rating.load_state_dict(state["rating"])

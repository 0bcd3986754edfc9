"""Shared denoising in pictures: how personas are pleased, who shares how much, energy against QoE."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from netdiffuse.baselines.denoising_rules import DENOISING_RULES, equal_split
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.figures.style import COLOURS, MUTED, POLICY, REFERENCE, new_figure, styled
from netdiffuse.experiments.policies import undisturbed
from netdiffuse.experiments.run import Run
from netdiffuse.experiments.tasks.batched import BatchedTask
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.outcomes import STEPS
from netdiffuse.users import PRESETS
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]
Act = Callable[[SharedDenoisingVectorEnv, Array], Array]

SESSIONS = 100
SHOWN_RULES = ("greedy", "equal-shares", "alone")
PRICES = (0.0, 0.003, 0.03, 0.05, 0.1)  # energy weights under which greedy is drawn too
BINS = 6
MOST_BARS = 6  # methods in a comparison's figure: more bars are not told apart
NAMED_STEPS = (0, 3, 5, 8, STEPS)  # of the line of equal shares


@dataclass(frozen=True)
class Played:
    """What happened in sessions, arrays of shape (slots, sessions, users).

    Attributes:
        shared: steps asked for.
        similarity: of the user's prompt and the leader's.
        snr_db: of the equal split.
        person: number of the persona.
        opinions: in [1, 5].
        joules: of device and server for the user.
    """

    shared: NDArray[np.int64]
    similarity: Array
    snr_db: Array
    person: NDArray[np.int64]
    opinions: Array
    joules: Array

    @property
    def qoe(self) -> float:
        """Mean opinion above the floor."""
        return float((self.opinions - FLOOR).mean())

    @property
    def slot_joules(self) -> float:
        """Mean energy of a slot, of all devices and the server."""
        return float(self.joules.sum(-1).mean())

    def qoe_of(self, person: int) -> float:
        """Mean opinion above the floor of a persona; NaN where there was none."""
        whose = self.person == person
        return float((self.opinions[whose] - FLOOR).mean()) if whose.any() else float("nan")


def play_sessions(env: SharedDenoisingVectorEnv, act: Act, seed: int = SEED) -> Played:
    """Play the first sessions of all sub-environments to their end, all of one length."""
    rows: list[tuple[Array, ...]] = []
    with undisturbed():
        observations, _ = env.reset(seed=seed)
        for _ in range(env.settings.slots):
            similarity, person = env.simulator.slot.similarity.copy(), env.simulator.person.copy()
            snr_db = 10 * observations[..., 2].astype(np.float64)
            actions = act(env, observations)
            shared = env.decode(actions)[0]
            observations, *_ = env.step(actions)
            assert env.last is not None
            outcome, opinions = env.last
            rows.append((shared, similarity, snr_db, person, opinions, outcome.device_j + outcome.server_j))
    return Played(*(np.stack(column) for column in zip(*rows, strict=True)))


def sharing_figures(run: Run, task: BatchedTask) -> dict[str, Figure]:
    """The figures of a run, by file name: `qoe`, `sharing` and `energy`."""
    env = task.make(SESSIONS)
    if not isinstance(env, SharedDenoisingVectorEnv):
        return {}

    def by_rule(name: str, where: SharedDenoisingVectorEnv = env) -> Played:
        return play_sessions(where, lambda e, _: DENOISING_RULES[name].choose(e, random))

    random = np.random.default_rng(SEED)
    rules = {name: by_rule(name) for name in SHOWN_RULES}
    policy = play_sessions(env, lambda e, seen: task.predict(run.model, e, seen))
    name = run.config.algorithm
    alike = {k: play_sessions(env, lambda e, _, k=k: all_alike(e, k)) for k in range(STEPS + 1)}  # type: ignore[misc]
    priced = {w: SharedDenoisingVectorEnv(SESSIONS, **{**task.arguments, "energy_weight": w}) for w in PRICES}
    thrifty = {price: by_rule("greedy", where) for price, where in priced.items()}
    figures = {
        "sharing": sharing_figure({name: policy, "greedy": rules["greedy"]}),
        "energy": energy_figure(name, policy, alike, {**thrifty, env.settings.energy_weight: rules["greedy"]}),
    }
    if len(env.simulator.names) <= len(COLOURS):
        figures["qoe"] = qoe_figure({name: policy, **rules}, env.simulator.names)
    return figures


def all_alike(env: SharedDenoisingVectorEnv, k: int) -> Array:
    """The action that gives everybody k shared steps and equal shares."""
    return env.encode(*equal_split(env, np.full((env.num_envs, env.settings.users), k)))


def qoe_figure(played: Mapping[str, Played], personas: list[str]) -> Figure:
    """Draw each persona's mean opinion above the floor in sessions, a group of bars a persona, a bar a method."""
    heights = {name: [sessions.qoe_of(person) for person in range(len(personas))] for name, sessions in played.items()}
    return persona_bars(heights, {name: sessions.qoe for name, sessions in played.items()}, personas)


def compared_qoe(evaluations: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Draw `qoe_figure` of a comparison's best methods by QoE, means over the seeds; None where presets are not judged.

    Args:
        evaluations: of each method, one a seed, as in results.json.
    """
    presets = [name for name in PRESETS if all(f"qoe_{name}" in e for own in evaluations.values() for e in own)]
    if not presets:
        return None
    means = {method: float(np.mean([e["qoe"] for e in own])) for method, own in evaluations.items()}
    best = sorted(means, key=lambda method: -means[method])[:MOST_BARS]
    heights = {m: [float(np.mean([e[f"qoe_{name}"] for e in evaluations[m]])) for name in presets] for m in best}
    return persona_bars(heights, means, presets)


def persona_bars(heights: Mapping[str, list[float]], means: Mapping[str, float], personas: list[str]) -> Figure:
    """Draw bars.

    Args:
        heights: for each method, a mean opinion above the floor a persona.
        means: for each method, that of all users.
        personas: their names.
    """
    with styled():
        figure = new_figure(1.4 + 1.25 * len(personas), 3.8)
        axes = figure.subplots()
        places, width = np.arange(len(personas)), 0.8 / len(heights)
        inks = (POLICY, REFERENCE, "#009E73", "#A8A8A8", *COLOURS[3:5], COLOURS[1])
        for index, (name, bars) in enumerate(heights.items()):
            where = places + (index - (len(heights) - 1) / 2) * width
            axes.bar(where, bars, 0.9 * width, color=inks[index % len(inks)], label=f"{name} ({means[name]:.2f})")
        axes.set_xticks(places, personas)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("mean opinion above 1")
        axes.set_title("how personas are pleased; mean of all in brackets")
        figure.legend(loc="outside lower center", ncols=4 if len(heights) == 4 else min(3, len(heights)))
    return figure


def sharing_figure(played: Mapping[str, Played]) -> Figure:
    """Draw shared steps against the similarity to the leader and against the channel, a line a method."""
    with styled():
        figure = new_figure(8.4, 3.8)
        panels = figure.subplots(1, 2, sharey=True)
        for index, (name, sessions) in enumerate(played.items()):
            for axes, over in zip(panels, (sessions.similarity, sessions.snr_db), strict=True):
                _binned(axes, over, sessions.shared, name, (POLICY, REFERENCE)[index % 2])
        panels[0].set_xlabel("similarity of the prompt to the leader's (1: leads)")
        panels[1].set_xlabel("SNR of the equal split (dB)")
        panels[0].set_ylabel(f"shared steps of {STEPS}")
        panels[0].set_ylim(0, STEPS)
        panels[0].set_title("who shares: means")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(played))
    return figure


def bins(over: Array, count: int = BINS) -> list[NDArray[np.bool_]]:
    """Which entries fall between the quantiles of `over`; equal values stay together, empty bins are left out."""
    edges = np.unique(np.quantile(over, np.linspace(0, 1, count + 1)))
    number = np.clip(np.searchsorted(edges, over, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = [number == i for i in range(max(len(edges) - 1, 1))]
    return [which for which in found if which.any()]


def _binned(axes: Axes, over: Array, shared: NDArray[np.int64], name: str, ink: str) -> None:
    groups = bins(over)
    x = [float(over[which].mean()) for which in groups]
    axes.plot(x, [float(shared[which].mean()) for which in groups], color=ink, marker="o", ms=4, label=name)


def energy_figure(name: str, policy: Played, alike: Mapping[int, Played], greedy: Mapping[float, Played]) -> Figure:
    """Draw energy against QoE: a policy, the same k for all, greedy under several prices of energy.

    Args:
        name: of the policy.
        policy: its sessions.
        alike: k to sessions where everybody shares k steps.
        greedy: energy weight to sessions.
    """
    with styled():
        figure = new_figure(6.4, 4.2)
        axes = figure.subplots()
        line = {k: (s.slot_joules, s.qoe) for k, s in sorted(alike.items())}
        axes.plot(
            *zip(*line.values(), strict=True), color=MUTED, marker=".", label="k for all, equal power and bandwidth"
        )
        front = {price: (s.slot_joules, s.qoe) for price, s in sorted(greedy.items())}
        axes.plot(
            *zip(*front.values(), strict=True), color=REFERENCE, marker="o", ms=4, label="greedy by price of energy"
        )
        axes.plot(policy.slot_joules, policy.qoe, "*", color=POLICY, ms=15, label=name)
        for k in NAMED_STEPS:
            if k in line:
                _tell(axes, line[k], "alone" if k == 0 else f"k = {k}", (0, 7) if STEPS // 2 < k < STEPS else (4, -13))
        for price in (min(front), max(front)):
            _tell(axes, front[price], f"{price:g} a joule", (-4, 7), "right")
        axes.margins(x=0.14, y=0.14)
        axes.set_xlabel("energy of a slot: server and devices (J)")
        axes.set_ylabel("mean opinion above 1")
        axes.set_title("energy against quality of experience")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def _tell(axes: Axes, point: tuple[float, float], word: str, offset: tuple[float, float], side: str = "left") -> None:
    """Name a point, legible over lines and stars."""
    halo = [withStroke(linewidth=2.5, foreground="white")]
    style: dict[str, Any] = {"fontsize": 8.5, "color": MUTED, "ha": side, "path_effects": halo, "zorder": 5}
    axes.annotate(word, point, xytext=offset, textcoords="offset points", **style)

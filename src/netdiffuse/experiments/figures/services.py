"""Edge AIGC services in pictures: crashes over training, loads over an episode, choices from noise to probabilities."""

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from netdiffuse.algorithms import D2SAC
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.experiments.figures.style import MUTED, POLICY, REFERENCE, new_figure, styled
from netdiffuse.experiments.run import Run
from netdiffuse.experiments.tasks.batched import BatchedTask
from netdiffuse.problems.aigc_services import AIGCServicesVectorEnv, ServiceSimulator

Array = NDArray[Any]
SHOWN = 3  # choices whose denoising is drawn
COLUMNS = 100  # of an episode's time, at most


def service_figures(run: Run, task: BatchedTask) -> dict[str, Figure]:
    """The figures of a run, by file name: `crashes`, `load`, and `denoising` where a diffusion model chooses."""
    env = task.make(1)
    if not isinstance(env, AIGCServicesVectorEnv):
        return {}
    curve = run.curve
    figures = {"crashes": crash_figure(curve["seconds"].to_numpy(), curve["crash_percent"].to_numpy())}
    env.reset(seed=SEED)
    times, loads, observations, masks = [], [], [], []
    while True:
        observation = env.simulator.observe()
        times.append(int(env.simulator.now[0]))
        observations.append(observation[0])
        masks.append(env.action_masks()[0])
        choice = task.predict(run.model, env, observation)
        env.simulator.assign(choice)
        loads.append(env.simulator.load[0] / env.simulator.providers.total_t)
        if env.simulator.over[0]:
            break
    figures["load"] = load_figure(np.array(times), np.array(loads), env.simulator)
    if isinstance(run.model, D2SAC) and run.model.actor.noisy:
        picked = np.linspace(len(observations) // 4, len(observations) - 1, SHOWN).astype(int)
        shown = np.stack([observations[i] for i in picked])
        chain = torch.as_tensor(run.model.denoising_trajectory(shown, seed=0))  # (steps + 1, SHOWN, P)
        allowed = torch.from_numpy(np.stack([masks[i] for i in picked])) if run.model.action_masks else None
        probabilities = torch.stack([run.model.policy.log_probs(x, allowed).exp() for x in chain]).numpy()
        figures["denoising"] = denoising_figure(probabilities, shown, env.simulator)
    return figures


def crash_figure(seconds: Array, percent: Array) -> Figure:
    """Draw the share of accepted tasks that are lost in crashes, over the time of training."""
    with styled():
        figure = new_figure(6.8, 3.6)
        axes = figure.subplots()
        axes.plot(seconds, percent, color=POLICY)
        axes.set_xlabel("training time (s)")
        axes.set_ylabel("accepted tasks lost (%)")
        axes.set_xlim(0, seconds[-1])
        axes.set_ylim(bottom=0)
        axes.set_title("tasks lost in crashes")
    return figure


def load_figure(times: Array, loads: Array, simulator: ServiceSimulator) -> Figure:
    """Draw how much of each provider is in use over one episode, the best quality on top.

    Args:
        times: of the decisions in seconds, shape (n,).
        loads: share of each provider in use after each, shape (n, P).
        simulator: knows the providers.
    """
    mean_quality = simulator.providers.quality(np.arange(100, 251, 10)).mean(0)
    order = np.argsort(-mean_quality)
    columns = max(1, min(COLUMNS, len(times) // 8))  # so that hardly one has no decision in it
    bins = np.minimum((columns * times / (times[-1] + 1)).astype(int), columns - 1)
    picture = np.full((len(order), columns), np.nan)
    for one in range(columns):
        if (bins == one).any():
            picture[:, one] = loads[bins == one].mean(0)[order]
    with styled():
        figure = new_figure(7.6, 1.4 + 0.2 * len(order))
        axes, side = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
        edges = np.linspace(0, times[-1] / 86_400, columns + 1)
        rows = np.arange(len(order) + 1) - 0.5
        mesh = axes.pcolormesh(edges, rows, picture, vmin=0, vmax=1, cmap="viridis")
        axes.set_yticks(range(len(order)), [str(i) for i in order])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlabel("time (days)")
        axes.set_ylabel("provider, the best first")
        axes.set_title("share of each provider in use, one episode")
        figure.colorbar(mesh, ax=axes, pad=0.02, label="in use")
        side.barh(range(len(order)), mean_quality[order], color=REFERENCE)
        side.set_xlabel("mean quality")
        side.set_title("hidden", color=MUTED)
    return figure


def denoising_figure(probabilities: Array, observations: Array, simulator: ServiceSimulator) -> Figure:
    """Draw the choice probabilities along the chain, one panel a task; rings mark the prophet's choice.

    Args:
        probabilities: shape (steps + 1, n, P), from noise to the policy's.
        observations: what was seen, shape (n, 2 P + 2).
        simulator: knows the hidden qualities.
    """
    steps, n, p = probabilities.shape
    with styled():
        figure = new_figure(2.6 * n + 1.4, 5.2)
        panels = figure.subplots(1, n, sharey=True, squeeze=False)[0]
        for i, axes in enumerate(panels):
            mesh = axes.imshow(probabilities[:, i].T, aspect="auto", vmin=0, vmax=1, cmap="viridis")
            need = round(float(observations[i, -2]) * 250)
            best = prophets_choice(observations[i], simulator)
            axes.plot(steps - 1, best, "o", color="white", mfc="none", ms=9, mew=2)
            axes.set_title(f"task of {need} steps")
            axes.set_xlabel("denoising step")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_yticks(range(p))
            axes.grid(visible=False)
        panels[0].set_ylabel("provider")
        figure.colorbar(mesh, ax=list(panels), pad=0.02, label="probability")
        figure.supxlabel("step 0: noise; ring: the prophet's choice", fontsize=9, color=MUTED)
    return figure


def prophets_choice(observation: Array, simulator: ServiceSimulator) -> int:
    """The provider of the best quality among those with room, by an observation of shape (2 P + 2,)."""
    p = len(simulator.providers)
    need = round(float(observation[-2]) * 250)
    free = observation[1 : 2 * p : 2] * simulator.providers.total_t
    return int(np.where(free >= need - 0.5, simulator.providers.quality(need), -1).argmax())

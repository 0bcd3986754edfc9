"""Looking inside a decision: a context, the chain from noise to the decision, and what is best there."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from netdiffuse.algorithms import D2SAC
from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.common import UnsupportedError
from netdiffuse.common.seeding import generator
from netdiffuse.experiments import Config, Run, load
from netdiffuse.experiments.figures.services import prophets_choice
from netdiffuse.experiments.figures.style import label
from netdiffuse.experiments.tasks import OneShotTask
from netdiffuse.experiments.tasks.batched import BatchedTask
from netdiffuse.problems.aigc_services import AIGCServicesVectorEnv
from netdiffuse.problems.base import Problem
from netdiffuse.problems.power_allocation import PowerAllocation
from netdiffuse.registration import SEQUENTIAL

ARRIVALS = 60  # tasks that are given away before one is looked at, so that the providers are busy


@dataclass(frozen=True)
class Look:
    """A decision in one context.

    Attributes:
        names: of the decision's entries.
        steps: the decision after each denoising step, from decoded noise, or the decoded zero start of the
            deterministic chain, to the policy's; (steps + 1) rows.
        utilities: of each of these; empty where it is not known.
        reference: the best known decision, or None.
        reference_utility: its utility, or None.
        floors: noise over gain of each channel, on which the powers of water-filling stand; None elsewhere.
        level: the water's level, or None.
    """

    names: list[str]
    steps: list[list[float]]
    utilities: list[float] = field(default_factory=list)
    reference: list[float] | None = None
    reference_utility: float | None = None
    floors: list[float] | None = None
    level: float | None = None


class Inside(ABC):
    """A run's policy, to be looked into.

    Attributes:
        run: the run.
        names: of the context's entries, flattened.
        measure: label of a decision's axis, with its unit.
        utility_unit: of the utility.
        shape: of a context.
        one_shot: whether `netdiffuse decide` knows such contexts.
        diffusion: whether the policy has a chain; else it decides in one step.
    """

    run: Run
    names: list[str]
    measure: str
    utility_unit: str = ""
    shape: tuple[int, ...]
    one_shot = True
    diffusion = True

    @abstractmethod
    def sample(self, seed: int) -> list[float]:
        """Draw a context, flattened."""

    @abstractmethod
    def look(self, context: Sequence[float], seed: int | None) -> Look:
        """Decide in a context, flattened.

        Args:
            context: what is observed.
            seed: of the chain's noise; None for the deterministic chain.
        """

    def shaped(self, context: Sequence[float]) -> list[object]:
        """A flattened context as nested lists of its shape."""
        return list(np.asarray(context, dtype=float).reshape(self.shape).tolist())


def has_picture(config: Config) -> bool:
    """Whether one can look into a run, as far as its config tells without opening it; `look_into` knows for sure."""
    if config.problem == SEQUENTIAL["AIGCServices"]:
        return config.algorithm == "d2sac"
    return config.problem not in SEQUENTIAL.values() and not re.search(r"-v\d+$", config.problem)


def look_into(run_dir: str) -> Inside:
    """Open a run's last checkpoint.

    Raises:
        RunError: there is none, or it is damaged.
        UnsupportedError: there is no picture of such decisions.
    """
    run = load(run_dir)
    task = run.task
    if isinstance(task, OneShotTask):
        return _OneShot(run, task.problem)
    if isinstance(task, BatchedTask):
        env = task.make(1)
        if isinstance(env, AIGCServicesVectorEnv) and isinstance(run.model, D2SAC):
            return _Services(run, task, env)
    raise UnsupportedError(no_picture(run.config))


def no_picture(config: Config) -> str:
    """Why one cannot look into a run."""
    return (
        f"{config.algorithm} on {config.problem} has no picture here: one can look into one-shot problems, and "
        "into d2sac on aigc-services"
    )


class _OneShot(Inside):
    """Entries of the decision against the reference's."""

    def __init__(self, run: Run, problem: Problem) -> None:
        self.run, self.problem = run, problem
        self.names = problem.context_names
        self.measure = label(problem.decision_names[0].rstrip("0123456789_"), problem.decision_unit)
        self.utility_unit = problem.utility_unit
        self.shape = problem.context_shape
        self.model = run.model
        self.diffusion = isinstance(self.model, DiffusionAlgorithm)

    def sample(self, seed: int) -> list[float]:
        return list(self.problem.sample_contexts(1, generator(seed)).flatten().tolist())

    @torch.no_grad()
    def look(self, context: Sequence[float], seed: int | None) -> Look:
        problem = self.problem
        contexts = problem.check_contexts(torch.tensor(context, dtype=torch.float32).reshape(1, *self.shape))
        if isinstance(self.model, DiffusionAlgorithm):
            actions = torch.as_tensor(self.model.denoising_trajectory(contexts.numpy(), seed=seed))[:, 0]
        else:  # decides in one step
            with torch.random.fork_rng():  # SB3 draws from the global random numbers
                if seed is not None:
                    torch.manual_seed(seed)
                actions = torch.as_tensor(self.model.predict(contexts.numpy(), deterministic=seed is None)[0])
        decisions = problem.feasible.decode(actions)  # (steps + 1, ...)
        utilities = problem.utility(contexts.expand(len(decisions), *self.shape), decisions)
        reference = problem.reference(contexts)
        floors, level = self._water(contexts[0], None if reference is None else reference[0])
        return Look(
            problem.decision_names,
            decisions.flatten(1).tolist(),
            utilities.tolist(),
            reference.flatten().tolist() if reference is not None else None,
            float(problem.utility(contexts, reference)[0]) if reference is not None else None,
            floors,
            level,
        )

    def _water(self, gains: Tensor, reference: Tensor | None) -> tuple[list[float] | None, float | None]:
        if not isinstance(self.problem, PowerAllocation) or reference is None:
            return None, None
        floors = self.problem.noise_power / gains
        return floors.tolist(), float((floors + reference)[reference.argmax()])


class _Services(Inside):
    """Probabilities of the providers, masked where they have no room; the prophet's choice is the reference."""

    measure = "probability"
    one_shot = False

    def __init__(self, run: Run, task: BatchedTask, env: AIGCServicesVectorEnv) -> None:
        self.run, self.task, self.env = run, task, env
        assert isinstance(run.model, D2SAC)
        self.model = run.model
        self.providers = len(env.simulator.providers)
        each = [f"{what} of provider {i}" for i in range(self.providers) for what in ("capacity", "free share")]
        self.names = [*each, "steps of the task", "running time of the task"]
        self.shape = (len(self.names),)

    def sample(self, seed: int) -> list[float]:
        self.env.reset(seed=seed)
        for _ in range(ARRIVALS):
            observation = self.env.simulator.observe()
            self.env.simulator.assign(self.task.predict(self.model, self.env, observation))
        return list(map(float, self.env.simulator.observe()[0]))

    @torch.no_grad()
    def look(self, context: Sequence[float], seed: int | None) -> Look:
        observation = np.asarray([context], dtype=np.float32)
        chain = torch.as_tensor(self.model.denoising_trajectory(observation, seed=seed))
        steps = [self.model.policy.log_probs(x, None).exp()[0].tolist() for x in chain]
        best = prophets_choice(observation[0], self.env.simulator)
        return Look(
            [f"provider {i}" for i in range(self.providers)],
            steps,
            reference=[float(i == best) for i in range(self.providers)],
        )

"""Behaviour cloning: learn the distribution of expert decisions by denoising."""

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from netdiffuse.algorithms.common.one_shot import OneShotAlgorithm
from netdiffuse.algorithms.common.policies import ActorKind, DiffusionPolicy
from netdiffuse.algorithms.common.setup import need_problem, problem_of
from netdiffuse.common import InvalidValueError, UnsupportedError
from netdiffuse.diffusion import denoising_loss
from netdiffuse.diffusion.prediction import Prediction
from netdiffuse.problems.base import Problem
from netdiffuse.problems.tables import read_expert


class DiffusionBC(OneShotAlgorithm):
    """Behaviour cloning of expert decisions by a diffusion model.

    The expert is the problem's own reference, solved for each batch of fresh contexts, or a data set of contexts and
    decisions. (Chi et al., "Diffusion policy", RSS 2023, for control; the expert mode of Du et al., IEEE COMST 2024,
    for networks.)

    Args:
        policy: "MlpPolicy", or "EquivariantPolicy" for problems of interchangeable entities or pairs.
        env: an environment made from a netdiffuse `Problem`, a `Problem`, or the name of one.
        learning_rate: a number decays linearly to `final_learning_rate` of itself.
        final_learning_rate: share of the learning rate that is left at the end, in [0, 1].
        batch_size: expert decisions in a gradient step.
        dataset: contexts (n, *context_shape) and decisions (n, *decision_shape), or the name of a CSV or Parquet file
            of both; None for the problem's reference. A save file keeps the name alone: of arrays, go on with
            `load(path, env, dataset=dataset)`.
        denoising_steps: steps of the chain; 10 or more where the expert's decisions have several modes, between which
            the draws of a shorter chain fall.
        schedule: noise schedule: "vp", "cosine" or "linear".
        prediction: what the network predicts: "x0", "eps" or "v".
        sampler: how stochastic actions are drawn: "ddpm" or "ddim".
        actor: "diffusion", or "mlp" for a plain network (mean squared error).
        n_candidates: actions drawn for a decision, of which `predict` keeps the one with the best utility.
        stats_window_size: taken for Stable-Baselines3's sake; there are no episodes here.
        tensorboard_log: folder of TensorBoard logs, None for none.
        policy_kwargs: further arguments of the policy, for example {"net_arch": [256, 256]}.
        verbose: 0 for silence, 1 for information.
        seed: seed of everything random.
        device: torch device, "auto" for a GPU where there is one.

    Raises:
        UnsupportedError: the environment is not made from a problem, or there is no expert.
        InvalidValueError: a data set of the wrong shape, or with decisions outside the feasible set.
    """

    def __init__(
        self,
        policy: str | type[DiffusionPolicy],
        env: GymEnv | Problem | str,
        learning_rate: float | Schedule = 2e-3,
        final_learning_rate: float = 0.03,
        batch_size: int = 64,
        dataset: tuple[Tensor | NDArray[Any], Tensor | NDArray[Any]] | str | None = None,
        denoising_steps: int = 3,
        schedule: str = "vp",
        prediction: Prediction = "x0",
        sampler: str = "ddpm",
        actor: ActorKind = "diffusion",
        n_candidates: int = 1,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        self.dataset = dataset
        self._from_dataset = dataset is not None
        chosen = {
            "denoising_steps": denoising_steps,
            "schedule": schedule,
            "prediction": prediction,
            "sampler": sampler,
            "actor": actor,
            "n_candidates": n_candidates,
        }
        super().__init__(
            policy,
            env,
            learning_rate,
            final_learning_rate,
            batch_size,
            chosen,
            stats_window_size,
            tensorboard_log,
            policy_kwargs,
            verbose,
            seed,
            device,
            _init_setup_model,
        )

    def _attach(self) -> None:
        super()._attach()
        if isinstance(self.dataset, tuple) and self.env is not None:
            self._contexts, self._actions = self._check_dataset(*self.dataset)
            self._from_dataset = True

    def _check_trainable(self) -> None:
        super()._check_trainable()
        if isinstance(self.dataset, str) and not hasattr(self, "_contexts"):
            self.problem = need_problem(problem_of(self.env), type(self).__name__)
            self.feasible = self.problem.feasible
            self._contexts, self._actions = self._check_dataset(*read_expert(Path(self.dataset), self.problem))
        if self.dataset is not None:
            return
        if self._from_dataset:
            raise UnsupportedError(
                "this model learned from a data set, which its save file leaves out: to go on, load it with dataset="
            )
        problem = need_problem(problem_of(self.env), type(self).__name__)
        if problem.reference(problem.sample_contexts(1, torch.Generator().manual_seed(0))) is None:
            raise UnsupportedError(
                f"DiffusionBC needs an expert, and {type(problem).__name__} has no reference: give dataset="
            )

    def _check_dataset(
        self, contexts: Tensor | NDArray[Any], decisions: Tensor | NDArray[Any]
    ) -> tuple[Tensor, Tensor]:
        contexts = torch.as_tensor(contexts, dtype=torch.float32)
        decisions = torch.as_tensor(decisions, dtype=torch.float32)
        if len(contexts) != len(decisions) or len(contexts) == 0:
            raise InvalidValueError(
                f"a data set needs as many contexts as decisions, and some, got {len(contexts)} and {len(decisions)}"
            )
        contexts = self.problem.check_contexts(contexts)
        inside = self.feasible.contains(decisions, tolerance=1e-3)
        if not inside.all():
            row = int((~inside).nonzero()[0])
            raise InvalidValueError(f"decision {row} of the data set is not feasible: not in {self.feasible!r}")
        return contexts.to(self.device), self.feasible.encode_nearest(decisions).to(self.device)

    def _draw_expert(self) -> tuple[Tensor, Tensor]:
        """Contexts (batch_size, ...) and the expert's canonical actions (batch_size, action_size)."""
        if self.dataset is not None:
            rows = torch.randint(len(self._contexts), (self.batch_size,), generator=self.generator)
            return self._contexts[rows], self._actions[rows]
        contexts = self._draw()
        decisions = self.problem.reference(contexts)
        assert decisions is not None
        return contexts, self.feasible.encode_nearest(decisions)

    def _loss(self) -> tuple[Tensor, dict[str, float]]:
        """The denoising error of the expert's actions."""
        contexts, actions = self._draw_expert()
        loss, metrics = denoising_loss(self.actor, self.policy.context(contexts), actions)
        return loss, {f"actor/{name}": value for name, value in metrics.items()}

    def _excluded_save_params(self) -> list[str]:
        # The name of a file is saved, the data are not.
        dataset = [] if isinstance(self.dataset, str) else ["dataset"]
        return [*super()._excluded_save_params(), *dataset, "_contexts", "_actions"]

"""Analytic policy gradient: ascend the utility itself, through the feasible set and the denoising chain."""

from typing import Any

import torch
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from netdiffuse.algorithms.common.canonical import canonical, pull
from netdiffuse.algorithms.common.one_shot import OneShotAlgorithm
from netdiffuse.algorithms.common.policies import ActorKind, DiffusionPolicy
from netdiffuse.algorithms.common.setup import problem_of
from netdiffuse.common import UnsupportedError, checks
from netdiffuse.diffusion.prediction import Prediction
from netdiffuse.problems.base import Problem
from netdiffuse.problems.rewards import reward_statistics


class DiffusionAPG(OneShotAlgorithm):
    """Analytic policy gradient with a diffusion actor, for problems whose utility autograd can differentiate.

    The actor's sampled action is decoded, its utility taken, and the gradient runs back through decoding and the whole
    chain: the diffusion-policy form of learning to optimise (Sun et al., "Learning to optimize", IEEE TSP 2018; Eisen
    et al., "Learning optimal resource allocations in wireless systems", IEEE TSP 2019). Where decoding has no gradient
    (a channel that gets nothing), the pull towards canonical actions brings a coordinate back.

    Args:
        policy: "MlpPolicy", or "EquivariantPolicy" for problems of interchangeable entities or pairs.
        env: an environment made from a netdiffuse `Problem`, a `Problem`, or the name of one.
        learning_rate: a number decays linearly to `final_learning_rate` of itself.
        final_learning_rate: share of the learning rate that is left at the end, in [0, 1].
        batch_size: contexts in a gradient step.
        pull_weight: weight of the pull towards canonical actions.
        max_grad_norm: the norm that gradients are clipped to, of a loss in units of the utility's deviation over random
            actions. Back-propagation through utility and chain makes a few very large ones: on interfering links
            training is unstable without.
        denoising_steps: steps of the chain.
        schedule: noise schedule: "vp", "cosine" or "linear".
        prediction: what the network predicts: "x0", "eps" or "v".
        sampler: how stochastic actions are drawn: "ddpm" or "ddim".
        actor: "diffusion", or "mlp" for a plain network.
        n_candidates: actions drawn for a decision, of which `predict` keeps the one with the best utility.
        stats_window_size: taken for Stable-Baselines3's sake; there are no episodes here.
        tensorboard_log: folder of TensorBoard logs, None for none.
        policy_kwargs: further arguments of the policy, for example {"net_arch": [256, 256]}.
        verbose: 0 for silence, 1 for information.
        seed: seed of everything random.
        device: torch device, "auto" for a GPU where there is one.

    Raises:
        UnsupportedError: the environment is not made from a problem, or its utility is not differentiable.
    """

    def __init__(
        self,
        policy: str | type[DiffusionPolicy],
        env: GymEnv | Problem | str,
        learning_rate: float | Schedule = 2e-3,
        final_learning_rate: float = 0.03,
        batch_size: int = 64,
        pull_weight: float = 0.01,
        max_grad_norm: float = 0.2,
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
        self.pull_weight = checks.non_negative("pull_weight", pull_weight)
        self.max_grad_norm = checks.positive("max_grad_norm", max_grad_norm)
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
        problem = problem_of(self.env)
        if problem is not None and not problem.differentiable:
            raise UnsupportedError(
                f"DiffusionAPG needs a differentiable utility, which {type(problem).__name__} says it has not "
                "(differentiable = False): use GDDPG"
            )
        super()._attach()
        if problem is not None:
            self.reward_std = reward_statistics(problem)["reward_std"]

    def _loss(self) -> tuple[Tensor, dict[str, float]]:
        """Minus the mean utility in units of its deviation, plus the pull towards canonical actions."""
        contexts = self._draw()
        action = self.actor(self.policy.context(contexts))
        utility = self.problem.utility(contexts, self.feasible.decode(action)).mean()
        distance = pull(action, canonical(self.feasible, action))
        # In units of the spread over random actions, the pull's weight means the same whatever the utility's unit is,
        # and whatever part of it no decision changes.
        loss = -utility / self.reward_std + self.pull_weight * distance
        return loss, {"actor/utility": float(utility.detach()), "actor/pull": float(distance.detach())}

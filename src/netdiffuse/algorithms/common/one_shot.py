"""Learning from a problem itself: contexts are drawn, and its reference or its utility is looked at directly."""

import time
from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from torch import Tensor

from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.algorithms.common.policies import POLICIES, DiffusionPolicy
from netdiffuse.algorithms.common.saturation import SaturationMonitor
from netdiffuse.algorithms.common.setup import (
    as_env,
    check_action_space,
    decaying,
    need_problem,
    policy_arguments,
    problem_of,
    refuse_normalised,
)
from netdiffuse.common import checks
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import FeasibleSet

Self = TypeVar("Self", bound="OneShotAlgorithm")
SATURATION_EVERY = 100
"""Gradient steps between measurements of saturation."""


class OneShotAlgorithm(DiffusionAlgorithm):
    """An algorithm with Stable-Baselines3's API that draws its own contexts; a timestep is one context.

    Subclasses write `_loss`, and may draw from elsewhere by overriding `_draw`.

    Args: see the subclasses.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = POLICIES
    max_grad_norm: float | None = None
    problem: Problem
    feasible: FeasibleSet

    def __init__(
        self,
        policy: str | type[DiffusionPolicy],
        env: GymEnv | Problem | str,
        learning_rate: float | Schedule,
        final_learning_rate: float,
        batch_size: int,
        policy_arguments_: dict[str, Any],
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        self.batch_size = checks.integer("batch_size", batch_size)
        super().__init__(
            policy,
            as_env(env, 1, seed) if env is not None else None,
            decaying("learning_rate", learning_rate, final_learning_rate),
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
        )
        if env is not None:
            check_action_space(self.action_space)
            need_problem(problem_of(self.env), type(self).__name__)
        self.policy_kwargs = policy_arguments(self.env, {**policy_arguments_, **self.policy_kwargs})
        if _init_setup_model:
            self._check_trainable()
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.generator = torch.Generator()
        self.generator.seed()
        self.set_random_seed(self.seed)
        if self.seed is not None:  # a loaded model goes on with contexts that it has not seen
            self.generator.manual_seed(self.seed + self.num_timesteps)
        policy = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        assert isinstance(policy, DiffusionPolicy)
        self.policy = policy.to(self.device)
        self.actor = self.policy.actor
        self.actor.optimizer = self.policy.optimizer
        self._attach()

    def _attach(self) -> None:
        refuse_normalised(self)
        problem = problem_of(self.env)
        if problem is not None:
            self.problem = problem
            self.feasible = problem.feasible
            self.saturation = SaturationMonitor(problem)
            self.policy.score = self._utility

    def set_random_seed(self, seed: int | None = None) -> None:
        """As in Stable-Baselines3, and the generator of contexts."""
        super().set_random_seed(seed)
        if seed is not None:
            self.generator.manual_seed(seed)

    def _check_trainable(self) -> None:
        """Raise `UnsupportedError` where the environment has not what learning needs."""
        need_problem(problem_of(self.env), type(self).__name__)

    @torch.no_grad()
    def _utility(self, obs: Tensor, action: Tensor) -> Tensor:
        """The problem's utility of actions (n, action_size) in contexts (n, ...), shape (n,)."""
        return self.problem.utility(obs, self.feasible.decode(action))

    def _draw(self) -> Tensor:
        """A batch of contexts, shape (batch_size, *context_shape)."""
        return self.problem.sample_contexts(self.batch_size, self.generator).to(self.device)

    @abstractmethod
    def _loss(self) -> tuple[Tensor, dict[str, float]]:
        """Draw a batch; the loss to descend, and its metrics."""

    def train(self) -> None:
        """One gradient step."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.actor.optimizer)
        loss, metrics = self._loss()
        self.actor.optimizer.zero_grad()
        loss.backward()
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.actor.parameters(), self.max_grad_norm)
        self.actor.optimizer.step()
        self._n_updates += 1
        self._record(metrics)
        self._dump_metrics()
        if self._n_updates % SATURATION_EVERY == 0:
            actions = self._sample_actions(1000)
            self.logger.record("rollout/saturation_percent", self.saturation.check(actions))

    @torch.no_grad()
    def _sample_actions(self, n: int) -> Tensor:
        """The actor's actions in fresh contexts, disturbing no generator of training; shape (n, action_size)."""
        contexts = self.problem.sample_contexts(n, torch.Generator().manual_seed(0)).to(self.device)
        return self.actor(self.policy.context(contexts), deterministic=True).cpu()

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 100,
        tb_log_name: str = "OneShot",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learn from this number of contexts; as in Stable-Baselines3, `log_interval` counts gradient steps."""
        self._check_trainable()
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            self.num_timesteps += self.batch_size
            callback.update_locals(locals())
            if not callback.on_step():
                break
            callback.on_rollout_end()
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self.train()
            if log_interval and self._n_updates % log_interval == 0:
                self.dump_logs()
        callback.on_training_end()
        return self

    def dump_logs(self) -> None:
        """Write a log row."""
        elapsed = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / elapsed))
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "actor", "problem", "saturation", "generator"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer"], []

    def checkpoint_state(self) -> dict[str, Any]:
        """What a save file leaves out and a checkpoint needs: the state of the generator of contexts."""
        return {"generator": self.generator.get_state()}

    def load_checkpoint_state(self, state: dict[str, Any]) -> None:
        """Restore what `checkpoint_state` returned."""
        self.generator.set_state(state["generator"])

"""Off-policy learning from batched environments: Stable-Baselines3's, without its loops over environments."""

import time
from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import (
    MaybeCallback,
    RolloutReturn,
    Schedule,
    TrainFreq,
    TrainFrequencyUnit,
)
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from netdiffuse.algorithms.common.canonical import canonical
from netdiffuse.algorithms.common.critics import Critic
from netdiffuse.algorithms.common.diffusion_algorithm import DiffusionAlgorithm
from netdiffuse.algorithms.common.policies import DiffusionPolicy
from netdiffuse.algorithms.common.replay import NStepReplayBuffer
from netdiffuse.algorithms.common.saturation import SaturationMonitor
from netdiffuse.algorithms.common.setup import batched_of, problem_of, refuse_normalised
from netdiffuse.common import InvalidValueError, UnsupportedError, checks
from netdiffuse.diffusion import DiffusionModel
from netdiffuse.problems.base import Problem
from netdiffuse.problems.feasible import FeasibleSet
from netdiffuse.problems.features import StandardisedContext
from netdiffuse.problems.vecenv import ProblemVecEnv

Self = TypeVar("Self", bound="BatchedOffPolicyAlgorithm")
LOG_EVERY = 100
"""Vector steps between measurements of saturation, which are not free."""
ENOUGH = 1000
"""Transitions by which observations are standardised for good."""


class BatchedOffPolicyAlgorithm(DiffusionAlgorithm, OffPolicyAlgorithm):
    """An off-policy algorithm that steps, stores and logs by vector step.

    Stable-Baselines3 loops in Python over the environments that finish, several times a step, and counts log intervals
    in episodes: with thousands of one-step episodes a vector step, that costs more than learning does. Here problems
    are stepped as tensors, and `log_interval` counts vector steps.

    Subclasses set `critic_learning_rate` before anything else, and write `_explore` and `train`.
    """

    problem: Problem | None
    feasible: FeasibleSet | None
    saturation: SaturationMonitor | None
    policy: DiffusionPolicy
    actor: DiffusionModel
    actor_target: DiffusionModel
    critic: Critic
    critic_target: Critic
    critic_learning_rate: Schedule
    _vector_steps: int
    _statistics_fitted: bool

    @abstractmethod
    def _explore(self, obs: Tensor) -> Tensor:
        """Actions (n, action_size) with exploration noise, not yet clamped, for raw observations (n, ...)."""

    def _setup_model(self) -> None:
        self.replay_buffer_kwargs["gamma"] = self.gamma  # which `load` may have changed
        self.n_steps = 1  # Stable-Baselines3 would warn that ours does it
        super()._setup_model()
        assert isinstance(self.replay_buffer, NStepReplayBuffer)
        self.n_steps = self.replay_buffer.n_steps
        policy = self.policy
        assert policy.critic is not None
        assert policy.actor_target is not None
        assert policy.critic_target is not None
        self.actor, self.actor_target = policy.actor, policy.actor_target
        self.critic, self.critic_target = policy.critic, policy.critic_target
        self.actor.optimizer = policy.optimizer
        self.critic_lr_schedule = FloatSchedule(self.critic_learning_rate)
        self.critic.optimizer = torch.optim.Adam(self.critic.parameters(), lr=self.critic_lr_schedule(1), fused=True)
        assert isinstance(self.train_freq, TrainFreq)
        checks.integer("train_freq", self.train_freq.frequency)
        if self.train_freq.unit is not TrainFrequencyUnit.STEP:
            raise UnsupportedError("train_freq counts vector steps here, not episodes: give a number")
        self._attach()
        self._vector_steps = getattr(self, "_vector_steps", 0)
        known = self.one_shot or policy.structure != "vector"  # statistics that came with the environment
        self._statistics_fitted = known or getattr(self, "_statistics_fitted", False)

    def _attach(self) -> None:
        refuse_normalised(self)
        self.problem = problem_of(self.env)
        if self.env is not None or not hasattr(self, "feasible"):  # without one, what was saved holds
            source = self.problem or batched_of(self.env)
            self.feasible = None if source is None else source.feasible
        self.one_shot = self.problem is not None
        self.saturation = None if self.problem is None else SaturationMonitor(self.problem)

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        assert isinstance(self.replay_buffer, NStepReplayBuffer)
        if reset_num_timesteps or self._last_obs is None:
            self.replay_buffer.cut()  # environments are about to be reset
        return super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)

    def _decay_learning_rates(self) -> None:
        """Set those of actor and critics to what they are at this point of training."""
        self._update_learning_rate(self.actor.optimizer)
        for group in self.critic.optimizer.param_groups:
            group["lr"] = self.critic_lr_schedule(self._current_progress_remaining)

    def _standardise(self, targets: Tensor) -> Tensor:
        """Standardise targets, and keep the target critics on the scale of the critics."""
        old_mean, old_std = self.critic.mean.clone(), self.critic.std.clone()
        standardised = self.critic.standardise(targets)
        self.critic_target.mean.copy_(self.critic.mean)
        self.critic_target.variance.copy_(self.critic.variance)
        if self.critic.batches > 1:
            self.critic_target.rescale(old_mean, old_std)
        return standardised

    def _canonical(self, action: Tensor) -> Tensor:
        return canonical(self.feasible, action)

    def _fit_statistics(self) -> None:
        """Standardise the observations of a foreign environment by its first transitions, until there are enough."""
        extractor = self.policy.features_extractor
        if self._statistics_fitted or not isinstance(extractor, StandardisedContext):
            return
        assert self.replay_buffer is not None
        seen = self.replay_buffer.observations[: self.replay_buffer.size()]
        seen = seen.reshape(-1, *seen.shape[2:])
        mean, std = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
        extractor.set_statistics(mean, np.where(std > 1e-6 * np.abs(mean), std, 1.0))
        self._statistics_fitted = len(seen) >= ENOUGH

    def _choose(self, learning_starts: int) -> NDArray[np.float32]:
        """Canonical actions in [-1, 1] for the last observations: random before learning starts, exploring after."""
        assert self.env is not None
        with torch.no_grad():
            if self.num_timesteps < learning_starts:
                actions = self._begin((self.env.num_envs, self.policy.action_size))
            else:
                actions = self._explore(torch.as_tensor(self._last_obs, device=self.device))
            return self._canonical(actions).cpu().numpy().astype(np.float32, copy=False)

    def _begin(self, shape: tuple[int, int]) -> Tensor:
        """Actions of this shape before learning starts."""
        return 2 * torch.rand(shape, device=self.device) - 1

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Take `train_freq` vector steps and store them; arguments as in Stable-Baselines3."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        for step in range(1, train_freq.frequency + 1):
            actions = self._choose(learning_starts)
            new_obs, rewards, dones, infos = self._step(env, actions)
            self.num_timesteps += env.num_envs
            self._vector_steps += 1
            callback.update_locals(locals())
            go_on = callback.on_step()
            # Stored even where learning stops: the environments have moved on, and so must `_last_obs`.
            if isinstance(env, ProblemVecEnv):
                self._keep_one_shot(replay_buffer, actions, new_obs, rewards, dones, infos)
            else:
                self._keep(replay_buffer, actions, new_obs, rewards, dones, infos)
            if not go_on:
                return RolloutReturn(step * env.num_envs, 0, continue_training=False)
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            if self.saturation is not None and self._vector_steps % LOG_EVERY == 0:
                self._measure_saturation(self.saturation)
            if log_interval and self._vector_steps % log_interval == 0:
                self.dump_logs()
        callback.on_rollout_end()
        return RolloutReturn(train_freq.frequency * env.num_envs, 0, continue_training=True)

    @torch.no_grad()
    def _measure_saturation(self, monitor: SaturationMonitor) -> None:
        """Look at what the actor itself says, before exploration and before canonical actions hide it."""
        obs = torch.as_tensor(self._last_obs, device=self.device)
        actions = self.policy.acting(self.policy.context(obs), deterministic=True)
        self.logger.record("rollout/saturation_percent", monitor.check(actions.cpu()))

    def _step(self, env: VecEnv, actions: NDArray[np.float32]) -> VecEnvStepReturn:
        """Step the environments; the infos of a problem, which would cost a loop, are empty."""
        if isinstance(env, ProblemVecEnv):
            rewards, _ = env.step_tensor(torch.from_numpy(actions))
            dones = np.ones(env.num_envs, dtype=bool)
            return env.contexts.numpy().copy(), rewards.numpy(), dones, [{}] * env.num_envs
        return env.step(self.policy.unscale_action(actions))

    def _keep(
        self,
        replay_buffer: ReplayBuffer,
        actions: NDArray[np.float32],
        new_obs: VecEnvObs,
        rewards: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store a transition of every environment and move on to the next observations."""
        if not np.isfinite(rewards).all():
            row = int(np.flatnonzero(~np.isfinite(rewards))[0])
            raise InvalidValueError(f"the environment's reward must be finite, got {rewards[row]} from number {row}")
        assert isinstance(replay_buffer, NStepReplayBuffer)
        if replay_buffer.entity_rewards is not None:
            parts = batched_of(self.env).entity_rewards  # type: ignore[union-attr]
            assert parts is not None
            replay_buffer.add_entity_rewards(parts)
        self._update_info_buffer(infos, dones)
        self._store_transition(replay_buffer, actions, new_obs, rewards, dones, infos)  # type: ignore[arg-type]
        self._episode_num += int(dones.sum())

    def _keep_one_shot(
        self,
        replay_buffer: ReplayBuffer,
        actions: NDArray[np.float32],
        new_obs: VecEnvObs,
        rewards: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        """`_keep` for a problem, without loops over contexts."""
        # The episode is over: what follows it is never looked at, so any observation will do.
        assert isinstance(self._last_obs, np.ndarray)
        replay_buffer.add(self._last_obs, self._last_obs, actions, rewards, dones, infos)
        self._last_obs = new_obs  # type: ignore[assignment]
        self._episode_num += len(actions)
        assert self.ep_info_buffer is not None
        elapsed = (time.time_ns() - self.start_time) / 1e9
        self.ep_info_buffer.append({"r": float(rewards.mean()), "l": 1, "t": elapsed})

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 100,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learn for a number of environment steps; as in Stable-Baselines3, but `log_interval` counts vector steps.

        `tb_log_name` is the name of the class unless told.
        """
        return super().learn(
            total_timesteps,
            callback,
            log_interval,  # type: ignore[arg-type] # None for no rows
            tb_log_name or type(self).__name__,
            reset_num_timesteps,
            progress_bar,
        )

    def _excluded_save_params(self) -> list[str]:
        networks = ["actor", "actor_target", "critic", "critic_target"]
        return [*super()._excluded_save_params(), "problem", "saturation", *networks]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer", "critic.optimizer"], []

    def checkpoint_state(self) -> dict[str, Any]:
        """What a save file leaves out and a checkpoint needs: the replay buffer."""
        assert isinstance(self.replay_buffer, NStepReplayBuffer)
        return {"replay": self.replay_buffer.state_dict()}

    def load_checkpoint_state(self, state: dict[str, Any]) -> None:
        """Restore what `checkpoint_state` returned."""
        assert isinstance(self.replay_buffer, NStepReplayBuffer)
        self.replay_buffer.load_state_dict(state["replay"])

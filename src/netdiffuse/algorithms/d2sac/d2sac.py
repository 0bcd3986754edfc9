"""D2SAC: soft actor-critic for discrete actions, whose actor is a diffusion model."""

from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from torch import Tensor

from netdiffuse.algorithms.common.off_policy import BatchedOffPolicyAlgorithm
from netdiffuse.algorithms.common.policies import ActorKind
from netdiffuse.algorithms.common.replay import NStepReplayBuffer, ReplayBatch
from netdiffuse.algorithms.common.setup import as_env, decaying, policy_arguments
from netdiffuse.algorithms.d2sac.losses import actor_loss, critic_loss, entropy_of, soft_value
from netdiffuse.algorithms.d2sac.policy import POLICIES, CategoricalDiffusionPolicy
from netdiffuse.common import InvalidValueError, UnsupportedError, checks
from netdiffuse.diffusion import DiffusionModel
from netdiffuse.diffusion.prediction import Prediction

Self = TypeVar("Self", bound="D2SAC")
WARM = 0.2  # the temperature at the start; from a cold one the actor may settle on a single action for good


class D2SAC(BatchedOffPolicyAlgorithm):
    """D2SAC: a diffusion model denoises into a choice, inside discrete soft actor-critic.

    Du et al., "Diffusion-based Reinforcement Learning for Edge-enabled AI-Generated Content Services" (IEEE TMC 2024,
    arXiv 2303.13052), on soft actor-critic for discrete actions (Christodoulou, arXiv 1910.07207). Deviations: x0 is
    predicted and bounded smoothly, so that the first policy is nearly uniform (the original's chain amplifies its noise
    into one that is nearly one-hot at random); the temperature decays from warm to cold (cold from the start, a policy
    can collapse onto one action for good); the target has the entropy of the next choice in it and takes the current
    actor, as soft actor-critic does (the authors' code leaves the entropy out and takes the target actor); the twin
    critics predict standardised returns; many environments are stepped at once, and small networks take a gradient step
    for each of these steps; a running average of the actor acts. With `actor="mlp"` this is discrete SAC with the same
    changes.

    Args:
        policy: "MlpPolicy".
        env: an environment with a `Discrete` action space and `Box` observations, or its id, or a VecEnv, or a vector
            environment of ours.
        learning_rate: of the actor; a number decays linearly to `final_learning_rate` of itself.
        critic_learning_rate: of the critics; likewise.
        final_learning_rate: share of the learning rates that is left at the end, in [0, 1].
        buffer_size: transitions kept for replay.
        learning_starts: transitions taken at random before learning.
        repeat: vector steps that each of these random actions is kept: above 1, random play gets farther (Dabney et
            al., "Temporally-Extended epsilon-Greedy Exploration", ICLR 2021, arXiv 2006.01782).
        batch_size: transitions in a gradient step.
        tau: share of the critics taken into the target critics at each step, in [0, 1].
        ema: share of the actor taken, at each step, into the running average of it that acts, in [0, 1].
        gamma: discount factor, in [0, 1]; `netdiffuse train` takes that which a problem of ours is posed with.
        train_freq: vector steps between updates.
        gradient_steps: gradient steps an update; -1 for one a transition.
        n_steps: rewards summed in an n-step return; above 1 without a correction for older policies, and without the
            entropy of the steps between.
        priority_exponent: alpha of prioritised replay, in [0, 1]; 0 is uniform.
        ent_coef: temperature, the weight of the entropy: a number in the reward's unit, which decays geometrically to
            `final_ent_coef`; or "auto", learned from 0.2 on to hold `target_entropy`.
        final_ent_coef: the temperature at the end, above zero; of no effect with "auto".
        target_entropy: entropy that "auto" holds, as a share in [0, 1] of that of the uniform choice among the actions
            that are allowed.
        action_masks: learn and act by the environment's `action_masks()`.
        actor: "diffusion", or "mlp" for a plain network: discrete SAC.
        denoising_steps: steps of the chain.
        schedule: noise schedule: "vp", "cosine" or "linear".
        prediction: what the network predicts: "x0", "eps" or "v".
        sampler: how stochastic chains are drawn: "ddpm" or "ddim".
        stats_window_size: episodes over which logged rewards are averaged.
        tensorboard_log: folder of TensorBoard logs, None for none.
        policy_kwargs: further arguments of the policy, for example {"net_arch": [128, 128]}.
        verbose: 0 for silence, 1 for information.
        seed: seed of everything random.
        device: torch device, "auto" for a GPU where there is one.
    """

    sequential_n_envs: ClassVar[int] = 8  # of a Gymnasium environment, in a run
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = POLICIES
    policy: CategoricalDiffusionPolicy
    actor: DiffusionModel
    replay_buffer: NStepReplayBuffer | None

    def __init__(
        self,
        policy: str | type[CategoricalDiffusionPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 2e-3,
        critic_learning_rate: float | Schedule = 2e-3,
        final_learning_rate: float = 0.05,
        buffer_size: int = 200_000,
        learning_starts: int = 2000,
        repeat: int = 1,
        batch_size: int = 256,
        tau: float = 0.01,
        ema: float = 0.01,
        gamma: float = 0.99,
        train_freq: int = 1,
        gradient_steps: int = 1,
        n_steps: int = 1,
        priority_exponent: float = 0.0,
        ent_coef: float | Literal["auto"] = WARM,
        final_ent_coef: float = 0.02,
        target_entropy: float = 0.3,
        action_masks: bool = False,
        actor: ActorKind = "diffusion",
        denoising_steps: int = 3,
        schedule: str = "vp",
        prediction: Prediction = "x0",
        sampler: str = "ddpm",
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        self.critic_learning_rate = decaying("critic_learning_rate", critic_learning_rate, final_learning_rate)
        self.ema = checks.fraction("ema", ema)
        if isinstance(ent_coef, str):
            if ent_coef != "auto":
                raise InvalidValueError(f"ent_coef must be a positive number or 'auto', got '{ent_coef}'")
        else:
            checks.positive("ent_coef", ent_coef)
        self.ent_coef = ent_coef
        self.final_ent_coef = checks.positive("final_ent_coef", final_ent_coef)
        self.target_entropy = checks.fraction("target_entropy", target_entropy)
        self.action_masks = action_masks
        self.repeat = checks.integer("repeat", repeat)
        made = as_env(env, 1, seed) if env is not None else None
        super().__init__(
            policy,
            made,
            decaying("learning_rate", learning_rate, final_learning_rate),
            checks.integer("buffer_size", buffer_size),
            checks.integer("learning_starts", learning_starts, minimum=0),
            checks.integer("batch_size", batch_size),
            checks.fraction("tau", tau),
            checks.fraction("gamma", gamma),
            train_freq,
            checks.integer("gradient_steps", gradient_steps, minimum=-1),
            replay_buffer_class=NStepReplayBuffer,
            replay_buffer_kwargs={
                "n_steps": checks.integer("n_steps", n_steps),
                "gamma": gamma,
                "alpha": checks.fraction("priority_exponent", priority_exponent),
            },
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            sde_support=False,
        )
        if env is not None and not isinstance(self.action_space, spaces.Discrete):
            raise UnsupportedError(f"D2SAC needs discrete actions, got {self.action_space}: use GDDPG")
        chosen = {
            "denoising_steps": denoising_steps,
            "schedule": schedule,
            "prediction": prediction,
            "sampler": sampler,
            "actor": actor,
            "net_arch": [128, 128],
            "n_critics": 2,
            "target_networks": True,
        }
        self.policy_kwargs = policy_arguments(self.env, {**chosen, **self.policy_kwargs})
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._kept: Tensor | None = None  # random actions that are being repeated
        assert isinstance(self.action_space, spaces.Discrete)
        if self.action_masks:
            if self.env is not None and not self.env.has_attr("action_masks"):
                raise UnsupportedError("action_masks=True needs an environment with a method action_masks()")
            self.replay_buffer_kwargs["masked_actions"] = int(self.action_space.n)
        super()._setup_model()
        start = torch.full((1,), WARM, device=self.device)
        self.log_ent_coef = start.log().requires_grad_()
        self.ent_coef_optimizer = torch.optim.Adam([self.log_ent_coef], lr=1e-3)

    def _temperature(self) -> float:
        """Weight of the entropy at this point of training, in the reward's unit."""
        if isinstance(self.ent_coef, str):
            return float(self.log_ent_coef.detach().exp())
        left = min(max(self._current_progress_remaining, 0.0), 1.0)
        return float(self.ent_coef**left * self.final_ent_coef ** (1 - left))

    def _explore(self, obs: Tensor) -> Tensor:
        masks = None
        if self.action_masks:
            masks = torch.from_numpy(self._last_masks).to(self.device)
        return self.policy.choose(obs, deterministic=False, masks=masks, acting=False)

    def _choose(self, learning_starts: int) -> NDArray[Any]:
        """Numbers of actions from 0, shape (n_envs, 1): uniform before learning starts, drawn from the policy after."""
        assert self.env is not None
        if self.action_masks:
            self._last_masks = self._current_masks()
        with torch.no_grad():
            if self.num_timesteps < learning_starts:
                actions = self._random_actions(self.env.num_envs)
            else:
                actions = self._explore(torch.as_tensor(self._last_obs, device=self.device))
        return actions.cpu().numpy().reshape(-1, 1)

    def _random_actions(self, n: int) -> Tensor:
        """Uniform among those that are allowed, each kept for `repeat` vector steps while it is; shape (n,)."""
        allowed = torch.ones(n, self.policy.action_size)
        if self.action_masks:
            allowed = torch.from_numpy(self._last_masks).float()
        actions = torch.multinomial(allowed, 1).squeeze(1)
        if self.repeat > 1:
            if self._kept is not None and self.num_timesteps // n % self.repeat:
                actions = torch.where(allowed.gather(1, self._kept[:, None]).squeeze(1) > 0, self._kept, actions)
            self._kept = actions
        return actions

    def _current_masks(self) -> NDArray[np.bool_]:
        """What the environments allow now, checked; shape (n_envs, actions)."""
        assert self.env is not None
        masks = np.stack(self.env.env_method("action_masks"))
        return self.policy.check_masks(masks, self.env.num_envs)

    def _step(self, env: VecEnv, actions: NDArray[Any]) -> VecEnvStepReturn:
        assert isinstance(self.action_space, spaces.Discrete)
        return env.step(actions[:, 0] + int(self.action_space.start))

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: NDArray[Any],
        new_obs: Any,
        reward: NDArray[Any],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        if self.action_masks:
            following = self._current_masks()
            # Those at hand belong to the next episode already. Where a time limit cut one off, the environment may
            # have told its last mask in the info; otherwise all actions count.
            for row in np.flatnonzero(dones):
                following[row] = infos[row].get("action_masks", True)
            replay_buffer.add_masks(self._last_masks, following)
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)

    def _targets(self, batch: ReplayBatch, temperature: float) -> Tensor:
        """n-step returns, bootstrapped by the soft value of the smaller target critic; shape (n,)."""
        context = self.policy.context(batch.next_observations)
        log_probs = self.policy.log_probs(self.actor(context), batch.next_masks)
        # The target network lags in its weights, not in its scale: values are read off with the current statistics.
        values = self.critic_target(context).amin(0) * self.critic.std + self.critic.mean
        return batch.returns + batch.discounts * soft_value(log_probs, values, temperature)

    def _most_entropy(self, batch: ReplayBatch) -> float:
        """Mean entropy of the uniform choice among the actions that are allowed."""
        if batch.masks is None:
            return float(np.log(self.policy.action_size))
        return float(batch.masks.sum(1).log().mean())

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """Update critics, actor and temperature from the replay buffer."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._decay_learning_rates()
        self._fit_statistics()

        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.draw(batch_size)
            context = self.policy.context(batch.observations)
            temperature = self._temperature()

            # Critics: regress on standardised soft n-step targets
            with torch.no_grad():
                targets = self._standardise(self._targets(batch, temperature))
            loss, metrics, errors = critic_loss(self.critic, context, batch, targets)
            self.critic.optimizer.zero_grad()
            loss.backward()
            self.critic.optimizer.step()
            self.replay_buffer.update_priorities(batch.indices, errors)
            self._record(metrics)

            # Actor: ascend value and entropy through the chain, in standardised units
            with torch.no_grad():
                values = self.critic(context).amin(0)
            log_probs = self.policy.log_probs(self.actor(context), batch.masks)
            loss, metrics = actor_loss(log_probs, values, temperature / float(self.critic.std))
            self.actor.optimizer.zero_grad()
            loss.backward()
            self.actor.optimizer.step()
            self._record(metrics | {"actor/temperature": temperature})

            # Temperature: hold the target entropy
            if self.ent_coef == "auto":
                entropy = float(entropy_of(log_probs.detach()).mean())
                excess = entropy - self.target_entropy * self._most_entropy(batch)
                self.ent_coef_optimizer.zero_grad()
                (self.log_ent_coef * excess).sum().backward()
                self.ent_coef_optimizer.step()

            # Target networks
            polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.ema)
            polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        self._dump_metrics()

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
        action_masks: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """As in Stable-Baselines3, with masks as in sb3-contrib: booleans (n, actions)."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "log_ent_coef"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        modules, _ = super()._get_torch_save_params()
        return [*modules, "ent_coef_optimizer"], ["log_ent_coef"]

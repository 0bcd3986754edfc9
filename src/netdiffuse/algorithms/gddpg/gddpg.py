"""G-DDPG: deep deterministic policy gradient whose actor is a diffusion model."""

from typing import Any, ClassVar, Literal, TypeVar, get_args

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from netdiffuse.algorithms.common.off_policy import BatchedOffPolicyAlgorithm
from netdiffuse.algorithms.common.policies import POLICIES, ActorKind, DiffusionPolicy
from netdiffuse.algorithms.common.replay import NStepReplayBuffer, ReplayBatch
from netdiffuse.algorithms.common.setup import (
    as_env,
    batched_of,
    check_action_space,
    decaying,
    policy_arguments,
)
from netdiffuse.algorithms.gddpg.losses import (
    action_gradient_loss,
    backpropagation_loss,
    best_candidate_loss,
    critic_loss,
)
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError, checks
from netdiffuse.diffusion import DiffusionModel, denoising_loss
from netdiffuse.diffusion.prediction import Prediction
from netdiffuse.problems.base import Problem

Self = TypeVar("Self", bound="GDDPG")
ActorUpdate = Literal["auto", "backpropagation", "action_gradient", "best_candidate"]
ACTOR_UPDATES = get_args(ActorUpdate)
CANDIDATES = 16  # drawn in the best-candidate update


class GDDPG(BatchedOffPolicyAlgorithm):
    """G-DDPG: learns from black-box rewards; a diffusion model acts, critics judge.

    After Du et al., "Reinforcement Learning With LLMs Interaction For Distributed Diffusion Model Services" (IEEE TPAMI
    2025, arXiv 2311.11094) and "Enhancing Deep Reinforcement Learning" (IEEE COMST 2024, arXiv 2308.05384). Deviations,
    each of which made learning faster or kept it from getting stuck: the twin critics are layer-normalised and predict
    standardised returns; they only ever see canonical actions (`encode(decode(a))`); x0 is predicted and bounded
    smoothly; learning rates and exploration noise decay over the run. With `actor="mlp"` this is DDPG with the same
    changes: the ablation of the diffusion model and of nothing else.

    Args:
        policy: "MlpPolicy", or "EquivariantPolicy" for problems of interchangeable entities or pairs.
        env: a Gymnasium environment or its id, an SB3 VecEnv, a netdiffuse `Problem` or the name of one. A problem's
            environment is replaced by one that decides in `n_envs` contexts at once.
        learning_rate: of the actor; a number decays linearly to `final_learning_rate` of itself.
        critic_learning_rate: of the critics; likewise.
        final_learning_rate: share of the learning rates that is left at the end, in [0, 1].
        buffer_size: transitions kept for replay.
        learning_starts: transitions taken at random before learning.
        critic_warmup: gradient steps that the critics take before the actor's first.
        batch_size: transitions in a gradient step.
        tau: share of the critics taken into the target critics at each step, in [0, 1].
        ema: share of the actor taken, at each step, into the running average of it that acts, in [0, 1].
        gamma: discount factor, in [0, 1] (of no effect where every episode is one step).
        train_freq: vector steps between updates.
        gradient_steps: gradient steps an update; -1 for one a transition.
        n_steps: rewards summed in an n-step return.
        priority_exponent: alpha of prioritised replay, in [0, 1]; 0 is uniform.
        exploration_noise: standard deviation of the Gaussian noise added to actions at the start, in action units.
        final_exploration_noise: the same at the end.
        target_noise: standard deviation of the noise added to the next action in bootstrapped targets (TD3).
        actor: "diffusion", or "mlp" for a plain network.
        actor_update: "backpropagation" through the chain, "action_gradient" (ascend the critic, then regress),
            "best_candidate" (draw, keep the critics' best, then regress), or "auto": best_candidate where a part of
            the decision is a choice (`OneHot`), backpropagation elsewhere. "action_gradient" needs a continuous
            decision: its small steps cannot leave a whole number.
        action_gradient_steps: ascent steps of the action-gradient update.
        action_gradient_step_size: their root-mean-square size, in action units.
        pull_weight: weight of the pull towards canonical actions.
        entity_rewards: whether critics value each entity (a user, say) apart and add the values up, where the
            environment tells each entity's part of a reward (`BatchedEnv.entity_rewards`): credit goes to whom it
            belongs (value decomposition, Sunehag et al., AAMAS 2018, with the parts known).
        starting_noise: standard deviation, in action units, of the actions around the middle before learning starts;
            None for uniform ones.
        initial_scale: factor of the actor's last layer at first; a small one begins near the middle of actions.
        bc_weight: weight of a behaviour-cloning term on replayed actions (Diffusion-QL: Wang et al., ICLR 2023).
        denoising_steps: steps of the chain.
        schedule: noise schedule: "vp", "cosine" or "linear".
        prediction: what the network predicts: "x0", "eps" or "v".
        sampler: how stochastic actions are drawn: "ddpm" or "ddim".
        n_candidates: actions drawn for a decision, of which `predict` keeps the critics' best.
        n_envs: contexts a vector step, where `env` is a problem.
        stats_window_size: episodes (of a problem: vector steps) over which logged rewards are averaged.
        tensorboard_log: folder of TensorBoard logs, None for none.
        policy_kwargs: further arguments of the policy, for example {"net_arch": [256, 256]}.
        verbose: 0 for silence, 1 for information.
        seed: seed of everything random.
        device: torch device, "auto" for a GPU where there is one.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = POLICIES
    recommended_n_envs: ClassVar[int] = 64
    # Measured on shared denoising; what the command line begins with where many episodes go on in step.
    batched_settings: ClassVar[dict[str, Any]] = {
        "learning_rate": 2e-3,
        "critic_learning_rate": 4e-3,
        "batch_size": 256,
        "critic_warmup": 200,
        "exploration_noise": 0.3,
        "starting_noise": 0.3,
        "initial_scale": 0.1,
        "pull_weight": 0.5,
        "denoising_steps": 2,
    }
    policy: DiffusionPolicy
    actor: DiffusionModel
    replay_buffer: NStepReplayBuffer | None

    def __init__(
        self,
        policy: str | type[DiffusionPolicy],
        env: GymEnv | Problem | str,
        learning_rate: float | Schedule = 1e-3,
        critic_learning_rate: float | Schedule = 2e-3,
        final_learning_rate: float = 0.03,
        buffer_size: int = 100_000,
        learning_starts: int = 640,
        critic_warmup: int = 50,
        batch_size: int = 64,
        tau: float = 0.005,
        ema: float = 0.05,
        gamma: float = 0.99,
        train_freq: int = 1,
        gradient_steps: int = 1,
        n_steps: int = 1,
        priority_exponent: float = 0.0,
        exploration_noise: float = 0.3,
        final_exploration_noise: float = 0.03,
        target_noise: float = 0.1,
        actor: ActorKind = "diffusion",
        actor_update: ActorUpdate = "auto",
        action_gradient_steps: int = 5,
        action_gradient_step_size: float = 0.02,
        pull_weight: float = 0.05,
        bc_weight: float = 0.0,
        entity_rewards: bool = True,
        starting_noise: float | None = None,
        initial_scale: float = 1.0,
        denoising_steps: int = 3,
        schedule: str = "vp",
        prediction: Prediction = "x0",
        sampler: str = "ddpm",
        n_candidates: int = 1,
        n_envs: int = 64,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if actor_update not in ACTOR_UPDATES:
            raise UnknownNameError("actor_update", actor_update, ACTOR_UPDATES)
        checks.integer("batch_size", batch_size)
        checks.integer("buffer_size", buffer_size)
        checks.integer("n_steps", n_steps)
        checks.fraction("gamma", gamma)
        checks.fraction("tau", tau)
        checks.fraction("priority_exponent", priority_exponent)
        learning_rate = decaying("learning_rate", learning_rate, final_learning_rate)
        self.critic_learning_rate = decaying("critic_learning_rate", critic_learning_rate, final_learning_rate)
        self.ema = checks.fraction("ema", ema)
        self.critic_warmup = checks.integer("critic_warmup", critic_warmup, minimum=0)
        self.exploration_noise = checks.non_negative("exploration_noise", exploration_noise)
        self.final_exploration_noise = checks.non_negative("final_exploration_noise", final_exploration_noise)
        self.target_noise = checks.non_negative("target_noise", target_noise)
        self.actor_update = actor_update
        self.action_gradient_steps = checks.integer("action_gradient_steps", action_gradient_steps)
        self.action_gradient_step_size = checks.positive("action_gradient_step_size", action_gradient_step_size)
        self.pull_weight = checks.non_negative("pull_weight", pull_weight)
        self.bc_weight = checks.non_negative("bc_weight", bc_weight)
        self.starting_noise = None if starting_noise is None else checks.positive("starting_noise", starting_noise)
        checks.integer("gradient_steps", gradient_steps, minimum=-1)
        # A loaded model sets itself up from its saved arguments, without an environment.
        made = as_env(env, checks.integer("n_envs", n_envs), seed) if env is not None else None
        entities = _entities(made) if entity_rewards and isinstance(made, VecEnv) else 0
        super().__init__(
            policy,
            made,
            learning_rate,
            buffer_size,
            checks.integer("learning_starts", learning_starts, minimum=0),
            batch_size,
            tau,
            gamma,
            train_freq,
            gradient_steps,
            replay_buffer_class=NStepReplayBuffer,
            replay_buffer_kwargs={
                "n_steps": n_steps,
                "gamma": gamma,
                "alpha": priority_exponent,
                "entities": entities,
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
        chosen = {
            "denoising_steps": denoising_steps,
            "schedule": schedule,
            "prediction": prediction,
            "sampler": sampler,
            "actor": actor,
            "n_candidates": n_candidates,
            "n_critics": 2,
            "target_networks": True,
            "entity_values": entities > 0,
            "initial_scale": initial_scale,
        }
        if env is not None:
            check_action_space(self.action_space)
        self.policy_kwargs = policy_arguments(self.env, {**chosen, **self.policy_kwargs})
        if _init_setup_model:
            self._setup_model()

    def _attach(self) -> None:
        super()._attach()
        if self.actor_update == "action_gradient" and self.feasible is not None and not self.feasible.continuous:
            raise UnsupportedError(
                f"actor_update 'action_gradient' needs a continuous decision, which {self.feasible!r} is not: "
                "use 'auto', 'backpropagation' or 'best_candidate'"
            )

    def _setup_model(self) -> None:
        super()._setup_model()
        self.policy.score = self._critic_score

    def _critic_score(self, obs: Tensor, action: Tensor) -> Tensor:
        """The critics' smaller value: (n, ...) and (n, action_size) to (n,)."""
        return self.critic.total(self.policy.context(obs), self._canonical(action)).amin(0)

    def _noise(self) -> float:
        """Standard deviation of the exploration noise at this point of training."""
        return self.final_exploration_noise + max(self._current_progress_remaining, 0.0) * (
            self.exploration_noise - self.final_exploration_noise
        )

    def _begin(self, shape: tuple[int, int]) -> Tensor:
        if self.starting_noise is None:
            return super()._begin(shape)
        return self.starting_noise * torch.randn(shape, device=self.device)

    def _explore(self, obs: Tensor) -> Tensor:
        action = self.actor(self.policy.context(obs))
        return action + self._noise() * torch.randn_like(action)

    def _targets(self, batch: ReplayBatch) -> Tensor:
        """n-step returns, bootstrapped by the smaller target critic where an episode goes on.

        Shape (n,), or (n, entities) where entities are valued apart; the smaller critic is that of the smaller sum.
        """
        returns = batch.returns if batch.entity_returns is None else batch.entity_returns
        if not batch.discounts.any():  # every episode ends here, as in a one-shot problem
            return returns
        context = self.policy.context(batch.next_observations)
        action = self.actor_target(context)
        noise = (self.target_noise * torch.randn_like(action)).clamp(-3 * self.target_noise, 3 * self.target_noise)
        action = self._canonical(action + noise)
        # The target network lags in its weights, not in its scale: values are read off with the current statistics.
        values = self.critic_target(context, action) * self.critic.std + self.critic.mean
        if values.ndim == 2:
            return returns + batch.discounts * values.amin(0)
        smaller = values.sum(-1).argmin(0)  # (n,)
        return returns + batch.discounts.unsqueeze(1) * values[smaller, torch.arange(len(smaller))]

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """Update critics and actor from the replay buffer."""
        self.policy.set_training_mode(True)
        self._decay_learning_rates()
        assert self.replay_buffer is not None
        self._fit_statistics()

        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.draw(batch_size)
            context = self.policy.context(batch.observations)

            # Critics: regress on standardised n-step targets
            with torch.no_grad():
                targets = self._standardise(self._targets(batch))
            loss, metrics, errors = critic_loss(self.critic, context, batch, targets)
            self.critic.optimizer.zero_grad()
            loss.backward()
            self.critic.optimizer.step()
            self.replay_buffer.update_priorities(batch.indices, errors)
            self._record(metrics)

            # Actor: ascend the critics, through the chain or by improved actions
            if self._n_updates > self.critic_warmup:
                self.critic.requires_grad_(False)
                loss, metrics = self._actor_loss(context)
                if self.bc_weight > 0:
                    cloning, _ = denoising_loss(self.actor, context, batch.actions)
                    loss = loss + self.bc_weight * cloning
                    metrics["actor/bc_loss"] = float(cloning.detach())
                self.actor.optimizer.zero_grad()
                loss.backward()
                self.actor.optimizer.step()
                self.critic.requires_grad_(True)
                self._record(metrics)

            # Target networks
            polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.ema)
            if not self.one_shot:  # nothing is bootstrapped where every episode is one step
                polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        self._dump_metrics()

    def _actor_loss(self, context: Tensor) -> tuple[Tensor, dict[str, float]]:
        update = self.actor_update
        if update == "auto":
            discrete = self.feasible is not None and self.feasible.discrete
            update = "best_candidate" if discrete else "backpropagation"
        if update == "best_candidate":
            return best_candidate_loss(self.actor, self.critic, self.feasible, context, CANDIDATES, self._noise())
        if update == "backpropagation":
            return backpropagation_loss(self.actor, self.critic, self.feasible, context, self.pull_weight)
        return action_gradient_loss(
            self.actor,
            self.critic,
            self.feasible,
            context,
            self.action_gradient_step_size,
            self.action_gradient_steps,
        )

    def warm_start(self: Self, model: Any) -> Self:
        """Take over the actor of another model of the same policy and settings, such as a trained `DiffusionBC`.

        And with it how contexts are standardised, for that is how the actor reads them.

        Raises:
            InvalidValueError: an actor of another kind; the message names what differs.
        """
        ours, theirs = _kind(self), _kind(model)
        different = [name for name in ours if ours[name] != theirs[name]]
        if different:
            raise InvalidValueError(f"a warm start needs the same {' and '.join(different)} in both models")
        for module in (self.actor, self.actor_target):
            module.load_state_dict(model.policy.acting.state_dict())
        self.policy.features_extractor.load_state_dict(model.policy.features_extractor.state_dict())
        self._statistics_fitted = True
        return self


def _entities(env: VecEnv) -> int:
    """Number of entities whose parts of the rewards an environment tells; 0 for none."""
    batched = batched_of(env)
    parts = None if batched is None else batched.entity_rewards
    return 0 if parts is None else int(parts.shape[1])


def _kind(model: Any) -> dict[str, Any]:
    """What two models must share for one's actor to mean the same in the other."""
    policy: DiffusionPolicy = model.policy
    modules = {"actor": policy.actor, "features": policy.features_extractor}
    return {
        "actor": policy.actor.noisy,
        "prediction": policy.actor.prediction,
        "schedule and denoising_steps": policy.actor.schedule.alpha_bar.tolist(),
        "scale of the feasible set": None if model.feasible is None else model.feasible.scales,
        "floor of contexts": getattr(policy.features_extractor, "floor", None),
        "shapes of networks": {m: {k: v.shape for k, v in modules[m].state_dict().items()} for m in modules},
    }

"""The policy of every algorithm here: a diffusion actor and, where the algorithm needs one, a critic."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from netdiffuse.algorithms.common.critics import Critic, EquivariantQNetwork, MLPQNetwork, QNetwork
from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError, checks
from netdiffuse.common.seeding import generator
from netdiffuse.diffusion import Denoiser, DiffusionModel, EquivariantDenoiser, MLPDenoiser
from netdiffuse.diffusion.denoisers import Structure
from netdiffuse.diffusion.prediction import Prediction
from netdiffuse.problems.features import StandardisedContext

ActorKind = Literal["diffusion", "mlp"]
Module = TypeVar("Module", bound=nn.Module)
Score = Callable[[Tensor, Tensor], Tensor]
"""Values (n,) of actions (n, action_size) in raw observations (n, ...): how candidates are compared."""


class DiffusionPolicy(BasePolicy):
    """A diffusion model over standardised actions, conditioned on a standardised context.

    `predict(obs, deterministic=True)` gives the same action for the same observation: the chain starts at zero, the
    mode of the noise, and follows DDIM, which adds none. With `n_candidates` above 1 the first candidate is that one
    and the others start from noise drawn once from a fixed seed, the same for every observation (so that decisions are
    then no longer exactly equivariant). `deterministic=False` draws everything anew.

    Args:
        observation_space, action_space: Box spaces; actions in [-1, 1].
        lr_schedule: learning rate of the actor as a function of the progress remaining.
        structure: how contexts are laid out: "vector", "entities" or "pairs".
        features: features an entity or a pair has in a context (for the equivariant networks).
        denoising_steps: steps T of the chain.
        schedule: "vp", "cosine" or "linear".
        prediction: "x0", "eps" or "v".
        sampler: "ddpm" or "ddim", for stochastic actions.
        actor: "diffusion", or "mlp" for the same network run once without noise.
        n_candidates: actions drawn for a decision, of which the best is kept.
        net_arch: widths of hidden layers, of actor and critic (MLP).
        width, blocks: features an entity carries, and message-passing blocks (equivariant).
        n_critics: size of the critic ensemble; 0 for none.
        target_networks: whether to keep slowly moving copies of actor and critic.
        entity_values: whether the critics value each entity of an observation apart.
        initial_scale: factor of the last layer's first weights; a small one begins near the middle of every coordinate.
        features_extractor_class, features_extractor_kwargs: as in Stable-Baselines3.
    """

    actor: DiffusionModel
    actor_target: DiffusionModel | None
    critic: Critic | None
    critic_target: Critic | None
    bound: ClassVar[float] = 1.0  # of what the chain ends in

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        structure: Structure = "vector",
        features: int = 1,
        denoising_steps: int = 5,
        schedule: str = "vp",
        prediction: Prediction = "x0",
        sampler: str = "ddpm",
        actor: ActorKind = "diffusion",
        n_candidates: int = 1,
        net_arch: Sequence[int] = (128, 128),
        width: int = 32,
        blocks: int = 2,
        n_critics: int = 0,
        target_networks: bool = False,
        entity_values: bool = False,
        initial_scale: float = 1.0,
        features_extractor_class: type[BaseFeaturesExtractor] = StandardisedContext,
        features_extractor_kwargs: dict[str, Any] | None = None,
    ) -> None:
        arguments = locals()
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            squash_output=True,
        )
        self._arguments = {k: v for k, v in arguments.items() if k not in ("self", "__class__")}
        if actor not in ("diffusion", "mlp"):
            raise UnknownNameError("actor", actor, ["diffusion", "mlp"])
        checks.integer("denoising_steps", denoising_steps)
        self.n_candidates = checks.integer("n_candidates", n_candidates)
        if actor == "mlp" and n_candidates > 1:
            raise InvalidValueError(
                "n_candidates must be 1 with actor='mlp': a deterministic network has one candidate"
            )
        if not net_arch:
            raise InvalidValueError("net_arch must name at least one hidden layer, got []")
        for layer in net_arch:
            checks.integer("net_arch", layer)
        self.structure = structure
        self.features = features
        self.net_arch = list(net_arch)
        self.width = checks.integer("width", width)
        self.blocks = checks.integer("blocks", blocks)
        self.entity_values = bool(entity_values)
        self.action_size = self._coordinates(action_space)
        self.score: Score | None = None
        self.features_extractor = self.make_features_extractor()
        if any(True for _ in self.features_extractor.parameters()):
            raise UnsupportedError(
                f"{type(self.features_extractor).__name__} has weights, which no optimizer here trains: use a features "
                "extractor without, or a wider net_arch"
            )

        steps = denoising_steps if actor == "diffusion" else 1
        noisy = actor == "diffusion"

        def make_actor() -> DiffusionModel:
            return DiffusionModel(
                self._make_denoiser(steps),
                self.action_size,
                steps,
                schedule,
                prediction,
                sampler,
                bound=self.bound,
                noisy=noisy,
            )

        self.actor = make_actor()
        if checks.positive("initial_scale", initial_scale) != 1:
            self.actor.denoiser.scale_output(initial_scale)
        self.critic = Critic(self._make_q_network, n_critics) if n_critics else None
        self.actor_target = self.critic_target = None
        if target_networks:
            self.actor_target = _frozen_copy(self.actor, make_actor())
            if self.critic is not None:
                self.critic_target = _frozen_copy(self.critic, Critic(self._make_q_network, n_critics))
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=lr_schedule(1), fused=True)

    @property
    def entities(self) -> int:
        """Number of interchangeable entities in an observation."""
        return int(self.observation_space.shape[0]) if self.observation_space.shape else 1

    @staticmethod
    def _coordinates(action_space: spaces.Space[Any]) -> int:
        """How many numbers the chain ends in."""
        assert isinstance(action_space, spaces.Box)
        return int(action_space.shape[0])

    def _make_denoiser(self, steps: int) -> Denoiser:
        assert isinstance(self.features_extractor, BaseFeaturesExtractor)
        return MLPDenoiser(self.features_extractor.features_dim, self.action_size, steps, self.net_arch)

    def _make_q_network(self) -> QNetwork:
        assert isinstance(self.features_extractor, BaseFeaturesExtractor)
        entities = self.entities if self.entity_values else 0
        return MLPQNetwork(self.features_extractor.features_dim, self.action_size, self.net_arch, entities)

    def set_training_mode(self, mode: bool) -> None:
        """As in Stable-Baselines3, but without a walk over all networks at every decision."""
        if mode != self.training:
            super().set_training_mode(mode)

    @property
    def acting(self) -> DiffusionModel:
        """The actor that `predict` runs: the target actor, a running average that wanders less, where there is one."""
        return self.actor if self.actor_target is None else self.actor_target

    def context(self, obs: Tensor) -> Tensor:
        """Standardised, flattened contexts (n, d) of raw observations (n, ...)."""
        return self.features_extractor(obs.float())

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> Tensor:
        """Actions (n, action_size) for raw observations (n, ...)."""
        return self._predict(obs, deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        if self.n_candidates == 1:
            return self.acting(self.context(observation), deterministic=deterministic)
        candidates = self.candidates(observation, self.n_candidates, deterministic)  # (n, candidates, action_size)
        if self.score is None:
            raise UnsupportedError(
                f"n_candidates={self.n_candidates} needs something to compare candidates by, a critic or the problem's "
                "utility: load the model with env=, or set n_candidates=1"
            )
        n, draws, size = candidates.shape
        repeated = observation.repeat_interleave(draws, 0)
        scores = self.score(repeated, candidates.reshape(n * draws, size)).reshape(n, draws)
        return candidates[torch.arange(n), scores.argmax(1)]

    def candidates(self, observation: Tensor, draws: int, deterministic: bool = False) -> Tensor:
        """Several actions for each observation, shape (n, draws, action_size).

        Deterministic ones start at zero and then at noise of a fixed seed, the same for every observation.
        """
        start = self._starts(len(observation), draws, deterministic).to(observation.device)
        context = self.context(observation)
        return self.acting(context, start, deterministic=deterministic).reshape(len(context), draws, self.action_size)

    def _starts(self, n: int, draws: int, deterministic: bool) -> Tensor:
        if not deterministic:
            return torch.randn(n * draws, self.action_size)
        noise = torch.randn(draws, self.action_size, generator=generator(0))
        noise[0] = 0
        return noise.repeat(n, 1)

    def trajectory(self, observation: Tensor, seed: int | None = None) -> Iterator[Tensor]:
        """Yield x_T, ..., x_0, each (n, action_size); from noise of this seed, or as `deterministic` when None."""
        source = None if seed is None else generator(seed, observation.device)
        return self.acting.trajectory(self.context(observation), generator=source, deterministic=seed is None)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        spaces_ = {"observation_space": self.observation_space, "action_space": self.action_space}
        return {**self._arguments, **spaces_, "lr_schedule": self._dummy_schedule}


class EquivariantDiffusionPolicy(DiffusionPolicy):
    """A `DiffusionPolicy` with permutation-equivariant networks, for problems of entities or pairs.

    Its weights do not depend on the number of entities. Arguments as `DiffusionPolicy`.
    """

    @property
    def action_parts(self) -> int:
        """Action coordinates an entity has."""
        if self.structure == "vector":
            raise UnsupportedError(
                "EquivariantPolicy needs a problem whose structure is 'entities' or 'pairs', got 'vector': "
                "use 'MlpPolicy'"
            )
        if self.action_size % self.entities:
            raise UnsupportedError(
                f"EquivariantPolicy needs the {self.action_size} action coordinates to divide among "
                f"{self.entities} entities: use 'MlpPolicy'"
            )
        return self.action_size // self.entities

    def _make_denoiser(self, steps: int) -> Denoiser:
        return EquivariantDenoiser(self.structure, self.features, self.action_parts, steps, self.width, self.blocks)

    def _make_q_network(self) -> QNetwork:
        return EquivariantQNetwork(
            self.structure, self.features, self.action_parts, self.width, self.blocks, self.entity_values
        )


def _frozen_copy(source: Module, copy: Module) -> Module:
    copy.load_state_dict(source.state_dict())
    copy.requires_grad_(False)
    return copy


POLICIES: dict[str, type[BasePolicy]] = {
    "MlpPolicy": DiffusionPolicy,
    "EquivariantPolicy": EquivariantDiffusionPolicy,
}

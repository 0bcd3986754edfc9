"""The policy of a run for an edge server: who shares how many steps at what power and bandwidth."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from netdiffuse.algorithms.common.policies import EquivariantDiffusionPolicy
from netdiffuse.common import UnsupportedError, checks
from netdiffuse.denoising.embeddings import PromptEncoder
from netdiffuse.denoising.planner import SharingRule
from netdiffuse.experiments.checkpoints import MODEL, checkpoint_dir
from netdiffuse.experiments.ratings import session_settings
from netdiffuse.experiments.run import Run
from netdiffuse.problems.shared_denoising.allocator import PolicyAllocator
from netdiffuse.problems.shared_denoising.experience import BATTERY_J


def make_allocator(
    run: Run, encoder: PromptEncoder, explore: float | None = None, rule: SharingRule | None = None
) -> PolicyAllocator:
    """An allocator that decides by a run's policy.

    Args:
        run: trained on shared denoising.
        encoder: prompts to embeddings.
        explore: draw actions, and disturb them by Gaussian noise of this standard deviation (of coordinates in
            [-1, 1]), so that ratings tell of other decisions too; None for the policy's best action.
        rule: which prompts are alike.

    Raises:
        InvalidValueError: a negative `explore`.
        UnsupportedError: the run was trained on something else, or with other batteries than devices have.
        RunError: it has no checkpoint, or a damaged one.
    """
    settings = session_settings(run)
    if settings.battery_j != BATTERY_J:
        raise UnsupportedError(
            f"{run.path} was trained with battery_j={settings.battery_j:g}, and devices reckon with {BATTERY_J:g} J: "
            "what they say of their batteries would mislead its policy"
        )
    version, model = policy_version(run.path), run.model
    while (now := policy_version(run.path)) != version:  # a training has put a new checkpoint in its place meanwhile
        del run.model  # a cached property
        version, model = now, run.model
    return PolicyAllocator(actor(model, explore), settings, encoder, version, rule)


def policy_version(run_dir: Path) -> str:
    """The name of a run and the beginning of its model's SHA-256: another one after every training."""
    digest = hashlib.sha256((checkpoint_dir(run_dir) / MODEL).read_bytes()).hexdigest()
    return f"{run_dir.resolve().name[:100]}-{digest[:12]}"


def actor(model: BaseAlgorithm, explore: float | None = None) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A model as a function from the observation of a session, (users, features), to an action, (3 users,).

    An equivariant policy decides for any number of users, the others for as many as they were trained with. Of an
    equivariant policy with several candidates a decision, the first is taken where the number is another.
    """
    best = explore is None
    noise = 0.0 if explore is None else checks.non_negative("explore", explore)
    trained = model.observation_space.shape
    assert trained is not None

    def act(observation: NDArray[np.float32]) -> NDArray[np.float32]:
        if observation.shape == trained:
            action, _ = model.predict(observation, deterministic=best)
        elif observation.shape[1:] == trained[1:] and isinstance(model.policy, EquivariantDiffusionPolicy):
            action = _elsewhere(model.policy, observation, best)
        else:
            raise UnsupportedError(
                f"the policy decides for {trained[0]} users at once, and {len(observation)} ask: start the server with "
                f"--enough {trained[0]}, or train with --policy EquivariantPolicy, which takes any number"
            )
        disturbed = action + noise * np.random.standard_normal(action.shape) if noise else action
        return np.clip(disturbed, -1, 1).astype(np.float32)

    return act


@torch.no_grad()
def _elsewhere(policy: EquivariantDiffusionPolicy, observation: NDArray[np.float32], best: bool) -> NDArray[np.float32]:
    """An action of another number of users than the policy was trained with."""
    policy.set_training_mode(False)
    seen = torch.as_tensor(observation[None], device=policy.device)
    size = len(observation) * policy.action_parts
    noisy = not best and policy.actor.noisy
    start = torch.randn(1, size, device=policy.device) if noisy else torch.zeros(1, size, device=policy.device)
    action = policy.acting(policy.context(seen), start, deterministic=best)
    return action[0].clamp(-1, 1).cpu().numpy()

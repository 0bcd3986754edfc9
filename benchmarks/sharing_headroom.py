"""How much better than greedy can the users of shared denoising be served?

    python benchmarks/sharing_headroom.py           two minutes on a core

A hill climb improves greedy's decision in every slot: steps, powers and bandwidths of one user at a time are changed at
random and kept where the whole slot's mean reward rises. It knows what the rules know: how users rate, the channels of
the slot, not the future. So it is the best that looking at all users at once can bring, as far as so many tries find
it, and no bound: who foresees empty batteries may do better over a session.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import finish, machine, show
from numpy.typing import NDArray
from rich.progress import track

from netdiffuse.baselines.denoising_rules import DENOISING_RULES
from netdiffuse.common import mean_interval
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.outcomes import STEPS
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]


def mean_reward(env: SharedDenoisingVectorEnv, decision: tuple[Array, Array, Array]) -> Array:
    """What the slot brings on average, by the decision as the environment would carry it out; shape (sessions,)."""
    outcome = env.simulator.outcome(*env.decode(env.encode(*decision)))
    each = env.simulator.mean_opinions(outcome) - FLOOR - env.settings.energy_weight * outcome.server_j
    return each.sum(-1)


def climb(env: SharedDenoisingVectorEnv, tries: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Greedy's action, improved by so many tries in every session at once."""
    best = env.decode(DENOISING_RULES["greedy"].choose(env, random))
    value = mean_reward(env, best)
    sessions, users = best[0].shape
    rows = np.arange(sessions)
    budgets = (env.settings.power_w, env.settings.bandwidth_hz)
    for number in range(tries):
        k, *shares = (part.copy() for part in best)
        user = random.integers(0, users, sessions)
        if number % 2 == 0:
            k[rows, user] = random.integers(0, STEPS + 1, sessions)
        for share, budget in zip(shares, budgets, strict=True):
            factor = np.exp(random.normal(0, 1, sessions))
            share[rows, user] = np.maximum(share[rows, user], 0.02 * budget) * factor
            share[k == 0] = 0.0
            share *= budget / np.maximum(share.sum(-1, keepdims=True), 1e-12)
        tried = (k, *shares)
        reward = mean_reward(env, tried)
        better = reward > value
        value = np.where(better, reward, value)
        for kept, new in zip(best, tried, strict=True):
            kept[better] = new[better]
    return env.encode(*best)


def main(
    sessions: int = 100,
    tries: int = 600,
    seed: int = 12345,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Play the rules and the climb.

    Args:
        sessions: played by each.
        tries: changes tried in a slot.
        seed: of the sessions.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "sessions": sessions, "tries": tries, "rows": []}
    random = np.random.default_rng(0)
    played: dict[str, NDArray[np.float64]] = {}
    for name in ("alone", "equal-shares", "greedy", "climb"):
        env = SharedDenoisingVectorEnv(sessions)
        env.reset(seed=seed)
        returns = np.zeros(sessions)
        for _ in track(range(env.settings.slots), name, disable=json):
            action = climb(env, tries, random) if name == "climb" else DENOISING_RULES[name].choose(env, random)
            returns += env.step(action)[1]
        played[name] = returns
    for name, returns in played.items():
        mean, half = mean_interval(returns.tolist())
        over, over_half = mean_interval((returns - played["greedy"]).tolist())  # of the same users and channels
        row = {"decides": name, "return": mean, "half_width": half, "over_greedy": over, "over_half_width": over_half}
        result["rows"].append(row)
    if not json:
        rows = [
            [
                row["decides"],
                f"{row['return']:.1f} +- {row['half_width']:.1f}",
                f"{row['over_greedy']:.1f} +- {row['over_half_width']:.1f}",
            ]
            for row in result["rows"]
        ]
        show(["decides", "return of a session", "over greedy, pair by pair"], rows)
    finish(result, json, out)


if __name__ == "__main__":
    tyro.cli(main)

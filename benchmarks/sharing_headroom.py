"""How much better than greedy can the users of shared denoising be served, and how much better does a policy?

    python benchmarks/sharing_headroom.py                                            two minutes on a core
    python benchmarks/sharing_headroom.py --tries 0 --sessions 1000 --runs RUN RUN   rules and policies alone

All decide in the same sessions, those of a final evaluation: the same users, prompts and channels.

A hill climb improves greedy's decision in every slot: steps, powers and bandwidths of one user at a time are changed at
random and kept where the whole slot's mean reward rises. It knows what the rules know: how users rate, the channels of
the slot, not the future. So it is the best that looking at all users at once can bring, as far as so many tries find
it, and no bound: who foresees empty batteries may do better over a session.

Differences are taken session by session. Those of policies are means over runs, with a 95% interval that is about
other seeds and other sessions alike: both are drawn anew with replacement, 10,000 times (Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1(2), 2007).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import finish, machine, show
from numpy.typing import NDArray
from rich.progress import track

from netdiffuse.baselines.denoising_rules import DENOISING_RULES, DenoisingRule
from netdiffuse.common import mean_interval
from netdiffuse.experiments import load
from netdiffuse.experiments.evaluation import SEED
from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.outcomes import STEPS
from netdiffuse.users.qoe import FLOOR

Array = NDArray[Any]
DRAWS = 10_000  # of runs and sessions


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


def play(env: SharedDenoisingVectorEnv, choose: Callable[[], NDArray[np.float32]], title: str) -> Array:
    """The return of every session, shape (sessions,)."""
    returns = np.zeros(env.num_envs)
    for _ in track(range(env.settings.slots), title, disable=None):
        returns += env.step(choose())[1]
    return returns


def drawn_anew(values: Array, draws: int, random: np.random.Generator) -> list[float]:
    """95% interval of the mean of values, shape (runs, sessions), over runs and sessions alike."""
    runs, sessions = values.shape
    means = [
        values[np.ix_(random.integers(0, runs, runs), random.integers(0, sessions, sessions))].mean()
        for _ in range(draws)
    ]
    return [float(value) for value in np.quantile(means, [0.025, 0.975])]


def main(
    runs: tuple[Path, ...] = (),
    sessions: int = 100,
    tries: int = 600,
    seed: int = SEED,
    threads: int = 1,
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Play the rules, the climb and the policies of runs.

    Args:
        runs: folders of runs of one method on shared-denoising, one a seed.
        sessions: played by each.
        tries: changes tried in a slot; 0 leaves the climb out.
        seed: of the sessions; those of a final evaluation unless told.
        threads: threads of torch.
        json: print JSON instead of a table.
        out: write the JSON here too.
    """
    result: dict[str, Any] = {"machine": machine(threads), "sessions": sessions, "tries": tries, "rows": []}
    random = np.random.default_rng(0)
    played: dict[str, Array] = {}  # (runs, sessions), rules as one run
    for name in ("alone", "equal-shares", "greedy", *(["climb"] if tries else [])):
        env = begun(sessions, seed)
        rule = DENOISING_RULES.get(name)

        def choose(env: SharedDenoisingVectorEnv = env, rule: DenoisingRule | None = rule) -> NDArray[np.float32]:
            return climb(env, tries, random) if rule is None else rule.choose(env, random)

        played[name] = play(env, choose, name)[None]
    models = [load(path).model for path in runs]
    if models:
        rows = []
        for path, model in zip(runs, models, strict=True):
            env = begun(sessions, seed)
            rows.append(
                play(env, lambda env=env, model=model: model.predict(env.observe(), deterministic=True)[0], path.name)
            )
        played["policies"] = np.stack(rows)
    for name, returns in played.items():
        over = returns - played["greedy"]
        mean, half = mean_interval(returns.mean(0).tolist())
        row = {"decides": name, "return": mean, "half_width": half, "over_greedy": float(over.mean())}
        row["over_greedy_interval"] = drawn_anew(over, DRAWS, random)
        if len(returns) > 1:
            row["over_greedy_of_each"] = over.mean(1).tolist()
        result["rows"].append(row)
    if not json:
        table = [
            [
                row["decides"],
                f"{row['return']:.1f} +- {row['half_width']:.1f}",
                "{:.2f} ({:.2f} to {:.2f})".format(row["over_greedy"], *row["over_greedy_interval"]),
            ]
            for row in result["rows"]
        ]
        show(["decides", "return of a session", "over greedy, pair by pair"], table)
    finish(result, json, out)


def begun(sessions: int, seed: int) -> SharedDenoisingVectorEnv:
    """Sessions that have begun."""
    env = SharedDenoisingVectorEnv(sessions)
    env.reset(seed=seed)
    return env


if __name__ == "__main__":
    tyro.cli(main)

"""Which runs are seeds of one method: those that differ in nothing but the seed, and each seed once."""

from collections.abc import Sequence
from dataclasses import dataclass

from netdiffuse.experiments.config import Config


@dataclass(frozen=True)
class Candidate:
    """A run that may be averaged with others.

    Attributes:
        name: of the run.
        method: what its method is called.
        config: what was asked for.
        finished: whether its budget is used.
        changed: when its files changed last, in seconds since the epoch.
    """

    name: str
    method: str
    config: Config
    finished: bool
    changed: float


def labels(candidates: Sequence[Candidate]) -> list[str]:
    """What each run's method is called where those of another budget or setting have a name of their own."""
    found = []
    for one in candidates:
        facts = _facts(one)
        others = [_facts(other) for other in candidates if other.method == one.method]
        apart = [fact for name, fact in facts.items() if any(other[name] != fact for other in others)]
        found.append(f"{one.method} ({', '.join(apart)})" if apart else one.method)
    return found


def doubled(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Name of a run that repeats the seed of a newer one of its method, to that run's name."""
    newest: dict[tuple[str, int], Candidate] = {}
    keys = [(label, one.config.seed) for label, one in zip(labels(candidates), candidates, strict=True)]
    for key, one in zip(keys, candidates, strict=True):
        best = newest.get(key)
        if best is None or (one.changed, one.name) > (best.changed, best.name):
            newest[key] = one
    kept = [newest[key].name for key in keys]
    return {one.name: name for one, name in zip(candidates, kept, strict=True) if one.name != name}


def _facts(one: Candidate) -> dict[str, str]:
    """All that decides about a result beside the method's own settings and the seed."""
    config = one.config
    unit, value = next((unit, value) for unit, value in config.budget.items() if value is not None)
    return {
        "budget": f"{value:g} {unit}",
        "policy": config.policy,
        "n_envs": f"{config.n_envs} environments",
        "threads": f"{config.threads} threads",
        "device": config.device,
        "contexts": f"judged on {'the usual' if config.contexts is None else config.contexts} contexts",
        "finished": "finished" if one.finished else "stopped early",
    }

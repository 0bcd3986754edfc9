"""The study: leader and follower share k steps, the latent crosses a link, the follower's picture is judged."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from netdiffuse.common import InvalidValueError, checks, mean_interval
from netdiffuse.denoising.embeddings import PromptEncoder
from netdiffuse.denoising.families import Family
from netdiffuse.denoising.handoff import link_with_errors, send_state
from netdiffuse.denoising.planner import cosines
from netdiffuse.denoising.quality import distance
from netdiffuse.denoising.quality_table import QualityTable
from netdiffuse.denoising.state import ChainState
from netdiffuse.denoising.study.judges import Judge
from netdiffuse.denoising.study.pairs import PAIRS, Pair

BIT_ERROR_RATES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.06, 0.10)


@dataclass(frozen=True)
class Study:
    """What is measured.

    Attributes:
        pairs: of prompts.
        steps: T.
        shared: numbers of shared steps, each in 0..T.
        bit_error_rates: of the link, each in [0, 0.5]; where nothing is shared, nothing is sent.
        seeds: of the noise, one picture each.
        scheduler: a name of `schedulers.NAMES`; the model's own unless told.
        guidance_scale: weight of the prompts; what is usual for the model unless told.
        codec: by which latents are sent, at every bit error rate.
    """

    pairs: tuple[Pair, ...] = PAIRS
    steps: int = 11
    shared: tuple[int, ...] = tuple(range(12))
    bit_error_rates: tuple[float, ...] = BIT_ERROR_RATES
    seeds: int = 20
    scheduler: str | None = None
    guidance_scale: float | None = None
    codec: str = "uint8"

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps)
        checks.integer("seeds", self.seeds)
        for name in ("pairs", "shared", "bit_error_rates"):
            if not getattr(self, name):
                raise InvalidValueError(f"{name} must not be empty")
        for k in self.shared:
            checks.integer("shared", k, minimum=0, maximum=self.steps)
        for rate in self.bit_error_rates:
            if not 0 <= checks.finite("bit_error_rate", rate) <= 0.5:
                raise InvalidValueError(f"bit_error_rates must be in [0, 0.5], got {rate}")


@dataclass(frozen=True)
class Trial:
    """A follower's pictures at one point, over the seeds.

    Attributes:
        leader, follower: the prompts.
        similarity: cosine of their embeddings.
        shared: k.
        bit_error_rate: of the link.
        fidelity: of each picture, in [0, 1].
        leader_fidelity: how much each picture shows the leader's prompt instead, in [0, 1].
        mse, psnr_db, ssim: of each picture, against what the follower makes alone from the same noise.
    """

    leader: str
    follower: str
    similarity: float
    shared: int
    bit_error_rate: float
    fidelity: tuple[float, ...]
    leader_fidelity: tuple[float, ...]
    mse: tuple[float, ...]
    psnr_db: tuple[float, ...]
    ssim: tuple[float, ...]

    def row(self) -> dict[str, Any]:
        """As results.json has it: of each measure the mean and the half width of its 95% interval over the seeds."""
        said = {key: value for key, value in asdict(self).items() if not isinstance(value, tuple)}
        for name in ("fidelity", "leader_fidelity", "mse", "ssim"):
            interval = mean_interval(list(getattr(self, name)))
            said |= {name: interval.mean, f"{name}_half_width": _finite(interval.half_width)}
        # In decibels of the mean error: the mean of decibels is infinite as soon as one picture is perfect.
        mse = float(np.mean(self.mse))
        return said | {"psnr_db": -10 * np.log10(mse) if mse > 0 else None, "seeds": len(self.fidelity)}


def run_study(
    model: Family,
    encoder: PromptEncoder,
    judge: Judge,
    study: Study | None = None,
    *,
    done: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """Measure every pair at every number of shared steps and every bit error rate.

    Args:
        model: makes the pictures.
        encoder: tells how alike two prompts are.
        judge: tells how well a picture shows a prompt.
        study: what is measured.
        done: told how many pairs of how many are measured.
    """
    study = study or Study()
    trials = []
    for number, pair in enumerate(study.pairs):
        similarity = float(cosines(encoder([pair.leader, pair.follower]))[0, 1])
        trials += _pair(model, judge, study, pair, similarity)
        if done is not None:
            done(number + 1, len(study.pairs))
    return trials


def _pair(model: Family, judge: Judge, study: Study, pair: Pair, similarity: float) -> list[Trial]:
    leader, follower = (model.encode([prompt], study.guidance_scale) for prompt in (pair.leader, pair.follower))
    start = model.begin(range(study.seeds), study.steps, scheduler=study.scheduler, guidance_scale=study.guidance_scale)
    led = {0: start} | {state.step: state for state in model.run(start, leader, max(study.shared))}
    alone = model.decode(model.advance(start, follower))
    trials = []
    for k in study.shared:
        for rate in study.bit_error_rates if k else (0.0,):
            state = _sent(led[k], pair, rate, study.codec) if k else led[k]
            pictures = model.decode(model.advance(state, follower))
            far = distance(pictures, alone)
            trials.append(
                Trial(
                    pair.leader,
                    pair.follower,
                    similarity,
                    k,
                    rate,
                    tuple(judge(pictures, [pair.follower] * len(pictures))),
                    tuple(judge(pictures, [pair.leader] * len(pictures))),
                    **{name: tuple(values) for name, values in far.items()},
                )
            )
    return trials


def _sent(state: ChainState, pair: Pair, bit_error_rate: float, codec: str) -> ChainState:
    """The chains after a link that keeps its bit errors, history of the solver included.

    Every pair, step and rate has errors of its own, so that they even out over the pairs.
    """
    point = repr((pair.leader, pair.follower, state.step, float(bit_error_rate)))
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(point.encode()).digest()[:8], "little"))
    return send_state(state, link_with_errors(codec, bit_error_rate), generator)[0]


def quality_table(trials: Sequence[Trial], study: Study, model: Family, judge: str, bins: int = 4) -> QualityTable:
    """Fidelity over similarity, shared fraction and bit error rate.

    Pairs are sorted into bins of equal numbers by their similarity; where k is 0 nothing is sent, so every bit error
    rate has the same quality.

    Args:
        trials: as `run_study` found them.
        study: what was measured.
        model: whose fingerprint is written down.
        judge: by whom, as `make_judge` names it.
        bins: of similarity, at most.
    """
    pairs = sorted({(trial.similarity, trial.leader, trial.follower) for trial in trials})
    groups = [group.tolist() for group in np.array_split(np.arange(len(pairs)), min(bins, len(pairs)))]
    shared, rates = sorted(set(study.shared)), sorted(set(study.bit_error_rates))
    quality = np.zeros((len(groups), len(shared), len(rates)))
    half = np.zeros_like(quality)
    samples = []
    for s, group in enumerate(groups):
        members = {pairs[i] for i in group}
        for f, k in enumerate(shared):
            for b, rate in enumerate(rates):
                values = [
                    value
                    for trial in trials
                    if (trial.similarity, trial.leader, trial.follower) in members
                    and trial.shared == k
                    and trial.bit_error_rate == (rate if k else 0.0)
                    for value in trial.fidelity
                ]
                interval = mean_interval(values)
                quality[s, f, b], half[s, f, b] = interval.mean, _finite(interval.half_width) or 0.0
                samples.append(len(values))
    similarity = np.array([np.mean([pairs[i][0] for i in group]) for group in groups])
    return QualityTable(
        similarity=similarity,
        shared_fraction=np.array(shared) / study.steps,
        bit_error_rate=np.array(rates),
        quality=quality,
        half_width=half,
        model=model.revision,
        steps=study.steps,
        codec=study.codec,
        judge=judge,
        samples=min(samples),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

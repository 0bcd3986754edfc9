"""The loop of every stage: step, average, report, and write a checkpoint from which it goes on as if never stopped."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdiffuse.common import RunError, seeding
from netdiffuse.common.files import atomic_path

Loss = Callable[[torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""Draws a batch with the generator; returns the loss and further measures to write down."""

RECORD_STEPS = 50  # between two points of a loss curve
_CHECKPOINT_SECONDS = 60.0


class Stopped(Exception):  # noqa: N818 - not an error
    """Somebody has asked to stop; what is done so far is on disk."""


@dataclass(frozen=True)
class Recipe:
    """How a stage learns.

    Attributes:
        steps: in all.
        batch: pictures a step.
        learning_rate: at its highest; it rises over `warm_up` steps, and falls as a cosine to 2% at the end.
        warm_up: steps.
        decay: of the weights, as AdamW has it.
        average: decay a step of the moving average of the weights, which is what a stage gives.
    """

    steps: int
    batch: int
    learning_rate: float
    warm_up: int = 200
    decay: float = 0.01
    average: float = 0.999

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        cosine = 0.02 + 0.98 * (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * cosine


@dataclass
class Watch:
    """Who looks on: told how far a stage is, and asked whether to stop.

    Attributes:
        say: called with the stage's name, the share that is done, and a few words.
        stopped: set to end at the next good moment.
    """

    say: Callable[[str, float, str], None] = lambda *_: None
    stopped: bool = False

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            Stopped: it was asked.
        """
        if self.stopped:
            raise Stopped

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let the first Ctrl-C (or SIGTERM) ask to stop; the second one of a kind ends at once."""
        before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def handler(number: int, _: Any) -> None:
            self.stopped = True
            signal.signal(number, before[number])

        for number, old in before.items():
            if old is not signal.SIG_IGN:
                signal.signal(number, handler)
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


@dataclass
class Training:
    """A stage's training.

    Attributes:
        name: of the stage, and of its checkpoint.
        networks: what learns.
        loss: of a batch.
        recipe: how.
        folder: of the checkpoint.
        seed: of everything that is drawn.
        curve: what was written down: "step", "seconds", "loss" and further measures, every 50 steps.
    """

    name: str
    networks: nn.ModuleDict
    loss: Loss
    recipe: Recipe
    folder: Path
    seed: int
    curve: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=self.recipe.learning_rate, betas=(0.9, 0.99), weight_decay=self.recipe.decay
        )
        self._average = [parameter.detach().clone() for parameter in self.networks.parameters()]
        self._generator = seeding.generator(self.seed)
        self._sums: dict[str, float] = {}
        self._summed = 0

    @property
    def path(self) -> Path:
        """Of the checkpoint."""
        return self.folder / f"{self.name}.pt"

    def run(self, watch: Watch) -> None:
        """Go on from the checkpoint, if there is one, to the last step; the networks end as their average.

        Raises:
            Stopped: the watch was asked to stop; a checkpoint was written.
            RunError: the loss is no longer finite, or the checkpoint cannot be used.
        """
        if self.path.exists():
            self.load()
        self.networks.train()
        saved = time.monotonic()
        while self.step < self.recipe.steps:
            if watch.stopped:
                self.save()
                raise Stopped
            start = time.monotonic()
            loss = self._step()
            now = time.monotonic()
            self.seconds += now - start
            if self.step % 10 == 0:
                per = 1000 * (now - start) / self.recipe.batch
                words = f"step {self.step} of {self.recipe.steps}, loss {loss:.4f}, {per:.1f} ms a picture"
                watch.say(self.name, self.step / self.recipe.steps, words)
            if now - saved > _CHECKPOINT_SECONDS:
                self.save()
                saved = now
        self.save()
        self._use_average()

    def _step(self) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        loss, measures = self.loss(self._generator)
        if not loss.isfinite():
            raise RunError(f"the loss of '{self.name}' is {loss.item()} at step {self.step}: use a lower learning rate")
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        # At first the average follows closely, so that it forgets where it began.
        weight = 1 - min(self.recipe.average, self.step / (self.step + 9))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, list(self.networks.parameters()), weight)
        value = float(loss.detach())
        self._record({"loss": value} | {key: float(tensor.detach()) for key, tensor in measures.items()})
        return value

    def _record(self, measures: dict[str, float]) -> None:
        for key, value in measures.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._summed += 1
        if self.step % RECORD_STEPS == 0:
            means = {key: total / self._summed for key, total in self._sums.items()}
            self.curve.append({"step": float(self.step), "seconds": self.seconds} | means)
            self._sums, self._summed = {}, 0

    def _use_average(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list(self.networks.parameters()), self._average)
        self.networks.eval()

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "networks": self.networks.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": self._average,
            "generator": self._generator.get_state(),
            "curve": self.curve,
            "sums": self._sums,
            "summed": self._summed,
            "step": self.step,
            "seconds": self.seconds,
        }
        with atomic_path(self.path) as temporary:
            torch.save(state, temporary)

    def load(self) -> None:
        """Read the checkpoint.

        Raises:
            RunError: it is damaged, or of other networks.
        """
        try:
            state = torch.load(self.path, weights_only=True)
            self.networks.load_state_dict(state["networks"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._generator.set_state(state["generator"])
            with torch.no_grad():
                torch._foreach_copy_(self._average, state["average"])
        except Exception as error:  # torch.load raises of every kind
            raise RunError(f"the checkpoint {self.path} cannot be used ({error}): remove it to begin anew") from error
        self.curve, self._sums, self._summed = state["curve"], state["sums"], state["summed"]
        self.step, self.seconds = state["step"], state["seconds"]

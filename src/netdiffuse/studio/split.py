"""A split chain for the page: as pictures of every step, with what it saves and what it costs in quality."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from netdiffuse.common import InvalidValueError, checks
from netdiffuse.denoising.opening import DEFAULT, opened
from netdiffuse.studio.repeat import Lines, command

if TYPE_CHECKING:
    from PIL.Image import Image

    from netdiffuse.denoising.families import Family

EXACT = "exact"
SHOWN = 12  # steps of a chain that are decoded, at most
SMALLEST = 128  # pixels: smaller pictures are enlarged, so that they can be seen


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        prompts: one a user, two or more.
        steps: of a whole chain.
        shared: steps that all share; None to choose by meaning.
        model: "default", a name on a hub or a folder.
        codec: "exact", "fp16", "uint8" or "int4".
        bit_error_rate: of the link, in [0, 0.5].
        seed: of the noise.

    Raises:
        InvalidValueError: one of them is outside its range.
    """

    prompts: tuple[str, ...]
    steps: int = 11
    shared: int | None = None
    model: str = DEFAULT
    codec: str = EXACT
    bit_error_rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.prompts) < 2:
            raise InvalidValueError("give two prompts or more, one a line")
        checks.integer("steps", self.steps, maximum=1000)
        checks.seed("seed", self.seed)
        if self.shared is not None:
            checks.integer("shared", self.shared, minimum=0, maximum=self.steps)
        if not 0 <= checks.finite("bit_error_rate", self.bit_error_rate) <= 0.5:
            raise InvalidValueError(f"bit_error_rate must be in [0, 0.5], got {self.bit_error_rate}")
        if self.bit_error_rate and self.codec == EXACT:
            raise InvalidValueError("bit errors need a codec: an exact hand-off has no place for wrong bits")

    def lines(self) -> Lines:
        """That repeat it."""
        words = ["denoise", "split", "--prompts", *self.prompts, "--steps", str(self.steps), "--seed", str(self.seed)]
        words += [] if self.shared is None else ["--shared", str(self.shared)]
        words += [] if self.model == DEFAULT else ["--model", self.model]
        words += [] if self.codec == EXACT else ["--codec", self.codec]
        words += [] if not self.bit_error_rate else ["--bit-error-rate", str(self.bit_error_rate)]
        planned = "make_plan(default_encoder()(prompts), steps)"
        needed = "from netdiffuse.denoising.embeddings import default_encoder\n"
        imported = "make_plan"
        if self.shared is not None:
            planned, needed, imported = f"fixed_plan(len(prompts), steps, {self.shared})", "", "fixed_plan"
        link = None if self.codec == EXACT else f"link_with_errors({self.codec!r}, {self.bit_error_rate})"
        handoff = "from netdiffuse.denoising.handoff import link_with_errors\n" if link else ""
        python = (
            f"from netdiffuse.denoising import grid\n{needed}{handoff}"
            f"from netdiffuse.denoising.opening import opened\nfrom netdiffuse.denoising.planner import {imported}\n\n"
            f"prompts, steps = {list(self.prompts)!r}, {self.steps}\n"
            f"model = opened({self.model!r})\nplan = {planned}\n"
            f"found = grid.split(model, prompts, plan, seed={self.seed}, link={link})\n"
            'grid.draw(model, found).save("grid.png")\n'
        )
        return Lines(python, command(words))


@dataclass(frozen=True)
class Member:
    """A user of a split chain.

    Attributes:
        prompt: theirs.
        shared: steps that were done when the chain was handed to them.
        pictures: after each of the shown steps, as data URLs.
        alone: what they would have made alone.
        mse, psnr_db, ssim: distance of their picture from that; `psnr_db` None where they are equal.
    """

    prompt: str
    shared: int
    pictures: list[str]
    alone: str
    mse: float
    psnr_db: float | None
    ssim: float


@dataclass(frozen=True)
class Shown:
    """A split chain.

    Attributes:
        members: the users.
        steps: T.
        at: the steps that are shown; the first is 0, the last T.
        groups: who shares steps with whom: users by number, the number of steps, and after how many it begins.
        server_steps, device_steps: that were done.
        saved_percent: of all steps.
        bits_sent: over the link; None where the hand-off is exact.
        wrong_bits: of these, in the latents.
    """

    members: list[Member]
    steps: int
    at: list[int]
    groups: list[tuple[tuple[int, ...], int, int]]
    server_steps: int
    device_steps: int
    saved_percent: float
    bits_sent: int | None
    wrong_bits: int


@lru_cache(maxsize=1)
def _model(name: str) -> "Family":
    return opened(name)


def open_models(wish: Wish) -> None:
    """Open what it takes to do what is asked for; the first time that lasts some seconds, and is kept.

    Raises:
        MissingExtraError, MissingWeightsError, UnsupportedError: the model cannot be opened.
    """
    _model(wish.model)
    if wish.shared is None:
        from netdiffuse.denoising.embeddings import default_encoder

        default_encoder()


def split_chain(wish: Wish) -> Shown:
    """Do what is asked for.

    Raises:
        MissingExtraError, MissingWeightsError, UnsupportedError: the model cannot be opened.
        UnknownNameError: no such codec.
    """
    family = _model(wish.model)
    from netdiffuse.denoising import grid
    from netdiffuse.denoising.embeddings import default_encoder
    from netdiffuse.denoising.handoff import link_with_errors
    from netdiffuse.denoising.planner import fixed_plan, make_plan
    from netdiffuse.denoising.quality import distance

    if wish.shared is None:
        plan = make_plan(default_encoder()(wish.prompts), wish.steps)
    else:
        plan = fixed_plan(len(wish.prompts), wish.steps, wish.shared)
    link = None if wish.codec == EXACT else link_with_errors(wish.codec, wish.bit_error_rate)
    found = grid.split(family, wish.prompts, plan, seed=wish.seed, link=link)
    far = distance(found.pictures, found.alone)
    columns = min(SHOWN, wish.steps + 1)
    at = sorted({round(i * wish.steps / max(columns - 1, 1)) for i in range(columns)})
    members = [
        Member(
            prompt,
            plan.shared_steps[user],
            [_url(family.decode(found.trails[user][step])[0]) for step in at],
            _url(found.alone[user]),
            far["mse"][user],
            far["psnr_db"][user] if math.isfinite(far["psnr_db"][user]) else None,
            far["ssim"][user],
        )
        for user, prompt in enumerate(wish.prompts)
    ]
    return Shown(
        members,
        wish.steps,
        at,
        [(segment.members, segment.stop - segment.start, segment.start) for segment in plan.segments],
        plan.server_steps,
        plan.device_steps,
        100 * plan.saved,
        sum(delivery.bits_sent for delivery in found.deliveries) if link is not None else None,
        sum(delivery.bit_errors for delivery in found.deliveries),
    )


def prompts_in(text: str) -> tuple[str, ...]:
    """One prompt a line; empty lines are none."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _url(picture: "Image") -> str:
    scale = max(1, math.ceil(SMALLEST / min(picture.size)))
    large = picture.resize((picture.width * scale, picture.height * scale))
    file = io.BytesIO()
    large.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def users(numbers: Sequence[int]) -> str:
    """Users by number, from 1, as text."""
    return " and ".join([", ".join(str(n + 1) for n in numbers[:-1]), str(numbers[-1] + 1)]) if len(numbers) > 1 else ""

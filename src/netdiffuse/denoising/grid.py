"""A split chain in pictures: a row a user, a column a step, shared steps drawn once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont

from netdiffuse.denoising.families import Family
from netdiffuse.denoising.handoff import send_state
from netdiffuse.denoising.link import Delivery, Link
from netdiffuse.denoising.planner import Plan, Segment
from netdiffuse.denoising.sharing import share
from netdiffuse.denoising.state import ChainState

MARGIN, LABEL, SHOWN = 6, 18, 96  # pixels: between pictures, for words, and of the smaller side of a picture
SHARED, OWN, INK = (0, 114, 178), (230, 159, 0), (40, 40, 40)


@dataclass(frozen=True)
class Split:
    """Users' chains after each step, and the pictures that they end with.

    Attributes:
        prompts: of the users.
        plan: who shared what.
        trails: of each user, the states after 0, 1, .. T steps.
        pictures: the last ones.
        alone: what each user would have made alone, from the same noise.
        evaluations_per_step: of the network, for one chain.
        deliveries: of the hand-offs; none without a link.
    """

    prompts: tuple[str, ...]
    plan: Plan
    trails: tuple[tuple[ChainState, ...], ...]
    pictures: tuple[Image.Image, ...]
    alone: tuple[Image.Image, ...]
    evaluations_per_step: int
    deliveries: tuple[Delivery, ...] = ()


def split(
    model: Family,
    prompts: Sequence[str],
    plan: Plan,
    *,
    seed: int = 0,
    scheduler: str | None = None,
    guidance_scale: float | None = None,
    link: Link | None = None,
) -> Split:
    """Run a plan on this host, each user's own steps included, and each user's chain alone to compare with.

    Args:
        model: runs the chains.
        prompts: of the plan's users.
        plan: who shares what.
        seed: of the noise; whoever shares starts from the same as alone.
        scheduler: a name of `schedulers.NAMES`; the model's own unless told.
        guidance_scale: weight of the prompts; what is usual for the model unless told.
        link: that the shared chains cross on their way to the users; none unless told, and nothing is changed.
    """
    conditioning = model.encode(prompts, guidance_scale)
    first = {member: root.leaders[0] for root in plan.roots for member in root.members}

    def begin(seeds: Sequence[int]) -> ChainState:
        return model.begin(seeds, plan.steps, scheduler=scheduler, guidance_scale=guidance_scale)

    starts = [begin([seed + first.get(user, user)]) for user in range(plan.users)]
    trails = [[start] for start in starts]

    def watch(segments: Sequence[Segment], states: ChainState) -> None:
        for row, segment in enumerate(segments):
            for member in segment.members:
                trails[member].append(states.select([row]))

    handed = share(model, plan, conditioning, begin, seeds=range(seed, seed + plan.users), watch=watch)
    generator, deliveries = torch.Generator().manual_seed(seed), []
    for user, state in enumerate(handed):
        if link is not None and plan.shared_steps[user]:
            state, sent = send_state(state, link, generator)
            deliveries += sent
        trails[user] += model.run(state, conditioning.select([user]))
    alone = [model.advance(start, conditioning.select([user])) for user, start in enumerate(starts)]
    return Split(
        tuple(prompts),
        plan,
        tuple(tuple(trail) for trail in trails),
        tuple(picture for trail in trails for picture in model.decode(trail[-1])),
        tuple(picture for state in alone for picture in model.decode(state)),
        conditioning.evaluations,
        tuple(deliveries),
    )


def draw(model: Family, found: Split, columns: int = 12) -> Image.Image:
    """Each user's chain as a row of pictures, step after step; blue frames are shared, orange ones the user's own.

    The last column is what the user would have made alone.

    Args:
        model: decodes the latents.
        found: what `split` found.
        columns: steps that are shown, at most; spread evenly over the chain, the last always among them.
    """
    steps = found.plan.steps
    shown = sorted({round(i * steps / (min(columns, steps + 1) - 1)) for i in range(min(columns, steps + 1))})
    size = SHOWN + MARGIN
    sheet = Image.new(
        "RGB", (MARGIN + (len(shown) + 1) * size + MARGIN, LABEL + len(found.prompts) * (size + LABEL)), "white"
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, step in enumerate([*shown, None]):
        text = "alone" if step is None else f"step {step}"
        pen.text((MARGIN + column * size + (MARGIN if step is None else 0), 3), text, fill=INK, font=font)
    for user, prompt in enumerate(found.prompts):
        top = LABEL + user * (size + LABEL)
        k = found.plan.shared_steps[user]
        pen.text((MARGIN, top + 2), f"{prompt}: {k} of {steps} steps shared", fill=INK, font=font)
        pictures = [model.decode(found.trails[user][step])[0] for step in shown]
        for column, (step, picture) in enumerate(zip(shown, pictures, strict=True)):
            _paste(sheet, picture, MARGIN + column * size, top + LABEL, SHARED if step <= k else OWN)
        _paste(sheet, found.alone[user], 2 * MARGIN + len(shown) * size, top + LABEL, INK)
    return sheet


def _paste(sheet: Image.Image, picture: Image.Image, left: int, top: int, colour: tuple[int, int, int]) -> None:
    """A picture with a frame."""
    small = picture.resize((SHOWN - 4, SHOWN - 4), Image.Resampling.BICUBIC)
    ImageDraw.Draw(sheet).rectangle((left, top, left + SHOWN - 1, top + SHOWN - 1), fill=colour)
    sheet.paste(small, (left + 2, top + 2))

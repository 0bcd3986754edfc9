"""Scenes of 64x64 pixels, drawn by rule: an object in a colour in a place, never twice the same."""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from netdiffuse.common import checks
from netdiffuse.denoising.default_model.canvas import Canvas, Colour, Pen
from netdiffuse.denoising.default_model.captions import Scene, held_out_scenes, training_combinations
from netdiffuse.denoising.default_model.objects import DRAW
from netdiffuse.denoising.default_model.places import PAINT

TONES: dict[str, Colour] = {
    "red": (0.85, 0.13, 0.13),
    "orange": (0.98, 0.52, 0.07),
    "yellow": (0.99, 0.85, 0.12),
    "green": (0.16, 0.6, 0.22),
    "blue": (0.14, 0.34, 0.85),
    "purple": (0.5, 0.2, 0.72),
    "pink": (0.99, 0.52, 0.74),
    "brown": (0.45, 0.26, 0.12),
    "white": (0.95, 0.95, 0.96),
    "black": (0.12, 0.12, 0.14),
}
"""Red, green and blue in [0, 1] of each colour, in even light."""

_UNITS = {"apple": 14.0, "lemon": 13.5, "cup": 15.5, "book": 15.5, "bird": 15.0, "dog": 15.5, "tree": 17.0}
_UNITS |= {"car": 16.5, "flower": 16.0, "house": 16.0}  # pixels a unit of the object's own coordinates


def draw(scene: Scene, generator: np.random.Generator) -> Image.Image:
    """Draw a scene: its place, light, size, pose and details are as the generator says, and nothing else.

    Returns:
        64x64 pixels of RGB.
    """
    side, height = generator.choice([-1.0, 1.0]), generator.uniform(0.75, 1.2)
    canvas = Canvas((side * math.cos(height), -math.sin(height)))
    PAINT[scene.place](canvas, generator)
    on_book = scene.place == "book"
    size = _UNITS[scene.object] * generator.uniform(0.86, 1.06)
    lowest, highest = (49.0, 53.5) if on_book else (50.0, 57.0)
    foot = generator.uniform(lowest, highest)
    spread = 3.0 if on_book else 7.0
    pen = Pen(
        canvas,
        x=generator.uniform(32 - spread, 32 + spread),
        y=foot,
        size=size * (0.9 + 0.1 * (foot - lowest) / (highest - lowest)),  # the nearer, the larger
        mirrored=bool(generator.random() < 0.5),
        tilt=generator.uniform(-0.05, 0.05),
    )
    tone = TONES[scene.colour]
    r, g, b = (float(np.clip(part + generator.uniform(-0.035, 0.035), 0, 1)) for part in tone)
    DRAW[scene.object](pen, (r, g, b), generator)
    warmth, brightness = generator.uniform(-0.025, 0.035), generator.uniform(0.94, 1.03)
    lit = canvas.pixels * brightness * np.array([1 + warmth, 1.0, 1 - warmth])
    return Image.fromarray((np.clip(lit, 0, 1) * 255).round().astype(np.uint8))


def training_scenes(n: int, seed: int = 0, start: int = 0) -> Iterator[tuple[Scene, Image.Image]]:
    """Scenes to train on: each combination equally often, the held-out ones never.

    Args:
        n: how many.
        seed: with it and its number, a picture is always the same.
        start: number of the first one.
    """
    return _scenes(training_combinations(), n, seed, start)


def judge_scenes(n: int, seed: int = 0, start: int = 0) -> Iterator[tuple[Scene, Image.Image]]:
    """Scenes of the held-out combinations, which only the classifier may see; arguments as `training_scenes`."""
    return _scenes(held_out_scenes(), n, seed, start)


def _scenes(combinations: tuple[Scene, ...], n: int, seed: int, start: int) -> Iterator[tuple[Scene, Image.Image]]:
    """Round after round over the combinations, each picture with a generator of its own."""
    checks.integer("n", n)
    checks.seed("seed", seed)
    checks.integer("start", start, minimum=0)
    for i in range(start, start + n):
        scene = combinations[i % len(combinations)]
        yield scene, draw(scene, np.random.default_rng([seed, len(combinations), i]))

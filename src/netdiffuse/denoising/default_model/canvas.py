"""A canvas of 64x64 pixels, and a pen that draws shaded shapes on it wherever an object stands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

SIZE = 64
_FINE = 4  # shapes are drawn this many times larger, and what they cover is averaged

Array = NDArray[np.float64]
Colour = tuple[float, float, float]  # red, green and blue, in [0, 1]
Point = tuple[float, float]
Shape = Array  # corners of a polygon, shape (n, 2)


def ellipse(x: float, y: float, wide: float, high: float, angle: float = 0.0) -> Shape:
    """An ellipse by its centre, half axes and angle (radians)."""
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    u, v = wide * np.cos(t), high * np.sin(t)
    return np.stack([x + u * math.cos(angle) - v * math.sin(angle), y + u * math.sin(angle) + v * math.cos(angle)], 1)


def polygon(*points: Point) -> Shape:
    """Straight sides."""
    return np.array(points, float)


def box(x: float, y: float, half_wide: float, half_high: float) -> Shape:
    """An upright rectangle by its centre and half sides."""
    left, right, low, high = x - half_wide, x + half_wide, y - half_high, y + half_high
    return polygon((left, low), (right, low), (right, high), (left, high))


def spline(*points: Point, closed: bool = True) -> Shape:
    """A smooth curve through the points (Catmull and Rom, 1974)."""
    p = np.array(points, float)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate(pieces if closed else [*pieces, p[-1:]])


def stroke(points: Sequence[Point] | Shape, width: float, end: float | None = None) -> list[Shape]:
    """A thick line with round ends, whose width goes from `width` to `end`."""
    p = np.asarray(points, float)
    widths = np.linspace(width, width if end is None else end, len(p)) / 2
    shapes = [ellipse(x, y, w, w) for (x, y), w in zip(p, widths, strict=True)]
    for (a, b), (v, w) in zip(pairwise(p), pairwise(widths), strict=True):
        along = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
        across = np.array([-along[1], along[0]])
        shapes.append(np.stack([a + v * across, b + w * across, b - w * across, a - v * across]))
    return shapes


def mix(one: Colour, other: Colour, weight: float) -> Colour:
    """Between two colours; the other one where the weight is 1."""
    r, g, b = (float(x + weight * (y - x)) for x, y in zip(one, other, strict=True))
    return r, g, b


class Canvas:
    """A picture while it is drawn, lit from above and one side.

    Attributes:
        pixels: shape (64, 64, 3), in [0, 1].
        light: where the light comes from, a unit vector; x to the right, y down.
    """

    def __init__(self, light: Point) -> None:
        self.pixels: Array = np.zeros((SIZE, SIZE, 3))
        self.light = light

    def cover(self, shapes: Sequence[Shape]) -> Array:
        """How much of each pixel the shapes cover together, in [0, 1], shape (64, 64)."""
        mask = Image.new("L", (SIZE * _FINE, SIZE * _FINE))
        pen = ImageDraw.Draw(mask)
        for shape in shapes:
            pen.polygon([(float(x), float(y)) for x, y in shape * _FINE], fill=255)
        return np.asarray(mask.reduce(_FINE), float) / 255

    def lay(self, cover: Array, colour: Colour | Array, opacity: float = 1.0) -> None:
        """Lay a colour, one or one a pixel, over what is covered."""
        alpha = (opacity * cover)[..., None]
        self.pixels = self.pixels * (1 - alpha) + np.asarray(colour) * alpha

    def flat(self, shapes: Sequence[Shape], colour: Colour, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Paint without shading, the edge softened over `blur` pixels."""
        cover = self.cover(shapes)
        self.lay(gaussian_filter(cover, blur) if blur else cover, colour, opacity)

    def fade(
        self, top: Colour, bottom: Colour, start: float, end: float, shapes: Sequence[Shape] | None = None
    ) -> None:
        """Paint a vertical gradient between two heights (pixels from above), everywhere or in the shapes."""
        weight = np.clip((np.arange(SIZE) - start) / (end - start), 0, 1)[:, None, None]
        colours = np.asarray(top) * (1 - weight) + np.asarray(bottom) * weight
        self.lay(np.ones((SIZE, SIZE)) if shapes is None else self.cover(shapes), colours * np.ones((1, SIZE, 1)))

    def solid(self, shapes: Sequence[Shape], colour: Colour, bulge: float, edge: float) -> None:
        """Paint as if the shapes were one cushion: brighter towards the light, darker away from it and at the edge.

        Args:
            shapes: in pixels.
            colour: in even light.
            bulge: over how many pixels from its edge it is round.
            edge: how dark the outline is, in [0, 1].
        """
        cover = self.cover(shapes)
        height = gaussian_filter(cover, bulge)
        down, right = np.gradient(height)
        tone = -2.6 * bulge * (right * self.light[0] + down * self.light[1])
        tone = tone - edge * np.clip(1.6 * (1 - gaussian_filter(cover, 0.8)), 0, 1)
        tone = np.clip(tone, -1, 1)[..., None]
        base = np.asarray(colour)
        bright = base + (1 - base) * 0.4
        # Shadows keep their hue and are a little cool; those of white must not look grey, nor those of orange brown.
        dark = base * np.array([0.55, 0.57, 0.64])
        self.lay(cover, np.where(tone > 0, base + tone * (bright - base), base - tone * (dark - base)))


@dataclass(frozen=True)
class Pen:
    """Draws an object in coordinates of its own: x to the right, y up, its foot at (0, 0), about two high and wide.

    Attributes:
        canvas: what is drawn on.
        x, y: where the foot is, in pixels.
        size: pixels a unit.
        mirrored: left and right are swapped.
        tilt: by which the object leans about its foot, in radians.
    """

    canvas: Canvas
    x: float
    y: float
    size: float
    mirrored: bool = False
    tilt: float = 0.0

    def at(self, shape: Shape) -> Shape:
        """A shape in pixels."""
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        x, y = shape[:, 0] * cos - shape[:, 1] * sin, shape[:, 0] * sin + shape[:, 1] * cos
        return np.stack([self.x + self.size * (-x if self.mirrored else x), self.y - self.size * y], 1)

    def solid(self, shapes: Sequence[Shape], colour: Colour, bulge: float = 0.25, edge: float = 0.35) -> None:
        """A cushion; `bulge` in units."""
        self.canvas.solid([self.at(shape) for shape in shapes], colour, bulge * self.size, edge)

    def flat(self, shapes: Sequence[Shape], colour: Colour, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Without shading; `blur` in units."""
        self.canvas.flat([self.at(shape) for shape in shapes], colour, opacity, blur * self.size)

    def shine(self, x: float, y: float, wide: float, high: float, opacity: float = 0.55) -> None:
        """A soft reflection of the light, on the side where it is; x is its distance from the middle."""
        side = math.copysign(1.0, self.canvas.light[0]) * (-1 if self.mirrored else 1)
        self.flat([ellipse(side * x, y, wide, high, -0.7 * side)], (1.0, 1.0, 1.0), opacity, 0.06)

    def shadow(self, wide: float, high: float = 0.16) -> None:
        """On the ground, away from the light."""
        side = math.copysign(1.0, self.canvas.light[0])
        at = ellipse(self.x - 0.25 * side * self.size, self.y, wide * self.size, high * self.size)
        self.canvas.flat([at], (0.06, 0.07, 0.12), 0.45, 1.2)

"""How the places look. Each paints the whole canvas, and leaves the ground in front to an object."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from netdiffuse.denoising.default_model.canvas import (
    SIZE,
    Canvas,
    Colour,
    Point,
    Shape,
    box,
    ellipse,
    mix,
    polygon,
    spline,
    stroke,
)

Paint = Callable[[Canvas, np.random.Generator], None]

_WHITE, _DARK = (1.0, 1.0, 1.0), (0.1, 0.1, 0.14)
# Colours of the ground are duller than those of any object, so that objects stand out on it.
_WALLS: tuple[Colour, ...] = (
    (0.84, 0.86, 0.82),
    (0.82, 0.85, 0.9),
    (0.92, 0.87, 0.79),
    (0.88, 0.82, 0.84),
    (0.79, 0.86, 0.86),
)
_WOODS: tuple[Colour, ...] = ((0.8, 0.64, 0.44), (0.74, 0.57, 0.39), (0.84, 0.71, 0.54), (0.67, 0.52, 0.38))
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((0.47, 0.69, 0.92), (0.84, 0.93, 0.98)),
    ((0.58, 0.74, 0.88), (0.93, 0.94, 0.92)),
    ((0.63, 0.72, 0.88), (0.99, 0.87, 0.75)),
    ((0.72, 0.77, 0.82), (0.91, 0.92, 0.92)),
)
_GRASS: Colour = (0.57, 0.71, 0.38)
_WATER: Colour = (0.42, 0.66, 0.8)
_ASPHALT: Colour = (0.5, 0.51, 0.54)


def _vary(colour: Colour, generator: np.random.Generator, by: float = 0.04) -> Colour:
    r, g, b = (float(np.clip(part + generator.uniform(-by, by), 0, 1)) for part in colour)
    return r, g, b


def _mottle(canvas: Canvas, cover: np.ndarray, generator: np.random.Generator, strength: float) -> None:
    """Uneven brightness, streaked sideways as ground seen from the side is."""
    noise = gaussian_filter(generator.standard_normal((SIZE, SIZE)), (1.2, 3.0))
    canvas.pixels = np.clip(canvas.pixels + (strength * noise / noise.std() * cover)[..., None], 0, 1)


def _outdoors(canvas: Canvas, generator: np.random.Generator) -> float:
    """Sky, clouds, hills and a meadow; returns the height of the horizon in pixels from above."""
    horizon = generator.uniform(27, 33)
    top, low = _SKIES[generator.integers(len(_SKIES))]
    canvas.fade(top, low, 0, horizon)
    if generator.random() < 0.4:
        at = (generator.uniform(6, 58), generator.uniform(5, 13))
        canvas.flat([ellipse(*at, 6.5, 6.5)], (1.0, 0.96, 0.78), 0.5, 2.2)
        canvas.flat([ellipse(*at, 3.6, 3.6)], (1.0, 0.95, 0.72))
    for _ in range(generator.integers(1, 4)):
        x, y, w = generator.uniform(4, 60), generator.uniform(5, 17), generator.uniform(4, 8)
        puffs = [(0, 0, 1), (-0.7, 0.12, 0.6), (0.75, 0.1, 0.65), (0.25, -0.22, 0.62)]
        canvas.flat([ellipse(x + w * a, y + w * b, w * c, 0.36 * w * c) for a, b, c in puffs], _WHITE, 0.85, 0.7)
    for shade, high in ((0.55, 8.0), (0.25, 4.5)):
        hill = mix(mix(_GRASS, (0.3, 0.5, 0.4), 0.4), low, shade)
        points = [(float(x), horizon - high * generator.uniform(0.3, 1)) for x in range(-8, 80, 18)]
        canvas.flat(
            [polygon((-8, SIZE), *map(tuple, spline(*points, closed=False).tolist()), (72, SIZE))],
            _vary(hill, generator, 0.02),
        )
    grass = _vary(_GRASS, generator)
    meadow = [polygon((-1, horizon), (65, horizon), (65, 65), (-1, 65))]
    canvas.fade(mix(grass, low, 0.25), mix(grass, (0.3, 0.5, 0.2), 0.35), horizon, SIZE, meadow)
    _mottle(canvas, canvas.cover(meadow), generator, 0.018)
    return float(horizon)


def _blades(canvas: Canvas, generator: np.random.Generator, n: int, low: float) -> None:
    for _ in range(n):
        y = generator.uniform(low, 63)
        x, h = generator.uniform(1, 63), 1.2 + 2.6 * (y - low) / (64 - low)
        tone = (0.38, 0.57, 0.26) if generator.random() < 0.6 else (0.72, 0.82, 0.5)
        for lean in (-0.5, 0.1, 0.6):
            canvas.flat([polygon((x - 0.4, y), (x + 0.4, y), (x + lean * h * 0.7, y - h))], tone, 0.8)


def grass(canvas: Canvas, generator: np.random.Generator) -> None:
    """A meadow with tufts and daisies."""
    horizon = _outdoors(canvas, generator)
    _blades(canvas, generator, 16, horizon + 5)
    for _ in range(generator.integers(2, 7)):
        x, y = generator.uniform(2, 62), generator.uniform(horizon + 6, 62)
        canvas.flat([ellipse(x, y, 1.1, 0.8)], _WHITE, 0.9)
        canvas.flat([ellipse(x, y, 0.45, 0.4)], (0.95, 0.8, 0.3))


def river(canvas: Canvas, generator: np.random.Generator) -> None:
    """A stream from the horizon, behind the bank in front and down one side."""
    horizon = _outdoors(canvas, generator)
    side = generator.choice([-1, 1])
    water, sway = _vary(_WATER, generator), generator.uniform(-1.5, 1.5)

    def band(grow: float) -> list[Shape]:
        """In coordinates where the river leaves to the left; wider by `grow`."""
        near: list[Point] = [
            (52, horizon + 0.6),
            (46, horizon + 4 + grow),
            (30, horizon + 10 + sway + grow),
            (20, horizon + 17 + grow),
        ]
        near += [(16 + grow, 57.0), (15 + grow, 66.0)]
        far: list[Point] = [
            (-4, 66),
            (-4, horizon + 9 - grow),
            (10, horizon + 6 + sway - grow),
            (34, horizon + 2.4 - 0.6 * grow),
            (47, horizon + 0.4),
        ]
        points = np.concatenate([spline(*near, closed=False), spline(*far, closed=False)])
        return [np.stack([points[:, 0] if side < 0 else 64 - points[:, 0], points[:, 1]], 1)]

    canvas.flat(band(1.3), (0.8, 0.74, 0.56))
    canvas.fade(mix(water, _WHITE, 0.45), mix(water, (0.16, 0.4, 0.62), 0.45), horizon, SIZE, band(0))
    inside = canvas.cover(band(-0.8))
    for _ in range(9):
        y = generator.uniform(horizon + 5, 63)
        x, w = generator.uniform(0, 30), 1 + 0.09 * (y - horizon)
        x = x if side < 0 else 64 - x
        wave = spline((x - 2.2 * w, y), (x - w, y - 0.5), (x, y), (x + w, y + 0.5), (x + 2.2 * w, y), closed=False)
        canvas.lay(inside * canvas.cover(stroke(wave, 0.7)), _WHITE, 0.6)
    _blades(canvas, generator, 6, horizon + 16)


def road(canvas: Canvas, generator: np.random.Generator) -> None:
    """Asphalt to the horizon, with white edges and a broken line in the middle."""
    horizon = _outdoors(canvas, generator)
    away, here = generator.uniform(24, 40), generator.uniform(29, 35)
    asphalt = _vary(_ASPHALT, generator, 0.03)

    def strip(left: float, right: float, start: float = 0.0, end: float = 1.0) -> list[Shape]:
        """Between two lines that meet far away, as shares of the half width; start and end are from far to near."""

        def at(share: float, along: float) -> tuple[float, float]:
            middle, half = away + (here - away) * along, 1.6 + 37 * along
            return middle + share * half, horizon + (66 - horizon) * along

        return [polygon(at(left, start), at(right, start), at(right, end), at(left, end))]

    _blades(canvas, generator, 6, horizon + 8)
    canvas.flat(strip(-1.1, 1.1), mix((0.66, 0.62, 0.52), _WHITE, 0.05))
    canvas.fade(mix(asphalt, _WHITE, 0.22), mix(asphalt, _DARK, 0.12), horizon, SIZE, strip(-1, 1))
    _mottle(canvas, canvas.cover(strip(-1, 1)), generator, 0.012)
    for side in (-1, 1):
        canvas.flat(strip(side * 0.88, side * 0.94), (0.95, 0.95, 0.92))
    phase = generator.uniform(0, 0.12)
    for start in np.array([0.02, 0.14, 0.3, 0.52, 0.8]) + phase:
        canvas.flat(strip(-0.04, 0.04, start, min(1.0, start + 0.05 + 0.14 * start)), (0.97, 0.95, 0.86))


def _indoors(canvas: Canvas, generator: np.random.Generator) -> None:
    """A wall, and before it a wooden table that fills the lower half."""
    wall = _vary(_WALLS[generator.integers(len(_WALLS))], generator, 0.03)
    canvas.fade(mix(wall, _WHITE, 0.25), mix(wall, _DARK, 0.12), 0, 40)
    kind = generator.random()
    x = generator.uniform(6, 58)
    if kind < 0.45:  # a window
        x, w, h = float(x), generator.uniform(8, 11), generator.uniform(9, 12)
        y = generator.uniform(13, 16)
        canvas.flat([box(x, y, w, h)], mix(wall, _WHITE, 0.75))
        top, low = _SKIES[generator.integers(len(_SKIES))]
        for left in (-1, 0):
            canvas.fade(top, low, y - h, y + h, [box(x + (left + 0.5) * w, y, w / 2 - 1, h - 1.2)])
    elif kind < 0.7:  # a framed picture of hills
        y, w, h = generator.uniform(12, 16), generator.uniform(7, 9), generator.uniform(5.5, 7)
        canvas.flat([box(x, y, w, h)], (0.5, 0.4, 0.32))
        canvas.flat([box(x, y, w - 1.4, h - 1.4)], (0.93, 0.92, 0.86))
        foot, right = y + h - 1.4, x + w - 1.4
        hills = polygon((x - w + 1.4, foot), (x - 1.5, y - 1), (x + 1.5, y + 1.5), (right - 1.6, y - 2), (right, foot))
        canvas.flat([hills], (0.62, 0.71, 0.66))
    back = generator.uniform(35, 39)
    wood = _vary(_WOODS[generator.integers(len(_WOODS))], generator, 0.02)
    inset = generator.uniform(1, 6)
    below = polygon((-2, back + 4), (66, back + 4), (66, 66), (-2, 66))
    canvas.flat([below], mix(wall, _DARK, 0.5))
    board = [polygon((inset, back), (SIZE - inset, back), (SIZE + 4, 59), (-4, 59))]
    canvas.fade(mix(wood, _DARK, 0.06), mix(wood, _WHITE, 0.16), back, 59, board)
    _mottle(canvas, canvas.cover(board), generator, 0.014)
    for share in np.linspace(0.17, 0.83, 5) + generator.uniform(-0.04, 0.04):
        ends = [(inset + share * (SIZE - 2 * inset), back), (-4 + share * (SIZE + 8), 59)]
        canvas.flat(stroke(ends, 0.35, 0.6), mix(wood, _DARK, 0.5), 0.45)
    canvas.flat([box(SIZE / 2, 60.75, SIZE / 2 + 4, 1.75)], mix(wood, _DARK, 0.3))
    canvas.flat([box(SIZE / 2, 59, SIZE / 2 + 4, 0.4)], mix(wood, _WHITE, 0.4))


def table(canvas: Canvas, generator: np.random.Generator) -> None:
    """A bare table in a room."""
    _indoors(canvas, generator)


def open_book(canvas: Canvas, generator: np.random.Generator) -> None:
    """A table on which a large book lies open."""
    _indoors(canvas, generator)
    middle, wide = generator.uniform(30, 34), generator.uniform(25, 28)
    back, front = generator.uniform(41, 43), generator.uniform(56.5, 58)
    far = 0.8 * wide

    def page(side: int, out: float) -> list[Shape]:
        """One half; larger by `out` pixels. Its upper edge swells towards the middle, as pages do."""
        rim = [
            (middle, back + 1.6 - out),
            (middle + side * 0.3 * far, back - 0.9 - out),
            (middle + side * (far + out), back - out),
        ]
        low = [
            (middle + side * (wide + out), front + out),
            (middle + side * 0.3 * wide, front - 1.2 + out),
            (middle, front + 1.4 + out),
        ]
        return [np.concatenate([spline(*rim, closed=False), spline(*low, closed=False)])]

    canvas.flat([*page(-1, 2.4), *page(1, 2.4)], (0.08, 0.07, 0.08), 0.35, 1.3)
    cover = [(0.26, 0.34, 0.42), (0.42, 0.25, 0.25), (0.28, 0.36, 0.3), (0.36, 0.3, 0.26)][generator.integers(4)]
    canvas.flat([*page(-1, 1.6), *page(1, 1.6)], cover)
    for side in (-1, 1):
        canvas.solid(page(side, 0), (0.95, 0.93, 0.86), 2.0, 0.25)
        for i in range(6):
            depth = (i + 0.9) / 6.6
            y = back + depth * (front - back)
            start, end = (
                middle + side * share * (far + depth * (wide - far)) for share in (0.14, generator.uniform(0.78, 0.9))
            )
            canvas.flat(stroke([(start, y), (end, y - 0.2)], 0.55), (0.45, 0.45, 0.5), 0.6)
    canvas.flat(stroke([(middle, back + 1.6), (middle, front + 1.4)], 1.2), (0.4, 0.37, 0.33), 0.6, 0.7)


PAINT: dict[str, Paint] = {"table": table, "book": open_book, "river": river, "road": road, "grass": grass}
"""How each place is painted."""

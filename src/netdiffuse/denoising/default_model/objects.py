"""How the objects look. Each is drawn by a `Pen`, in a colour, with small differences from one to the next."""

import math
from collections.abc import Callable

import numpy as np

from netdiffuse.denoising.default_model.canvas import Colour, Pen, box, ellipse, mix, polygon, spline, stroke

Draw = Callable[[Pen, Colour, np.random.Generator], None]

BLACK, WHITE = (0.07, 0.07, 0.09), (1.0, 1.0, 1.0)
_LEAF, _BARK, _BEAK = (0.36, 0.58, 0.22), (0.42, 0.28, 0.18), (0.93, 0.58, 0.16)


def _brightness(colour: Colour) -> float:
    return sum(colour) / 3


def _detail(colour: Colour, weight: float = 0.35) -> Colour:
    """A darker tone of a colour, or of black a lighter one, so that it stands out."""
    return mix(colour, (0.45, 0.45, 0.5), weight) if _brightness(colour) < 0.2 else mix(colour, BLACK, weight)


def _eye(pen: Pen, x: float, y: float, size: float) -> None:
    pen.flat([ellipse(x, y, 1.5 * size, 1.5 * size)], WHITE)
    pen.flat([ellipse(x + 0.2 * size, y, size, size)], BLACK)


def apple(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """Two lobes, a stalk and a leaf."""
    pen.shadow(1.0)
    wide = generator.uniform(0.92, 1.04)
    half = [(0.0, 1.58), (0.42, 1.74), (0.86, 1.52), (1.0, 1.02), (0.82, 0.42), (0.42, 0.03), (0.0, 0.1)]
    outline = [(wide * x, y) for x, y in half] + [(-wide * x, y) for x, y in half[-2:0:-1]]
    pen.solid([spline(*outline)], colour, 0.42)
    pen.flat([ellipse(0, 1.56, 0.34, 0.11)], _detail(colour), 0.6, 0.07)
    pen.solid(stroke([(0, 1.5), (0.04, 1.78), (0.16, 2.02)], 0.12, 0.16), _BARK, 0.1)
    droop = generator.uniform(-0.12, 0.12)
    leaf = mix(_LEAF, (0.2, 0.4, 0.15), 0.7) if colour[1] > max(colour[0], colour[2]) else _LEAF
    pen.solid([spline((0.08, 1.74), (0.36, 2.04), (0.86, 2.02 + droop), (0.5, 1.76))], leaf, 0.12)
    pen.shine(0.45, 1.28, 0.2, 0.3)


def lemon(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """An oval with a nub at each end, leaning, with pores and a leaf."""
    pen.shadow(1.1)
    lean = generator.uniform(-0.35, 0.35)
    cos, sin = math.cos(lean), math.sin(lean)

    def turned(x: float, y: float) -> tuple[float, float]:
        return x * cos - y * sin, x * sin + y * cos + 0.84

    half = [(1.28, 0.0), (1.14, 0.16), (0.94, 0.44), (0.52, 0.74), (0.0, 0.82), (-0.5, 0.74), (-0.9, 0.46)]
    half += [(-1.08, 0.2), (-1.16, 0.12)]
    outline = [turned(x, y) for x, y in half] + [turned(x, -y) for x, y in half[:0:-1]]
    leaf = mix(_LEAF, (0.2, 0.4, 0.15), 0.7) if colour[1] > max(colour[0], colour[2]) else _LEAF
    tip = [turned(*at) for at in ((-1.16, 0.06), (-1.2, 0.5), (-0.74, 0.92), (-0.78, 0.46))]
    pen.solid([spline(*tip)], leaf, 0.12)
    pen.solid([spline(*outline)], colour, 0.4)
    for _ in range(5):
        angle, radius = generator.uniform(0, 2 * math.pi), generator.uniform(0.1, 0.9)
        at = turned(0.8 * radius * math.cos(angle), 0.5 * radius * math.sin(angle))
        pen.flat([ellipse(*at, 0.035, 0.035)], _detail(colour), 0.4)
    pen.shine(0.4, 1.12, 0.16, 0.3)


def cup(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """A mug of coffee with a handle, sometimes steaming."""
    pen.shadow(0.95)
    foot = generator.uniform(0.56, 0.7)
    ring = [(0.62 + 0.52 * math.sin(t), 0.84 + 0.42 * math.cos(t)) for t in np.linspace(0.1, math.pi - 0.1, 9)]
    pen.solid(stroke(ring, 0.2), colour, 0.12)
    body = spline(
        (-0.8, 1.5), (-0.78, 1.1), (-foot - 0.06, 0.3), (-foot, 0.08), (0, -0.02),
        (foot, 0.08), (foot + 0.06, 0.3), (0.78, 1.1), (0.8, 1.5), (0.0, 1.6),
    )  # fmt: skip
    pen.solid([body], colour, 0.4)
    pen.solid([ellipse(0, 1.5, 0.82, 0.24)], mix(colour, WHITE, 0.25), 0.1, 0.5)
    pen.flat([ellipse(0, 1.48, 0.68, 0.17)], (0.24, 0.14, 0.09))
    pen.shine(0.42, 0.9, 0.1, 0.34, 0.4)
    if generator.random() < 0.5:
        for x in (-0.22, 0.2):
            sway = generator.uniform(-0.12, 0.12)
            curl = spline((x, 1.62), (x + 0.12 + sway, 1.86), (x - 0.08, 2.1), (x + 0.08 + sway, 2.36), closed=False)
            pen.flat(stroke(curl, 0.1, 0.02), WHITE, 0.5, 0.05)


def book(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """Closed and standing: cover, spine and the pages seen from above, with a title and a mark."""
    pen.shadow(1.05)
    top = generator.uniform(1.6, 1.9)
    back, turn = top + 0.2, generator.uniform(0.26, 0.42)
    cover = polygon((-0.55, 0), (0.85, 0.1), (0.85, top + 0.08), (-0.55, top))
    pages = polygon((-0.55, top), (0.85, top + 0.08), (0.85 - turn, back + 0.04), (-0.55 - turn, back - 0.02))
    spine = polygon((-0.55 - turn, 0.14), (-0.55, 0), (-0.55, top), (-0.55 - turn, back - 0.02))
    pen.solid([pages], (0.96, 0.94, 0.86), 0.08, 0.5)
    pen.solid([spine], mix(colour, BLACK, 0.22) if _brightness(colour) > 0.2 else mix(colour, WHITE, 0.1), 0.1)
    pen.solid([cover], colour, 0.14, 0.45)
    ink = mix(colour, WHITE, 0.75) if _brightness(colour) < 0.75 else mix(colour, (0.45, 0.47, 0.55), 0.7)
    for i, wide in enumerate((0.46, generator.uniform(0.2, 0.4))):
        y = top - 0.36 - 0.26 * i
        pen.flat(
            [polygon((0.15 - wide, y), (0.15 + wide, y + 0.04), (0.15 + wide, y + 0.16), (0.15 - wide, y + 0.12))], ink
        )
    mark = generator.uniform(0.2, 0.28)
    pen.flat([ellipse(0.16, 0.52, mark, mark)], ink)
    for y in (0.36, top - 0.34):
        pen.flat([polygon((-0.57 - turn, y + 0.14), (-0.55, y), (-0.55, y + 0.1), (-0.57 - turn, y + 0.24))], ink, 0.8)


def flower(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """Petals about a yellow disc (an orange one in a yellow flower), on a stem with two leaves."""
    pen.shadow(0.5, 0.12)
    lean, y = generator.uniform(-0.2, 0.2), 1.45
    stem = spline((0, 0), (0.08, 0.5), (lean, y), closed=False)
    for side in (-1, 1):
        high = generator.uniform(0.28, 0.46)
        leaf = [(0.02, 0.14), (0.4, 0.34 + high), (0.82, 0.4 + high), (0.52, 0.18 + high / 2)]
        pen.solid([spline(*((side * px, py) for px, py in leaf))], _LEAF, 0.14)
    pen.solid(stroke(stem, 0.15), mix(_LEAF, BLACK, 0.12), 0.1)
    petals, turn = int(generator.integers(5, 8)), generator.uniform(0, 2)
    for angle in turn + 2 * math.pi * np.arange(petals) / petals:
        at = (lean + 0.5 * math.cos(angle), y + 0.5 * math.sin(angle))
        pen.solid([ellipse(*at, 0.4, 1.9 / (petals + 0.5), angle)], colour, 0.16, 0.5)
    warm = min(colour[0], colour[1]) > 0.5 > colour[2]
    pen.solid([ellipse(lean, y, 0.27, 0.27)], (0.5, 0.3, 0.12) if warm else (0.97, 0.8, 0.22), 0.14)


def bird(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """From the side: a drop of a body, wing, tail, beak and thin legs."""
    pen.shadow(0.85, 0.13)
    nod = generator.uniform(-0.08, 0.08)
    for x in (-0.08, 0.2):
        pen.flat(stroke([(x, 0.55), (x, 0.06), (x + 0.2, 0.03)], 0.09), _BEAK)
        pen.flat(stroke([(x, 0.06), (x - 0.12, 0.03)], 0.09), _BEAK)
    pen.solid([polygon((0.84, 1.66 + nod), (1.3, 1.46 + nod), (0.84, 1.36 + nod))], _BEAK, 0.1)
    lift = generator.uniform(-0.15, 0.25)
    tail = polygon((-0.5, 1.06), (-1.4, 1.2 + lift), (-1.32, 0.92 + lift), (-0.5, 0.68))
    body = spline((0.5, 1.9 + nod), (0.84, 1.74 + nod), (0.92, 1.42 + nod), (0.82, 0.98), (0.42, 0.52), (-0.1, 0.42),
                  (-0.62, 0.66), (-0.76, 1.0), (-0.3, 1.24), (0.08, 1.5 + nod), (0.2, 1.78 + nod))  # fmt: skip
    pen.solid([tail, body], colour, 0.34)
    if _brightness(colour) < 0.9:
        pen.flat([spline((0.8, 1.1), (0.76, 0.78), (0.36, 0.54), (0.1, 0.6), (0.5, 0.86))], WHITE, 0.4, 0.08)
    raised = generator.uniform(0, 0.3)
    wing = spline((0.34, 1.14), (0.14, 1.3), (-0.5, 1.16 + raised), (-1.0, 0.96 + raised), (-0.5, 0.76), (0.06, 0.74))
    pen.solid([wing], _detail(colour, 0.28), 0.2, 0.55)
    _eye(pen, 0.58, 1.6 + nod, 0.085)


def dog(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """Standing, from the side: floppy ear, muzzle, black nose, tail in the air."""
    pen.shadow(1.05, 0.15)
    wag, nod, step = generator.uniform(-0.2, 0.2), generator.uniform(-0.08, 0.1), generator.uniform(-0.1, 0.1)
    behind = mix(colour, BLACK, 0.3) if _brightness(colour) > 0.2 else mix(colour, WHITE, 0.12)
    for x in (-0.44 - step, 0.5 + step):
        pen.solid(stroke([(x, 0.8), (x + 0.02, 0.12)], 0.26, 0.22), behind, 0.12)
    tail = stroke(spline((-0.78, 1.0), (-1.08, 1.22), (-1.12 + wag, 1.66), closed=False), 0.24, 0.12)
    trunk = stroke([(-0.6, 0.92), (-0.1, 0.9), (0.46, 0.96)], 0.76, 0.72)
    legs = [
        shape
        for x in (-0.72 + step, 0.26 - step)
        for shape in stroke([(x, 0.8), (x, 0.12), (x + 0.1, 0.1)], 0.28, 0.22)
    ]
    neck = stroke([(0.46, 1.0), (0.7, 1.42 + nod)], 0.56, 0.5)
    head = [ellipse(0.76, 1.56 + nod, 0.42, 0.38), *stroke([(0.88, 1.46 + nod), (1.22, 1.4 + nod)], 0.4, 0.3)]
    pen.solid([*tail, *trunk, *legs, *neck, *head], colour, 0.26)
    ear = spline((0.6, 1.88 + nod), (0.76, 1.72 + nod), (0.7, 1.3 + nod), (0.5, 1.12 + nod), (0.36, 1.36 + nod))
    pen.solid([ear], _detail(colour, 0.38), 0.14, 0.5)
    nose = BLACK if _brightness(colour) > 0.2 else (0.55, 0.5, 0.52)
    pen.flat([ellipse(1.38, 1.48 + nod, 0.11, 0.1)], nose)
    _eye(pen, 0.94, 1.66 + nod, 0.075)


def tree(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """A trunk under a crown of round tufts."""
    pen.shadow(0.8, 0.16)
    trunk = spline((-0.26, 0.0), (-0.12, 0.4), (-0.1, 1.0), (0.12, 1.0), (0.14, 0.4), (0.28, 0.0))
    pen.solid([trunk, *stroke([(0.02, 0.6), (0.4, 1.1)], 0.14)], _BARK, 0.14)
    tufts = [(-0.52, 1.1, 0.44), (0.54, 1.08, 0.44), (0.02, 1.02, 0.4), (-0.36, 1.58, 0.44), (0.42, 1.56, 0.42)]
    tufts.append((0.02, 1.9, 0.42))
    crown = [(x + generator.uniform(-0.1, 0.1), y + generator.uniform(-0.08, 0.08), r) for x, y, r in tufts]
    pen.solid([ellipse(x, y, 1.06 * r, 1.06 * r) for x, y, r in crown], _detail(colour, 0.22), 0.3)
    for x, y, r in crown:
        pen.solid([ellipse(x, y, 0.92 * r, 0.88 * r)], colour, 0.26, 0.12)


def car(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """A small car from the side."""
    pen.shadow(1.25, 0.16)
    roof, bonnet = generator.uniform(1.32, 1.5), generator.uniform(0.6, 0.78)
    body = spline(
        (-1.28, 0.3), (-1.34, 0.62), (-1.2, 0.86), (-0.86, 0.92), (-0.58, roof - 0.06), (-0.3, roof), (0.24, roof),
        (0.48, roof - 0.06), (bonnet, 0.94), (1.14, 0.84), (1.34, 0.62), (1.32, 0.3), (0.6, 0.24), (-0.6, 0.24),
    )  # fmt: skip
    pen.solid([body], colour, 0.24)
    glass = (0.72, 0.86, 0.95)
    pen.solid([polygon((-0.7, 0.92), (-0.48, roof - 0.14), (-0.08, roof - 0.12), (-0.08, 0.92))], glass, 0.1, 0.3)
    pen.solid([polygon((0.04, 0.92), (0.04, roof - 0.12), (0.36, roof - 0.14), (bonnet - 0.12, 0.92))], glass, 0.1, 0.3)
    pen.flat(stroke([(-0.02, 0.86), (-0.02, 0.4)], 0.05), _detail(colour), 0.7)
    pen.flat(stroke([(-0.26, 0.74), (-0.14, 0.74)], 0.08), _detail(colour), 0.9)
    pen.flat([ellipse(1.24, 0.62, 0.1, 0.13)], (1.0, 0.93, 0.6))
    pen.flat([ellipse(-1.29, 0.64, 0.06, 0.11)], (0.75, 0.12, 0.1))
    for x in (-0.74, 0.76):
        pen.solid([ellipse(x, 0.28, 0.31, 0.31)], (0.15, 0.15, 0.17), 0.1)
        pen.solid([ellipse(x, 0.28, 0.15, 0.15)], (0.78, 0.79, 0.82), 0.1)


def house(pen: Pen, colour: Colour, generator: np.random.Generator) -> None:
    """Coloured walls under a slate roof, with a door, windows and a chimney."""
    pen.shadow(1.1, 0.18)
    slate = (0.4, 0.42, 0.5) if _brightness(colour) > 0.2 else (0.6, 0.62, 0.7)
    side, high = generator.choice([-1.0, 1.0]), generator.uniform(1.86, 2.1)
    pen.solid([box(side * 0.55, 1.63, 0.13, 0.33)], mix(slate, BLACK, 0.2), 0.1)
    pen.solid([polygon((-0.88, 0), (0.88, 0), (0.88, 1.14), (0, high - 0.1), (-0.88, 1.14))], colour, 0.2, 0.45)
    roof = [(-1.14, 1.02), (0, high), (1.14, 1.02), (1.06, 0.88), (0, high - 0.24), (-1.06, 0.88)]
    pen.solid([polygon(*roof)], slate, 0.12, 0.4)
    frame = WHITE if _brightness(colour) < 0.85 else (0.55, 0.6, 0.68)
    door = side * -0.36
    pen.flat([box(door, 0.36, 0.23, 0.36)], frame)
    pen.solid([box(door, 0.325, 0.16, 0.325)], (0.42, 0.27, 0.18), 0.1)
    lit = (1.0, 0.9, 0.58) if generator.random() < 0.5 else (0.7, 0.85, 0.95)
    for x, y, w in ((side * 0.36, 0.5, 0.24), (0.0, 1.24, 0.18)):
        pen.flat([box(x, y, w, w)], frame)
        w -= 0.07
        pen.flat([box(x, y, w, w)], lit)


DRAW: dict[str, Draw] = {
    "apple": apple,
    "lemon": lemon,
    "cup": cup,
    "book": book,
    "bird": bird,
    "dog": dog,
    "tree": tree,
    "car": car,
    "flower": flower,
    "house": house,
}
"""How each object is drawn."""

"""Parts of objects, filled outlines and strokes in whole numbers around the object's middle, and their materials.

An object's own frame reaches from -ONE to ONE in x (rightwards) and y (downwards). A material is drawn anew from
``rng``: two colours, the texture that mixes them, and its gloss.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from linbench.data.shapes.rng import ONE, TURN, Rng, cosine, sine

Point = tuple[int, int]
Knot = tuple[int, int, int]  # x, y and the stroke's radius there
Colour = tuple[int, int, int]


class Texture(IntEnum):
    """The pattern that mixes a material's two colours."""

    PLAIN = 0
    CLOUD = 1
    STRIPES = 2
    CHECKS = 3
    DOTS = 4
    WOOD = 5
    BRICKS = 6
    SPECKLE = 7
    PLANKS = 8
    WAVES = 9
    PATCHES = 10


class Relief(IntEnum):
    """The shape of a part's surface, which decides how light falls on it."""

    FLAT = 0
    BEVEL = 1  # raised, with a sloping rim
    DOME = 2  # round as a whole
    ROUND = 3  # round across, as a wire is: strokes


@dataclass(frozen=True)
class Material:
    """Two colours and the texture that mixes them.

    cells: Of the texture, from the object's middle to ONE.
    angle: Of the texture, in steps of TURN.
    gloss: Strength of the highlight, 0 to 255.
    """

    colour: Colour
    other: Colour
    texture: Texture = Texture.CLOUD
    cells: int = 6
    angle: int = 0
    gloss: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """One piece of an object, in one material.

    lines: ``n 6``: x y of both ends and the radius at both; of a filled part the outline's sides, radius 0, where a
        point is inside if a ray from it crosses the sides an odd number of times.
    """

    lines: NDArray[np.int64]
    material: Material
    relief: Relief


def fill(material: Material, *outlines: Sequence[Point], relief: Relief = Relief.BEVEL) -> Part:
    """Return a filled area; outlines inside another are holes."""
    rows = [
        (ax, ay, bx, by, 0, 0)
        for line in outlines
        for (ax, ay), (bx, by) in zip(line, (*line[1:], line[0]), strict=True)
    ]
    return Part(np.array(rows, dtype=np.int64), material, relief)


def stroke(material: Material, *paths: Sequence[Knot]) -> Part:
    """Return round bars from knot to knot."""
    rows = [(ax, ay, bx, by, ar, br) for path in paths for (ax, ay, ar), (bx, by, br) in pairwise(path)]
    return Part(np.array(rows, dtype=np.int64), material, Relief.ROUND)


def at(angle: int, radius: int, middle: Point = (0, 0), radius_y: int | None = None) -> Point:
    """Return a point on a circle, or on an ellipse with upright axes."""
    ry = radius if radius_y is None else radius_y
    return middle[0] + radius * cosine(angle) // ONE, middle[1] + ry * sine(angle) // ONE


def ring(radius: int, middle: Point = (0, 0), radius_y: int | None = None, sides: int = 40) -> list[Point]:
    """Return the outline of a circle or ellipse."""
    return [at(TURN * i // sides, radius, middle, radius_y) for i in range(sides)]


def turned(points: Iterable[Point], angle: int, middle: Point = (0, 0)) -> list[Point]:
    """Return the points turned about the origin and then moved to ``middle``."""
    c, s = cosine(angle), sine(angle)
    return [(middle[0] + (x * c - y * s) // ONE, middle[1] + (x * s + y * c) // ONE) for x, y in points]


def bar(a: Point, b: Point, radius: int, end: int | None = None) -> list[Knot]:
    """Return a straight stroke."""
    return [(*a, radius), (*b, radius if end is None else end)]


def arc(radius: int, start: int, stop: int, width: int, middle: Point = (0, 0), pieces: int = 16) -> list[Knot]:
    """Return a stroke along a circle."""
    return [(*at(start + (stop - start) * i // pieces, radius, middle), width) for i in range(pieces + 1)]


def bow(a: Point, control: Point, b: Point, width: int, end: int | None = None, pieces: int = 8) -> list[Knot]:
    """Return a stroke along a quadratic Bézier curve, whose radius goes from ``width`` to ``end``."""
    last = width if end is None else end
    knots = []
    for i in range(pieces + 1):
        p, q, n = pieces - i, i, pieces * pieces
        x = (a[0] * p * p + 2 * control[0] * p * q + b[0] * q * q) // n
        y = (a[1] * p * p + 2 * control[1] * p * q + b[1] * q * q) // n
        knots.append((x, y, width + (last - width) * i // pieces))
    return knots


def blob(rng: Rng, radius: int, middle: Point = (0, 0), rough: int = 18, sides: int = 20) -> list[Point]:
    """Return a round outline with bumps of ``rough`` percent."""
    waves = [(n, rng.between(0, TURN - 1), rough * 2 // n) for n in (2, 3, 5)]
    outline = []
    for i in range(sides):
        angle = TURN * i // sides
        swell = sum(height * sine(n * angle + phase) for n, phase, height in waves)
        outline.append(at(angle, radius + radius * swell // (100 * ONE), middle))
    return outline


def hsv(hue: int, saturation: int, value: int) -> Colour:
    """Return a colour: hue 0 to 359, the others 0 to 255."""
    sector, rest = divmod(hue % 360, 60)
    low = value * (255 - saturation) // 255
    up = value * (255 * 60 - saturation * (60 - rest)) // (255 * 60)
    down = value * (255 * 60 - saturation * rest) // (255 * 60)
    wheel = ((value, up, low), (down, value, low), (low, value, up), (low, down, value), (up, low, value))
    return wheel[sector] if sector < 5 else (value, low, down)


def shifted(colour: Colour, by: int) -> Colour:
    """Return the colour lighter or darker by that many steps of 255."""
    r, g, b = (min(255, max(0, value + by)) for value in colour)
    return r, g, b


def bright(rng: Rng, hue: int | None = None) -> Material:
    """Return a lacquer of any colour, plain or patterned."""
    hue = rng.between(0, 359) if hue is None else hue
    colour = hsv(hue, rng.between(120, 230), rng.between(150, 245))
    other = shifted(colour, -30)
    texture = rng.choice((Texture.CLOUD, Texture.CLOUD, Texture.STRIPES, Texture.DOTS, Texture.CHECKS))
    if texture is not Texture.CLOUD:
        other = hsv(hue + rng.choice((30, 150, 180, 210)), rng.between(20, 200), rng.between(160, 250))
    return _textured(rng, colour, other, texture, (3, 8), gloss=rng.between(40, 200))


def plain(rng: Rng, hue: int | None = None) -> Material:
    """Return a colour without a pattern."""
    hue = rng.between(0, 359) if hue is None else hue
    colour = hsv(hue, rng.between(90, 220), rng.between(120, 240))
    return _textured(rng, colour, shifted(colour, -25), Texture.CLOUD, (3, 9), gloss=rng.between(30, 160))


def metal(rng: Rng) -> Material:
    """Return steel, brass or black iron."""
    colour = hsv(*rng.choice(((215, 25, 190), (40, 110, 200), (220, 20, 70), (20, 90, 130), (210, 12, 235))))
    return _textured(rng, colour, shifted(colour, -22), Texture.CLOUD, (5, 14), gloss=rng.between(120, 230))


def wood(rng: Rng) -> Material:
    """Return pale to dark timber, with its grain."""
    hue, value = rng.between(18, 36), rng.between(90, 220)
    colour = hsv(hue, rng.between(80, 150), value)
    return _textured(rng, colour, hsv(hue - 6, 150, value * 2 // 3), Texture.WOOD, (4, 8), gloss=25)


def leaf(rng: Rng, hue: int | None = None) -> Material:
    """Return the green of one plant."""
    hue = rng.between(75, 145) if hue is None else hue
    value = rng.between(90, 190)
    colour = hsv(hue, rng.between(120, 200), value)
    return _textured(rng, colour, hsv(hue - 14, 180, value * 3 // 4), Texture.CLOUD, (8, 20), gloss=30)


def bark(rng: Rng) -> Material:
    """Return the bark of trunks and twigs."""
    value = rng.between(60, 130)
    colour = hsv(rng.between(15, 35), rng.between(50, 110), value)
    return _textured(rng, colour, shifted(colour, -28), Texture.WOOD, (10, 16), gloss=5)


def pale(rng: Rng) -> Material:
    """Return the white of silk, down and porcelain."""
    colour = hsv(rng.between(0, 359), rng.between(5, 45), rng.between(215, 252))
    return _textured(rng, colour, shifted(colour, -18), Texture.CLOUD, (4, 10), gloss=60)


def _textured(
    rng: Rng, colour: Colour, other: Colour, texture: Texture, cells: tuple[int, int], gloss: int
) -> Material:
    return Material(
        colour, other, texture, rng.between(*cells), rng.between(0, TURN - 1), gloss, rng.between(0, 65535)
    )


def along(material: Material, angle: int) -> Material:
    """Return the material with its texture along ``angle``."""
    return replace(material, angle=angle)

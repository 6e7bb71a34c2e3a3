"""Render scenes into images with exact masks, at any size."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linbench.data.shapes.backgrounds import STUFF, TOP
from linbench.data.shapes.parts import Part, Relief
from linbench.data.shapes.pixels import draw, finish, spread
from linbench.data.shapes.rng import ONE, cosine, grain, sine
from linbench.data.shapes.scene import THINGS, Scene, Thing

LEAST_AREA = 12  # px of an object that is annotated; a smaller part cannot be recognised
HALF_PIXEL = 128  # 1/256 px
LEAST, LARGEST = 8, 8192  # px of a side; beyond it products would leave 64 bits


@dataclass(frozen=True)
class VisibleObject:
    """The visible part of an object: its number in ``ids``, its class, an index of THINGS, and its area, px."""

    number: int
    category: int
    area: int


@dataclass(frozen=True)
class RenderedScene:
    """An image with its annotations.

    image: ``h w 3``, 0 to 255.
    ids: ``h w``, the number of the object in front, 0 where there is none.
    stuff: ``h w``, the class of what lies behind, an index of STUFF.
    objects: From back to front; each shows at least LEAST_AREA px.
    label: The class of the image as a whole, an index of THINGS.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.uint16]
    stuff: NDArray[np.uint8]
    objects: tuple[VisibleObject, ...]
    label: int

    def mask(self, visible: VisibleObject) -> NDArray[np.bool_]:
        """Return the visible part of an object, ``h w``."""
        return self.ids == visible.number

    @cached_property
    def semantic(self) -> NDArray[np.uint8]:
        """The class of each pixel, ``h w``, an index of CLASSES."""
        table = np.zeros(max((visible.number for visible in self.objects), default=0) + 1, dtype=np.uint8)
        for visible in self.objects:
            table[visible.number] = visible.category
        return np.where(self.ids > 0, table[self.ids], self.stuff + np.uint8(len(THINGS)))


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of images of that size, px; raises ValueError where they cannot be drawn."""
    h, w = (size, size) if isinstance(size, int) else size
    if not (min(h, w) >= LEAST and max(h, w) <= LARGEST):
        raise ValueError(f"size {h} x {w} px: each side is {LEAST} to {LARGEST:,} px")
    return h, w


def render_scene(scene: Scene, size: int | tuple[int, int]) -> RenderedScene:
    """Render a scene at a size, px: the side of a square, or height and width.

    At two sizes of one shape the scene is the same. In a wider frame its objects are farther apart, and not
    stretched. No stroke is thinner than a pixel, so that a wire stays whole in a small image.
    """
    h, w = sides(size)
    image, stuff = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8)
    ids = np.zeros((h, w), np.uint16)
    table = grain()
    _draw_background(scene, image, stuff)
    light = np.array(scene.light, dtype=np.int64)
    number = 0
    for thing in scene.things:
        number += thing.name != ""  # clutter comes first and is no object: 0
        lines, rows, origin = _lines(thing, h, w)
        shadow = np.array(_shadow(scene, thing, h, w), dtype=np.int64)
        draw(image, ids, number, lines, rows, origin, light, shadow, table)
    finish(image, np.array(scene.sun, dtype=np.int64), scene.noise, scene.seed, table)
    return RenderedScene(image, ids, stuff, _objects(scene, ids), scene.label)


def _draw_background(scene: Scene, image: NDArray[np.uint8], stuff: NDArray[np.uint8]) -> None:
    h, w = stuff.shape
    for region in scene.background.regions:
        edge = (
            region.level * h // TOP * 256 if region.level >= 0 else -512,
            region.rough * min(h, w) >> 8,
            region.bumps,
        )
        horizon = edge[0] if region.deep else -1
        spread(
            image,
            stuff,
            STUFF.index(region.stuff),
            np.array((*edge, region.seed), dtype=np.int64),
            horizon,
            np.array(region.colours, dtype=np.int64),
            region.cells,
            int(region.texture),
            grain(),
        )


def _lines(thing: Thing, h: int, w: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return all lines of an object, the rows of its parts as ``draw`` takes them, and its middle, in 1/256 px."""
    unit = thing.size * min(h, w) >> 8  # 1/256 px of ONE
    origin = np.array((thing.x * w >> 8, thing.y * h >> 8), dtype=np.int64)
    if thing.stands:
        origin[1] -= unit
    lines = np.concatenate([part.lines for part in thing.parts])
    if thing.mirrored:
        lines[:, 0:3:2] *= -1
    c, s = cosine(thing.angle), sine(thing.angle)
    placed = lines.copy()
    for x in (0, 2):
        placed[:, x] = ((lines[:, x] * c - lines[:, x + 1] * s) // ONE * unit // ONE) + origin[0]
        placed[:, x + 1] = ((lines[:, x] * s + lines[:, x + 1] * c) // ONE * unit // ONE) + origin[1]
    placed[:, 4:] = lines[:, 4:] * unit // ONE
    rows, first = [], 0
    for part in thing.parts:
        last = first + len(part.lines)
        if part.relief is Relief.ROUND:
            placed[first:last, 4:] = np.maximum(placed[first:last, 4:], HALF_PIXEL)
        rows.append(_row(thing, part, first, placed[first:last], unit))
        first = last
    return placed, np.array(rows, dtype=np.int64), origin


def _row(thing: Thing, part: Part, first: int, lines: NDArray[np.int64], unit: int) -> tuple[int, ...]:
    material, filled = part.material, part.relief is not Relief.ROUND
    bevel = max(256, unit // 14)
    rate = material.cells * 65536 * 256 // max(unit, 256)
    angle = material.angle + thing.angle
    looks = (
        *material.colour,
        *material.other,
        int(material.texture),
        rate,
        cosine(angle),
        sine(angle),
        material.seed,
        material.gloss,
    )
    ends = lines[:, :4].reshape(-1, 2)
    reach = (*ends.min(axis=0).tolist(), *ends.max(axis=0).tolist(), int(lines[:, 4:].max()))
    return (int(filled), first, first + len(lines), int(part.relief), bevel, *looks, *reach)


def _shadow(scene: Scene, thing: Thing, h: int, w: int) -> tuple[int, ...]:
    """Return the row of a shadow as ``draw`` takes it."""
    short = min(h, w)
    unit = thing.size * short >> 16  # px
    soft = max(256, unit * 256 // 26)
    if thing.stands and thing.name:
        side, rise = -scene.light[0] * 3 // 4, (-70 if scene.seed & 1 else 60)
        return (110, soft, 1, side, -rise, thing.y * h >> 16, scene.background.horizon * h >> 16)
    if not scene.background.shadows or (scene.background.horizon >= 0 and thing.name):
        return (0, 256, 0, 0, 0, 0, 0)
    away = max(1, unit // 12)
    return (120, soft, 0, -scene.light[0] * away >> 8, -scene.light[1] * away >> 8, 0, 0)


def _objects(scene: Scene, ids: NDArray[np.uint16]) -> tuple[VisibleObject, ...]:
    """Return the visible objects; the others are removed from ``ids``."""
    named = [thing for thing in scene.things if thing.name]
    areas = np.bincount(ids.ravel(), minlength=len(named) + 1)
    visible = []
    for number, thing in enumerate(named, start=1):
        if areas[number] >= LEAST_AREA:
            visible.append(VisibleObject(number, THINGS.index(thing.name), int(areas[number])))
        elif areas[number]:
            ids[ids == number] = 0
    return tuple(visible)

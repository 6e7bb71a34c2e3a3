"""A picture with masks over it: fill and contour of each, its box, its points, and a tag with what is known of it.

It is made for looking at: a picture too large for a screen is drawn smaller, a small one larger, and a strip is drawn
thicker than it is. Lines have dark edges and tags have grounds of their own, so that both stand out on any picture.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from linbench.reports.palette import INK, PAPER, WARNING, Colour, colour
from linbench.reports.plain_text import clip, plain
from linbench.reports.tags import Rectangle, font, place, wrapped

#: Bounds of the long side of the picture as it is drawn, and the least short side of it, px.
LONGEST, SHORTEST, THINNEST = 2048, 960, 24
#: Least width and height of the whole, px: tags and caption need them.
NARROWEST, LOWEST = 480, 160
FILL = 0.36  # opacity of a mask
MOST = 0.6  # opacity of all masks together, however many lie on each other: the picture is seen through them
FINE = 3  # shapes are drawn this many times larger, and shrunk: that smooths their edges
STEP = 1.0  # of a contour one point is drawn for this much of its way, px
FEW = 9  # a line of fewer points has sharp turns
CROWD = 12  # more tags than these are written smaller
EDGE = 0.5  # of the width of a line: what its dark edges add to it
DISC = 3.5  # radius of a point, in widths of a line
SMALL = 6.0  # a box of less than so many tags is not covered by its own
LONGEST_TAG = 28  # characters
CIRCLE = np.array([(math.cos(t), math.sin(t)) for t in np.linspace(0, 2 * math.pi, 60)])

Line = NDArray[np.float64]  # points ``n 2``, x y in px of the canvas


@dataclass(frozen=True)
class Mark:
    """One prompt, a box or points or both, and its answer; places are px of the picture.

    text: On the tag.
    mask: ``h w``, of bool, at the size of the picture.
    box: x0, y0, x1, y1.
    points: x, y and label, 1 foreground or 0 background.
    """

    text: str
    mask: NDArray[np.bool_] | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, int], ...] = ()

    def __post_init__(self) -> None:
        if self.box is None and not self.points:
            raise ValueError("a mark has a box or points; got neither")


@dataclass(frozen=True)
class Stage:
    """The picture as it is drawn.

    area: Where it is on the canvas.
    scale: Px of the canvas for one of the picture, along x and y.
    """

    canvas: Image.Image
    area: Rectangle
    scale: tuple[float, float]

    @property
    def line(self) -> float:
        """Width of a line, px."""
        return max(2.0, self.long / 360)

    @property
    def long(self) -> int:
        """The long side of the area, px."""
        return max(self.area[2] - self.area[0], self.area[3] - self.area[1])

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place in the picture on the canvas."""
        return self.area[0] + x * self.scale[0], self.area[1] + y * self.scale[1]


class Fill:
    """The masks of a picture in their colours, each laid over those before it, as one sheet over the picture."""

    def __init__(self, stage: Stage) -> None:
        left, top, right, bottom = stage.area
        self.stage = stage
        self.tint = np.zeros((bottom - top, right - left, 3), dtype=np.float32)
        self.cover = np.zeros((bottom - top, right - left, 1), dtype=np.float32)  # opacity, 0 to 1

    def add(self, mask: NDArray[np.bool_], of: Colour) -> list[Line]:
        """Lay a mask over the others; return its contour, in px of the canvas."""
        height, width = self.cover.shape[:2]
        field = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
        found = field.getbbox()
        if found is None:
            return []
        shape = np.asarray(field.crop(found), dtype=np.float32) / 255
        part = np.s_[found[1] : found[3], found[0] : found[2]]
        opacity = FILL * shape[..., None]
        below = self.cover[part]
        both = opacity + below * (1 - opacity)
        share = np.divide(opacity, both, out=np.zeros_like(both), where=both > 0)
        self.tint[part] += share * (np.array(of, dtype=np.float32) - self.tint[part])
        self.cover[part] = both
        corner = found[0] + self.stage.area[0], found[1] + self.stage.area[1]
        return [line + corner for line in _contours(shape)]

    def show(self) -> None:
        """Lay the sheet over the picture."""
        picture = np.asarray(self.stage.canvas.crop(self.stage.area), dtype=np.float32)
        filled = picture + np.minimum(self.cover, MOST) * (self.tint - picture)
        self.stage.canvas.paste(Image.fromarray(filled.round().astype(np.uint8)), self.stage.area[:2])


def overlay(picture: NDArray[np.uint8], marks: Iterable[Mark], caption: str = "", warning: str = "") -> Image.Image:
    """Draw ``marks`` over ``picture``; they are taken one at a time, so that their masks need not all be in memory.

    picture: ``h w 3``, 0 to 255.
    caption: Below the picture.
    warning: Above it, on a ground that cannot be overlooked.
    """
    stage = _stage(picture)
    fill = Fill(stage)
    drawn: list[Mark] = []
    contours: list[list[Line]] = []
    for mark in marks:
        contours.append([] if mark.mask is None else fill.add(mark.mask, colour(len(drawn))))
        drawn.append(replace(mark, mask=None))
    fill.show()
    for i, lines in enumerate(contours):
        _outlined(stage, lines, colour(i), stage.line)
    for i, mark in enumerate(drawn):
        if mark.box is not None:
            _box(stage, mark.box, colour(i))
    for i, mark in enumerate(drawn):
        for x, y, label in mark.points:
            _point(stage, stage.place(x, y), label, colour(i))
    _tags(stage, drawn)
    text = font(max(15, stage.long / 60))
    above = _band(warning, stage.canvas.width, text, INK, WARNING)
    below = _band(caption, stage.canvas.width, text, PAPER, INK)
    return _stacked([part for part in (above, stage.canvas, below) if part is not None])


def _stage(picture: NDArray[np.uint8]) -> Stage:
    height, width = picture.shape[:2]
    factor = min(max(height, width, SHORTEST), LONGEST) / max(height, width)
    size = max(THINNEST, round(width * factor)), max(THINNEST, round(height * factor))
    whole = max(NARROWEST, size[0]), max(LOWEST, size[1])
    left, top = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    canvas = Image.new("RGB", whole, INK)
    canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC), (left, top))
    return Stage(canvas, (left, top, left + size[0], top + size[1]), (size[0] / width, size[1] / height))


def _contours(field: NDArray[np.float64]) -> list[Line]:
    """Closed lines where ``field``, ``h w`` from 0 to 1, crosses a half; x y in px from its upper left corner."""
    found = []
    for line in contourpy.contour_generator(z=np.pad(field, 1)).lines(0.5):
        # A cell's value stands at its centre, half a pixel from its corner; the padding is one pixel.
        line = np.clip(np.asarray(line) - 0.5, 0, field.shape[::-1])
        way = np.hypot(*np.diff(line, axis=0).T).cumsum() // STEP
        found.append(line[np.append(True, np.diff(way, prepend=-1.0) > 0)])
    return found


def _box(stage: Stage, box: tuple[float, float, float, float], of: Colour) -> None:
    x0, y0 = stage.place(*box[:2])
    x1, y1 = stage.place(*box[2:])
    # round to the second corner again: that closes the first one
    _outlined(stage, [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0), (x1, y0)])], of, 0.6 * stage.line)


def _point(stage: Stage, at: tuple[float, float], label: int, of: Colour) -> None:
    """A disc with a plus for the foreground; a dark one with a minus for the background."""
    radius = DISC * stage.line
    inner, sign = (of, INK) if label else (INK, of)
    for ink, share in ((INK, 1.0), (PAPER, 0.85), (inner, 0.65)):
        _paint(stage, [at + share * radius * CIRCLE], ink)
    arm = np.array([(-0.4 * radius, 0.0), (0.4 * radius, 0.0)])
    _paint(stage, [at + arm, at + arm[:, ::-1]] if label else [at + arm], sign, 0.25 * radius)


def _outlined(stage: Stage, lines: Sequence[Line], of: Colour, width: float) -> None:
    """Lines with dark edges."""
    _paint(stage, lines, INK, width + EDGE * stage.line)
    _paint(stage, lines, of, width)


def _paint(stage: Stage, lines: Sequence[Line], of: Colour, width: float | None = None) -> None:
    """Draw lines of a width, or fill what they enclose, with smooth edges; what is off the canvas is cut off."""
    if not lines:
        return
    around = 1 + math.ceil(width or 0)
    points = np.concatenate(lines)
    x0, y0 = (max(0, math.floor(v) - around) for v in points.min(0))
    x1, y1 = (min(n, math.ceil(v) + around) for n, v in zip(stage.canvas.size, points.max(0), strict=True))
    large = Image.new("L", ((x1 - x0) * FINE, (y1 - y0) * FINE))
    draw = ImageDraw.Draw(large)
    for line in lines:
        at = ((line - (x0, y0)) * FINE).ravel().tolist()
        if width is None:
            draw.polygon(at, fill=255)
        else:
            # Contours turn in small steps, whose joints no one sees; rounding them takes ten times as long.
            draw.line(at, fill=255, width=max(1, round(width * FINE)), joint="curve" if len(line) < FEW else None)
    stage.canvas.paste(of, (x0, y0), large.reduce(FINE))


def _tags(stage: Stage, marks: Sequence[Mark]) -> None:
    """Name each mark beside its box or first point; the first ones get the better places."""
    letters = font(max(13, stage.long / 58) * (0.8 if len(marks) > CROWD else 1))
    pad = round(letters.size / 4)
    draw = ImageDraw.Draw(stage.canvas)
    taken = [_beside(stage, (x, y, x, y), DISC) for mark in marks for x, y, _ in mark.points]
    for i, mark in enumerate(marks):
        text = clip(plain(mark.text), LONGEST_TAG)
        size = math.ceil(letters.getlength(text)) + 2 * pad, round(1.3 * letters.size) + pad
        beside = _beside(stage, mark.box) if mark.box else _beside(stage, mark.points[0][:2] * 2, DISC)
        small = (beside[2] - beside[0]) * (beside[3] - beside[1]) < SMALL * size[0] * size[1]
        tag = place(size, beside, [*taken, beside] if small else taken, (0, 0, *stage.canvas.size))
        taken.append(tag)
        draw.rectangle((tag[0], tag[1], tag[2] - 1, tag[3] - 1), fill=colour(i), outline=INK)
        draw.text((tag[0] + pad, (tag[1] + tag[3]) / 2), text, fill=INK, font=letters, anchor="lm")


def _beside(stage: Stage, box: tuple[float, float, float, float], around: float = 0.0) -> Rectangle:
    """A box on the canvas, with ``around`` times the width of a line on each side."""
    x0, y0, x1, y1 = (*stage.place(*box[:2]), *stage.place(*box[2:]))
    more = around * stage.line
    return math.floor(x0 - more), math.floor(y0 - more), math.ceil(x1 + more), math.ceil(y1 + more)


def _band(text: str, width: int, letters: ImageFont.FreeTypeFont, ink: Colour, ground: Colour) -> Image.Image | None:
    """A strip of text in as many lines as it needs; None for no text."""
    if not text:
        return None
    pad = round(letters.size / 2)
    lines = wrapped(plain(text), letters, width - 2 * pad)
    step = round(1.3 * letters.size)
    band = Image.new("RGB", (width, step * len(lines) + pad), ground)
    draw = ImageDraw.Draw(band)
    for i, line in enumerate(lines):
        draw.text((pad, (i + 0.5) * step + pad / 2), line, fill=ink, font=letters, anchor="lm")
    return band


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole

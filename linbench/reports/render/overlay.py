"""An image with masks over it: fill and contour of each mask, its box, its points, and a tag with its name and score.

The result is for viewing: an image too large for a screen is drawn smaller, a small one larger, and a thin strip
thicker than it is. Lines have dark edges and tags have a background, so that both stand out on any image.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from linbench.reports.render.palette import INK, PAPER, WARNING, Colour, mask_colour
from linbench.reports.render.plain_text import clip, plain
from linbench.reports.render.tags import Rectangle, font, place_tag, wrapped

#: Largest and smallest long side of the image as drawn, and its smallest short side, px.
LONGEST, SHORTEST, THINNEST = 2048, 960, 24
#: Smallest width and height of the whole, px: tags and caption need them.
NARROWEST, LOWEST = 480, 160
FILL = 0.36  # opacity of a mask
MOST = 0.6  # opacity of all masks together, however many overlap: the image shows through
FINE = 3  # shapes are drawn this many times larger and shrunk, which smooths their edges
STEP = 1.0  # px of a contour for each point drawn
FEW = 9  # points; a line of fewer has sharp turns
CROWD = 12  # more tags than this are written smaller
EDGE = 0.5  # of the width of a line: added by its dark edges
DISC = 3.5  # radius of a point, in widths of a line
SMALL = 6.0  # areas of a tag; a smaller box is not covered by its own tag
LONGEST_TAG = 28  # characters
CIRCLE = np.array([(math.cos(t), math.sin(t)) for t in np.linspace(0, 2 * math.pi, 60)])

Line = NDArray[np.float64]  # points ``n 2``, x y in px of the canvas


@dataclass(frozen=True)
class Mark:
    """A prompt, box or points or both, and its mask; coordinates are px of the image.

    text: On the tag; empty for none.
    mask: ``h w``, of bool, at the size of the image.
    box: x0, y0, x1, y1.
    points: x, y and label, 1 foreground or 0 background.
    """

    text: str
    mask: NDArray[np.bool_] | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, int], ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where there is no prompt."""
        if self.box is None and not self.points:
            raise ValueError("a mark needs a box or points, got neither")


@dataclass(frozen=True)
class Stage:
    """The canvas with the image on it.

    area: Of the image on the canvas.
    scale: Px of the canvas for one px of the image, along x and y.
    """

    canvas: Image.Image
    area: Rectangle
    scale: tuple[float, float]

    @property
    def line(self) -> float:
        """Return the width of a line, px."""
        return max(2.0, self.long / 360)

    @property
    def long(self) -> int:
        """Return the long side of the area, px."""
        return max(self.area[2] - self.area[0], self.area[3] - self.area[1])

    def to_canvas(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the image in px of the canvas."""
        return self.area[0] + x * self.scale[0], self.area[1] + y * self.scale[1]


class Fill:
    """The masks of an image in their colours, each over those before it, as one layer over the image."""

    def __init__(self, stage: Stage) -> None:
        """Start with an empty layer."""
        left, top, right, bottom = stage.area
        self.stage = stage
        self.tint = np.zeros((bottom - top, right - left, 3), dtype=np.float32)
        self.cover = np.zeros((bottom - top, right - left, 1), dtype=np.float32)  # opacity, 0 to 1

    def add(self, mask: NDArray[np.bool_], colour: Colour) -> list[Line]:
        """Add a mask over the others; return its contour, in px of the canvas."""
        height, width = self.cover.shape[:2]
        field = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
        box = field.getbbox()
        if box is None:
            return []
        shape = np.asarray(field.crop(box), dtype=np.float32) / 255
        part = np.s_[box[1] : box[3], box[0] : box[2]]
        opacity = FILL * shape[..., None]
        below = self.cover[part]
        both = opacity + below * (1 - opacity)
        weight = np.divide(opacity, both, out=np.zeros_like(both), where=both > 0)
        self.tint[part] += weight * (np.array(colour, dtype=np.float32) - self.tint[part])
        self.cover[part] = both
        corner = box[0] + self.stage.area[0], box[1] + self.stage.area[1]
        return [line + corner for line in _contours(shape)]

    def paint(self) -> None:
        """Paint the layer over the image."""
        image = np.asarray(self.stage.canvas.crop(self.stage.area), dtype=np.float32)
        filled = image + np.minimum(self.cover, MOST) * (self.tint - image)
        self.stage.canvas.paste(Image.fromarray(filled.round().astype(np.uint8)), self.stage.area[:2])


def overlay(image: NDArray[np.uint8], marks: Iterable[Mark], caption: str = "", warning: str = "") -> Image.Image:
    """Draw ``marks`` over ``image``; they are read one at a time, so that their masks need not all be in memory.

    image: ``h w 3``, 0 to 255.
    caption: Below the image.
    warning: Above it, on a yellow background.
    """
    stage = _stage(image)
    fill = Fill(stage)
    drawn: list[Mark] = []
    contours: list[list[Line]] = []
    for mark in marks:
        contours.append([] if mark.mask is None else fill.add(mark.mask, mask_colour(len(drawn))))
        drawn.append(replace(mark, mask=None))
    fill.paint()
    for i, lines in enumerate(contours):
        _outline(stage, lines, mask_colour(i), stage.line)
    for i, mark in enumerate(drawn):
        if mark.box is not None:
            _box(stage, mark.box, mask_colour(i))
    for i, mark in enumerate(drawn):
        for x, y, label in mark.points:
            _point(stage, stage.to_canvas(x, y), label, mask_colour(i))
    _tags(stage, drawn)
    text = font(max(15, stage.long / 60))
    above = _band(warning, stage.canvas.width, text, INK, WARNING)
    below = _band(caption, stage.canvas.width, text, PAPER, INK)
    return _stacked([part for part in (above, stage.canvas, below) if part is not None])


def _stage(image: NDArray[np.uint8]) -> Stage:
    height, width = image.shape[:2]
    factor = min(max(height, width, SHORTEST), LONGEST) / max(height, width)
    size = max(THINNEST, round(width * factor)), max(THINNEST, round(height * factor))
    whole = max(NARROWEST, size[0]), max(LOWEST, size[1])
    left, top = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    canvas = Image.new("RGB", whole, INK)
    canvas.paste(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), (left, top))
    return Stage(canvas, (left, top, left + size[0], top + size[1]), (size[0] / width, size[1] / height))


def _contours(field: NDArray[np.float64]) -> list[Line]:
    """Return closed lines where ``field``, ``h w`` from 0 to 1, crosses 0.5; x y in px from its upper left corner."""
    lines = []
    for line in contourpy.contour_generator(z=np.pad(field, 1)).lines(0.5):
        # A value is at the centre of its pixel, half a pixel from the corner; the padding is one pixel.
        line = np.clip(np.asarray(line) - 0.5, 0, field.shape[::-1])
        way = np.hypot(*np.diff(line, axis=0).T).cumsum() // STEP
        lines.append(line[np.append(True, np.diff(way, prepend=-1.0) > 0)])
    return lines


def _box(stage: Stage, box: tuple[float, float, float, float], colour: Colour) -> None:
    x0, y0 = stage.to_canvas(*box[:2])
    x1, y1 = stage.to_canvas(*box[2:])
    # on to the second corner again, which closes the first one
    _outline(
        stage, [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0), (x1, y0)])], colour, 0.6 * stage.line
    )


def _point(stage: Stage, centre: tuple[float, float], label: int, colour: Colour) -> None:
    """Draw a disc with a plus for the foreground; a dark one with a minus for the background."""
    radius = DISC * stage.line
    inner, sign = (colour, INK) if label else (INK, colour)
    for disc, fraction in ((INK, 1.0), (PAPER, 0.85), (inner, 0.65)):
        _paint(stage, [centre + fraction * radius * CIRCLE], disc)
    arm = np.array([(-0.4 * radius, 0.0), (0.4 * radius, 0.0)])
    _paint(stage, [centre + arm, centre + arm[:, ::-1]] if label else [centre + arm], sign, 0.25 * radius)


def _outline(stage: Stage, lines: Sequence[Line], colour: Colour, width: float) -> None:
    """Draw lines with dark edges."""
    _paint(stage, lines, INK, width + EDGE * stage.line)
    _paint(stage, lines, colour, width)


def _paint(stage: Stage, lines: Sequence[Line], colour: Colour, width: float | None = None) -> None:
    """Draw lines of a width, or fill what they enclose, with smooth edges, clipped to the canvas."""
    if not lines:
        return
    around = 1 + math.ceil(width or 0)
    points = np.concatenate(lines)
    x0, y0 = (max(0, math.floor(v) - around) for v in points.min(0))
    x1, y1 = (min(n, math.ceil(v) + around) for n, v in zip(stage.canvas.size, points.max(0), strict=True))
    large = Image.new("L", ((x1 - x0) * FINE, (y1 - y0) * FINE))
    draw = ImageDraw.Draw(large)
    for line in lines:
        vertices = ((line - (x0, y0)) * FINE).ravel().tolist()
        if width is None:
            draw.polygon(vertices, fill=255)
        else:
            # Contours turn in small steps, whose joints are invisible; rounding them takes ten times as long.
            draw.line(
                vertices, fill=255, width=max(1, round(width * FINE)), joint="curve" if len(line) < FEW else None
            )
    stage.canvas.paste(colour, (x0, y0), large.reduce(FINE))


def _tags(stage: Stage, marks: Sequence[Mark]) -> None:
    """Name each mark beside its box or first point; the first marks have the first choice."""
    letters = font(max(13, stage.long / 58) * (0.8 if len(marks) > CROWD else 1))
    pad = round(letters.size / 4)
    draw = ImageDraw.Draw(stage.canvas)
    occupied = [_on_canvas(stage, (x, y, x, y), DISC) for mark in marks for x, y, _ in mark.points]
    for i, mark in enumerate(marks):
        text = clip(plain(mark.text), LONGEST_TAG)
        if not text:
            continue
        size = math.ceil(letters.getlength(text)) + 2 * pad, round(1.3 * letters.size) + pad
        named = _on_canvas(stage, mark.box) if mark.box else _on_canvas(stage, mark.points[0][:2] * 2, DISC)
        is_small = (named[2] - named[0]) * (named[3] - named[1]) < SMALL * size[0] * size[1]
        tag = place_tag(size, named, [*occupied, named] if is_small else occupied, (0, 0, *stage.canvas.size))
        occupied.append(tag)
        draw.rectangle((tag[0], tag[1], tag[2] - 1, tag[3] - 1), fill=mask_colour(i), outline=INK)
        draw.text((tag[0] + pad, (tag[1] + tag[3]) / 2), text, fill=INK, font=letters, anchor="lm")


def _on_canvas(stage: Stage, box: tuple[float, float, float, float], margin: float = 0.0) -> Rectangle:
    """Return a box in px of the canvas, with ``margin`` times the width of a line on each side."""
    x0, y0, x1, y1 = (*stage.to_canvas(*box[:2]), *stage.to_canvas(*box[2:]))
    px = margin * stage.line
    return math.floor(x0 - px), math.floor(y0 - px), math.ceil(x1 + px), math.ceil(y1 + px)


def _band(text: str, width: int, letters: ImageFont.FreeTypeFont, ink: Colour, ground: Colour) -> Image.Image | None:
    """Return a strip of text in as many lines as it needs; None for no text."""
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

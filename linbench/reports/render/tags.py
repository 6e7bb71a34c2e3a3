"""Where tags go: beside what they name, inside the image, and not on each other."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageFont

Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1, px


def font(px: float) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, which every installation has; raises RuntimeError where Pillow cannot scale text."""
    default = ImageFont.load_default(px)
    if not isinstance(default, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, so it cannot scale text; its wheels can")
    return default


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return ``text`` in lines of at most ``width`` px, broken at blanks, and inside a word that alone is longer."""
    lines = [""]
    for word in text.split():
        for piece in _pieces(word, letters, width):
            longer = f"{lines[-1]} {piece}".strip()
            if letters.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and letters.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def place_tag(size: tuple[int, int], named: Rectangle, occupied: Sequence[Rectangle], area: Rectangle) -> Rectangle:
    """Return a tag's rectangle: the first free one at the corners or in steps away from them, or the freest.

    size: Width and height of the tag.
    named: What the tag names.
    occupied: What it should not cover.
    area: Where it must be; a tag outside is moved inside.
    """
    width, height = size
    x0, y0, x1, y1 = named
    corners = [
        *((x0, y0 - height), (x1 - width, y0 - height), (x0, y0), (x1 - width, y0)),
        *((x0, y1), (x1 - width, y1), (x0, y1 - height), (x1 - width, y1 - height), (x1, y0), (x0 - width, y0)),
    ]
    away = [(x, y + step * height) for step in (-1, 1, -2, 2, -3, 3) for x, y in (corners[0], corners[1], corners[4])]
    candidates = []
    for left, top in corners + away:
        left = min(max(left, area[0]), max(area[0], area[2] - width))
        top = min(max(top, area[1]), max(area[1], area[3] - height))
        candidates.append((left, top, left + width, top + height))
    others = np.array(occupied, dtype=np.int64).reshape(-1, 4)
    return min(candidates, key=lambda tag: _covered(tag, others))


def _covered(tag: Rectangle, others: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> int:
    """Return how many px² of ``others`` lie under ``tag``."""
    low, high = np.maximum(others[:, :2], tag[:2]), np.minimum(others[:, 2:], tag[2:])
    return int((high - low).clip(0).prod(axis=1).sum())

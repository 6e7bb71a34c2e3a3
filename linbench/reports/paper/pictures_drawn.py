"""The grid of pictures of Figures 4 and 6 to 8, drawn."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from linbench.reports.paper.pictures import Place, Row, close_up
from linbench.reports.render.figure import BEHIND_TEXT, literal, style

WIDE = 2.5  # inches of a picture
HEAD = 0.62  # inches of the models' names
LONGEST = 900  # px of a picture as it is drawn; the close-up keeps its own
FILL = 0.45  # opacity of a mask
MASK = (0, 158, 255)  # blue, in a white and a black line: seen on any ground by any eye
PROMPT, FRAME = "#FFD000", "#FFFFFF"
WARNING = "#B00000"
PADS: dict[str, Any] = {"w_pad": 0.02, "h_pad": 0.02, "wspace": 0.01, "hspace": 0.01}


def draw(rows: Sequence[Row], title: str) -> Figure:
    """All rows, whose answers must be of the same models in the same order."""
    models = [(answer.model, answer.warning) for answer in rows[0].answers]
    across = 1 + len(models)
    heights = [_tall(row) for row in rows]
    with style():
        figure = Figure(figsize=(WIDE * across, sum(heights) + HEAD + 0.35), layout=ConstrainedLayoutEngine(**PADS))
        ratios = [part for row in rows for part in (_share(row), 1.0)]
        grid = figure.subplots(2 * len(rows), across, squeeze=False, height_ratios=ratios)
        for i, row in enumerate(rows):
            _row(grid[2 * i], grid[2 * i + 1], row)
        for axes, (model, warning) in zip(grid[0], [("picture and prompt", ""), *models], strict=True):
            _head(axes, model, warning)
        figure.suptitle("\n".join(textwrap.wrap(literal(title, 200), 26 * across)), x=0.01, ha="left", fontsize=10.5)
    return figure


def _row(whole: Sequence[Any], close: Sequence[Any], row: Row) -> None:
    place = close_up(row)
    masks = [None, *(answer.mask for answer in row.answers)]
    for i, (above, below, mask) in enumerate(zip(whole, close, masks, strict=True)):
        painted = row.picture if mask is None else blended(row.picture, mask)
        _picture(above, painted, row)
        _outline(above, mask, (0, 0, *row.picture.shape[1::-1]), 0.5)
        above.add_patch(_frame(place, "black", 2.6))
        above.add_patch(_frame(place, FRAME, 1.4))
        if i == 0:
            _prompt(above, row)
        if i and mask is None:
            words = {"transform": above.transAxes, "ha": "center", "color": WARNING, "bbox": BEHIND_TEXT}
            above.text(0.5, 0.5, "no answer", **words)
        _close(below, painted, mask, place)
    whole[0].set_ylabel(literal(row.name, 30), fontsize=8)


def blended(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture with the mask's colour over what is in it, and all else a little darker."""
    found = picture.astype(np.float64)
    found[mask] = (1 - FILL) * found[mask] + FILL * np.array(MASK)
    found[~mask] *= 0.72
    return found.round().astype(np.uint8)


def _picture(axes: Any, painted: NDArray[np.uint8], row: Row) -> None:
    height, width = row.picture.shape[:2]
    step = max(1, math.ceil(max(height, width) / LONGEST))
    axes.imshow(painted[::step, ::step], extent=(0, width, height, 0), interpolation="antialiased")
    _bare(axes)


def _close(axes: Any, painted: NDArray[np.uint8], mask: NDArray[np.bool_] | None, place: Place) -> None:
    x0, y0, x1, y1 = place
    extent = (x0, x1, y1, y0)
    axes.imshow(painted[y0:y1, x0:x1], extent=extent, interpolation="nearest")
    _outline(axes, mask, place, 0.8)
    axes.set(xlim=(x0, x1), ylim=(y1, y0))
    _bare(axes)


def _outline(axes: Any, mask: NDArray[np.bool_] | None, place: Place, width: float) -> None:
    """The boundary of a mask in a place, white on black."""
    x0, y0, x1, y1 = place
    step = max(1, math.ceil(max(y1 - y0, x1 - x0) / LONGEST))
    if mask is None or not 0 < (part := mask[y0:y1:step, x0:x1:step]).sum() < part.size or min(part.shape) < 2:
        return
    x, y = (start + step * (np.arange(n) + 0.5) for start, n in ((x0, part.shape[1]), (y0, part.shape[0])))
    for colour, wide in (("black", width + 1.0), ("white", width)):
        axes.contour(x, y, part.astype(np.float64), levels=[0.5], colors=colour, linewidths=wide)


def _prompt(axes: Any, row: Row) -> None:
    if row.box is not None:
        x0, y0, x1, y1 = row.box
        axes.add_patch(_frame((x0, y0, x1, y1), "black", 2.8))
        axes.add_patch(_frame((x0, y0, x1, y1), PROMPT, 1.6))
    for x, y, label in row.points:
        axes.plot([x], [y], "*" if label else "X", ms=10, color=PROMPT, mec="black", mew=0.9)


def _frame(place: tuple[float, float, float, float], colour: str, width: float) -> Rectangle:
    x0, y0, x1, y1 = place
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=width)


def _bare(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _head(axes: Any, model: str, warning: str) -> None:
    lines = textwrap.wrap(literal(model, 80), 26) + ([literal(warning, 40)] if warning else [])
    axes.set_title("\n".join(lines), fontsize=8.5, loc="center", color=WARNING if warning else "black")


def _share(row: Row) -> float:
    """Height of the whole picture over that of its close-up, which is square and as wide."""
    height, width = row.picture.shape[:2]
    return min(height / width, 1.6)


def _tall(row: Row) -> float:
    """Inches of a row."""
    return WIDE * (_share(row) + 1.0)

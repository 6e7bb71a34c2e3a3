"""Draw Figures 4 and 6 to 8: the masks of several models for the same prompts, with a close-up of each.

Each row is one prompt on one image: the image with its prompt, the mask of each model over it, and below them the
same square enlarged: where the models disagree most or, with one model, where its boundary is longest.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from linbench.reports.render.figure import BEHIND_TEXT, literal, style
from linbench.reports.render.table import Table, to_markdown

#: What the paper shows in each figure: a title, and the models that it takes.
FIGURES = {
    "4": ("masks of several models for one prompt", ("sam-vit-h", "hq-sam-l", "rwkv-sam-s")),
    "6": ("masks on COCO", ("rwkv-sam-s",)),
    "7": ("masks on SA-1B", ("rwkv-sam-s",)),
    "8": ("failure cases: thin objects and parts", ("rwkv-sam-s",)),
}
CLOSE_UP = 0.28  # side of the enlarged square, as a fraction of the longer side of the image
MIN_CLOSE_UP = 48  # px
GRID_STEPS = 4  # candidates for the square start on a grid of this many steps to its side
IMAGE_WIDTH = 2.5  # inches
HEADING_HEIGHT = 0.62  # inches of the models' names
MAX_DRAWN_SIDE = 900  # px of an image as it is drawn; the close-up keeps its own resolution
MASK_OPACITY = 0.45
MASK_COLOUR = (0, 158, 255)  # blue, within a white and a black line: visible on every image and to every eye
PROMPT_COLOUR, FRAME_COLOUR, WARNING_COLOUR = "#FFD000", "#FFFFFF", "#B00000"
PADDING: dict[str, Any] = {"w_pad": 0.02, "h_pad": 0.02, "wspace": 0.01, "hspace": 0.01}

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, px
Square = tuple[int, int, int, int]  # x0, y0, x1, y1, px


@dataclass(frozen=True)
class ModelMask:
    """The mask of one model for a prompt.

    model: Its name and weights, as drawn.
    mask: ``h w`` of the image; None where the model was not given this prompt.
    warning: What limits its meaning, such as random weights; drawn below the name.
    """

    model: str
    mask: NDArray[np.bool_] | None
    warning: str = ""


@dataclass(frozen=True)
class PromptRow:
    """One prompt on one image, with the masks of all models.

    image: ``h w 3``, 0 to 255.
    points: x, y and label, 1 foreground or 0 background.
    """

    name: str
    image: NDArray[np.uint8]
    box: Box | None
    points: tuple[tuple[float, float, int], ...]
    masks: tuple[ModelMask, ...]

    @property
    def relative_height(self) -> float:
        """Return the height of the image over that of its close-up, which is square and as wide."""
        height, width = self.image.shape[:2]
        return min(height / width, 1.6)


def close_up(row: PromptRow) -> Square:
    """Return the square to enlarge: where the masks disagree most, or where a single one has the longest boundary."""
    height, width = row.image.shape[:2]
    side = min(max(MIN_CLOSE_UP, round(CLOSE_UP * max(height, width))), height, width)
    weights = _weights([entry.mask for entry in row.masks if entry.mask is not None], (height, width))
    tops, lefts = _starts(height, side), _starts(width, side)
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = weights.cumsum(0).cumsum(1)
    inside = (
        sums[np.ix_(tops + side, lefts + side)]
        - sums[np.ix_(tops, lefts + side)]
        - sums[np.ix_(tops + side, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    i, j = np.unravel_index(int(inside.argmax()), inside.shape)
    top, left = int(tops[i]), int(lefts[j])
    return left, top, left + side, top + side


def blended(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the image with the mask's colour over the object, and all else a little darker."""
    pixels = image.astype(np.float64)
    pixels[mask] = (1 - MASK_OPACITY) * pixels[mask] + MASK_OPACITY * np.array(MASK_COLOUR)
    pixels[~mask] *= 0.72
    return pixels.round().astype(np.uint8)


def draw(rows: Sequence[PromptRow], title: str) -> Figure:
    """Draw all rows, whose masks must be of the same models in the same order."""
    models = [(entry.model, entry.warning) for entry in rows[0].masks]
    across = 1 + len(models)
    height = sum(IMAGE_WIDTH * (row.relative_height + 1) for row in rows) + HEADING_HEIGHT + 0.35
    with style():
        figure = Figure(figsize=(IMAGE_WIDTH * across, height), layout=ConstrainedLayoutEngine(**PADDING))
        ratios = [part for row in rows for part in (row.relative_height, 1.0)]
        grid = figure.subplots(2 * len(rows), across, squeeze=False, height_ratios=ratios)
        for i, row in enumerate(rows):
            _draw_row(grid[2 * i], grid[2 * i + 1], row)
        for axes, (model, warning) in zip(grid[0], [("image and prompt", ""), *models], strict=True):
            lines = textwrap.wrap(literal(model, 80), 26) + ([literal(warning, 40)] if warning else [])
            colour = WARNING_COLOUR if warning else "black"
            axes.set_title("\n".join(lines), fontsize=8.5, loc="center", color=colour)
        heading = "\n".join(textwrap.wrap(literal(title, 200), 26 * across))
        figure.suptitle(heading, x=0.01, ha="left", fontsize=10.5)
    return figure


def title(number: str) -> str:
    """Return the title of one of FIGURES."""
    return f"After Figure {number} of the paper: {FIGURES[number][0]}"


def commands(number: str) -> str:
    """Return the commands that lead to one of FIGURES."""
    models = FIGURES[number][1]
    predictions = [
        f"linbench predict IMAGE … --backbone {model} --checkpoint {model}.pth --boxes BOXES.json --out masks/{model}"
        for model in models
    ]
    folders = " ".join(f"--predictions masks/{model}" for model in models)
    return " && ".join([*predictions, f"linbench paper --figure {number} {folders}"])


def caption(number: str, rows: Sequence[PromptRow]) -> str:
    """Return the figure's Markdown: what it shows, or without rows the commands that make it."""
    heading = f"# {title(number)}\n"
    if not rows:
        commands_text = f"These commands make them:\n\n```sh\n{commands(number)}\n```\n"
        return f"{heading}\nNot made: this figure needs masks. {commands_text}"
    table = Table(
        "What is shown",
        ("row", "model", "mask, px", "note"),
        tuple((row.name, entry.model, _area(entry), entry.warning) for row in rows for entry in row.masks),
        (
            "Below each image: the framed square enlarged, where the models disagree most or, with one model, where "
            "its boundary is longest. The lines are the boundaries of the masks.",
            "The paper's own images cannot be shown: its text does not name them.",
        ),
    )
    return f"{heading}\n![{title(number)}](figure-{number}.svg)\n\n{to_markdown(table)}"


def _weights(masks: Sequence[NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.float64]:
    """Weigh each pixel: the models' disagreement, and a little for any boundary."""
    weights = np.zeros(size)
    if not masks:
        return weights
    for mask in masks:
        weights += 0.01 * _edges(mask)
    mean = np.mean(masks, axis=0)
    return weights + 4 * mean * (1 - mean)


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour is on the other side of the boundary."""
    edges = np.zeros(mask.shape, dtype=np.bool_)
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges


def _starts(length: int, side: int) -> NDArray[np.int64]:
    """Return where the square may start along one axis; the last one touches the far edge."""
    step = max(1, side // GRID_STEPS)
    return np.unique(np.append(np.arange(0, length - side + 1, step), length - side))


def _area(entry: ModelMask) -> str:
    return "no answer" if entry.mask is None else str(int(entry.mask.sum()))


def _draw_row(whole: Sequence[Any], enlarged: Sequence[Any], row: PromptRow) -> None:
    square = close_up(row)
    masks = [None, *(entry.mask for entry in row.masks)]
    for i, (above, below, mask) in enumerate(zip(whole, enlarged, masks, strict=True)):
        pixels = row.image if mask is None else blended(row.image, mask)
        _draw_image(above, pixels, mask)
        above.add_patch(_frame(square, "black", 2.6))
        above.add_patch(_frame(square, FRAME_COLOUR, 1.4))
        if i and mask is None:
            placement = {"transform": above.transAxes, "ha": "center", "bbox": BEHIND_TEXT}
            above.text(0.5, 0.5, "no answer", color=WARNING_COLOUR, **placement)
        _draw_close_up(below, pixels, mask, square)
    _draw_prompt(whole[0], row)
    whole[0].set_ylabel(literal(row.name, 30), fontsize=8)


def _draw_image(axes: Any, pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> None:
    height, width = pixels.shape[:2]
    step = max(1, math.ceil(max(height, width) / MAX_DRAWN_SIDE))
    axes.imshow(pixels[::step, ::step], extent=(0, width, height, 0), interpolation="antialiased")
    _hide_frame(axes)
    _draw_boundary(axes, mask, (0, 0, width, height), 0.5)


def _draw_close_up(axes: Any, pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, square: Square) -> None:
    x0, y0, x1, y1 = square
    axes.imshow(pixels[y0:y1, x0:x1], extent=(x0, x1, y1, y0), interpolation="nearest")
    _draw_boundary(axes, mask, square, 0.8)
    axes.set(xlim=(x0, x1), ylim=(y1, y0))
    _hide_frame(axes)


def _draw_boundary(axes: Any, mask: NDArray[np.bool_] | None, square: Square, width: float) -> None:
    """Draw the boundary of a mask within a square, white on black."""
    x0, y0, x1, y1 = square
    step = max(1, math.ceil(max(y1 - y0, x1 - x0) / MAX_DRAWN_SIDE))
    if mask is None or not 0 < (part := mask[y0:y1:step, x0:x1:step]).sum() < part.size or min(part.shape) < 2:
        return
    x, y = (start + step * (np.arange(n) + 0.5) for start, n in ((x0, part.shape[1]), (y0, part.shape[0])))
    for colour, line_width in (("black", width + 1.0), ("white", width)):
        axes.contour(x, y, part.astype(np.float64), levels=[0.5], colors=colour, linewidths=line_width)


def _draw_prompt(axes: Any, row: PromptRow) -> None:
    if row.box is not None:
        axes.add_patch(_frame(row.box, "black", 2.8))
        axes.add_patch(_frame(row.box, PROMPT_COLOUR, 1.6))
    for x, y, label in row.points:
        axes.plot([x], [y], "*" if label else "X", ms=10, color=PROMPT_COLOUR, mec="black", mew=0.9)


def _frame(box: Box, colour: str, width: float) -> Rectangle:
    x0, y0, x1, y1 = box
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=width)


def _hide_frame(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)

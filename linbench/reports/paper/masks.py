"""Figures 4 and 6 to 8: what several models make of one prompt, with the place where it matters drawn large.

Each row is one prompt on one picture: the picture with its prompt, the mask of each model over it, and under them the
same place enlarged: where the models disagree most, or, of one model, where its boundary is longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linbench.reports.render.table import Table, to_markdown

#: What the paper shows in each figure: a title, and the models that it takes.
FIGURES = {
    "4": ("what several models make of one prompt", ("sam-vit-h", "hq-sam-l", "rwkv-sam-s")),
    "6": ("masks on COCO", ("rwkv-sam-s",)),
    "7": ("masks on SA-1B", ("rwkv-sam-s",)),
    "8": ("failure cases: thin objects and parts", ("rwkv-sam-s",)),
}
CLOSE = 0.28  # of the longer side of the picture: the side of the enlarged square
LEAST = 48  # px, of that side
STEP = 4  # the square is looked for on a grid of this many steps to its side

Box = tuple[float, float, float, float]
Place = tuple[int, int, int, int]  # x0, y0, x1, y1, px


@dataclass(frozen=True)
class Answer:
    """The mask of one model.

    model: Its name and weights, as drawn.
    mask: ``h w`` of the picture; None where the model has no answer to this prompt.
    warning: What must be said of it, as that its weights are random.
    """

    model: str
    mask: NDArray[np.bool_] | None
    warning: str = ""


@dataclass(frozen=True)
class Row:
    """One prompt on one picture.

    picture: ``h w 3``, 0 to 255.
    points: x, y and label, 1 foreground or 0 background.
    """

    name: str
    picture: NDArray[np.uint8]
    box: Box | None
    points: tuple[tuple[float, float, int], ...]
    answers: tuple[Answer, ...]


def close_up(row: Row) -> Place:
    """The square to enlarge: where the masks disagree most, or where the only one's boundary is longest."""
    height, width = row.picture.shape[:2]
    side = min(max(LEAST, round(CLOSE * max(height, width))), height, width)
    weights = _weights([answer.mask for answer in row.answers if answer.mask is not None], (height, width))
    tops, lefts = _steps(height, side), _steps(width, side)
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


def _weights(masks: Sequence[NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.float64]:
    """How much each pixel is worth looking at: the models' disagreement, and a little for any boundary."""
    weights = np.zeros(size)
    if not masks:
        return weights
    for mask in masks:
        weights += 0.01 * _edges(mask)
    share = np.mean(masks, axis=0)
    return weights + 4 * share * (1 - share)


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is on the other side."""
    edges = np.zeros(mask.shape, dtype=np.bool_)
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges


def _steps(long: int, side: int) -> NDArray[np.int64]:
    """Where the square may begin along one axis; the last place touches the far edge."""
    step = max(1, side // STEP)
    return np.unique(np.append(np.arange(0, long - side + 1, step), long - side))


def title(name: str) -> str:
    """The title of one of FIGURES."""
    return f"After Figure {name} of the paper: {FIGURES[name][0]}"


def how(name: str) -> str:
    """The commands that lead to one of FIGURES."""
    models = FIGURES[name][1]
    predicted = [
        f"linbench predict IMAGE … --backbone {model} --checkpoint {model}.pth --boxes BOXES.json --out masks/{model}"
        for model in models
    ]
    folders = " ".join(f"--predictions masks/{model}" for model in models)
    return " && ".join([*predicted, f"linbench paper --figure {name} {folders}"])


def caption(name: str, rows: Sequence[Row]) -> str:
    """The figure's Markdown: what stands in it, or how to come by it."""
    head = f"# {title(name)}\n"
    if not rows:
        return f"{head}\nNot made: it needs masks. These commands make them:\n\n```sh\n{how(name)}\n```\n"
    table = Table(
        "What is shown",
        ("row", "model", "mask, px", "note"),
        tuple((row.name, answer.model, _area(answer), answer.warning) for row in rows for answer in row.answers),
        (
            "Below each picture: the framed place enlarged, where the models disagree most, or where the only one's "
            "boundary is longest. The lines in it are the masks' boundaries.",
            "The paper's own pictures are not reproduced: its images are not named in its text.",
        ),
    )
    return f"{head}\n![{title(name)}](figure-{name}.svg)\n\n{to_markdown(table)}"


def _area(answer: Answer) -> str:
    return "no answer" if answer.mask is None else str(int(answer.mask.sum()))

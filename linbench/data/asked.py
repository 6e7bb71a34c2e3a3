"""Prompts as people write them, on a command line or in a file: anything, until it is checked against a picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from linbench.data.boxes import Box, box_fault


@dataclass(frozen=True)
class Asked:
    """One prompt.

    said: What errors call it: its words, and where they stand.
    box: x0, y0, x1, y1 in px of the upright picture; anything before it is checked.
    points: x, y and label, 1 for the foreground and 0 for the background; likewise.
    name: What it is of, as ``dog``; empty where nobody says.
    facts: What is kept of it beside the answer.
    """

    said: str
    box: Sequence[Any] | None = None
    points: Sequence[Sequence[Any]] = ()
    name: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def from_words(boxes: Sequence[str], points: Sequence[str]) -> list[Asked]:
    """The prompts of a command line: boxes ``x0,y0,x1,y1``, and points ``x,y`` or ``x,y,label``.

    All points together are one prompt, or belong to the one box. Raises ValueError for points beside several boxes.
    """
    placed = tuple(tuple(text.split(",")) for text in points)
    named = " ".join(f"--point {text}" for text in points)
    if not placed:
        return [Asked(f"--box {text}", text.split(",")) for text in boxes]
    if len(boxes) > 1:
        raise ValueError(
            f"--point with {len(boxes)} boxes: which box do the points refine? Give one --box with them, or none"
        )
    labelled = tuple((*point, "1") if len(point) == 2 else point for point in placed)
    if not boxes:
        return [Asked(named, points=labelled)]
    return [Asked(f"--box {boxes[0]} {named}", boxes[0].split(","), labelled)]


def checked(asked: Asked, height: int, width: int) -> Asked:
    """The prompt in numbers; raises ValueError, with what is allowed, where it does not fit that picture, in px."""
    box = None if asked.box is None else _box(asked, height, width)
    return replace(asked, box=box, points=tuple(_point(asked, point, height, width) for point in asked.points))


def _box(asked: Asked, height: int, width: int) -> Box:
    assert asked.box is not None
    try:
        x0, y0, x1, y1 = (_number(value) for value in asked.box)
    except ValueError:
        fault = "a box is four finite numbers"
    else:
        fault = box_fault((x0, y0, x1, y1), height, width)
    if fault:
        allowed = f"x0 < x1 and y0 < y1 with a part in the image of {width} x {height} px"
        raise ValueError(f"{asked.said}: {fault}; allowed are {allowed}")
    return x0, y0, x1, y1


def _point(asked: Asked, point: Sequence[Any], height: int, width: int) -> tuple[float, float, int]:
    fault = ""
    try:
        x, y, label = (_number(value) for value in point)
    except ValueError:
        fault = "a point is two finite numbers, and its label if given"
    else:
        if label not in (0, 1):
            fault = "a label is 1 for the foreground or 0 for the background"
        elif not (0 <= x <= width and 0 <= y <= height):
            fault = "it lies outside the picture"
    if fault:
        where = "" if len(asked.points) == 1 else f"point {','.join(map(str, point))}: "
        raise ValueError(f"{asked.said}: {where}{fault}; allowed are 0 <= x <= {width} and 0 <= y <= {height}")
    return x, y, int(label)


def _number(value: Any) -> float:
    """A finite number, as text or as JSON has it; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("not a number")
    try:
        found = float(value)
    except OverflowError as error:
        raise ValueError("not a number that fits") from error
    if not math.isfinite(found):
        raise ValueError("not finite")
    return found

"""Prompts as users write them, on a command line or in a file, and the rule that validates them for an image.

``linbench predict`` and the suite ``coco`` share one rule: a box that overlaps its image is valid. It is not clipped,
as SAM's predictor clips nothing. A box without an area, wholly outside, or outside by more than the image's longer
side (probably in px of a larger image) is a fault.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from linbench.system.untrusted import plain

Box = tuple[float, float, float, float]  # x0 y0 x1 y1, px of the image


@dataclass(frozen=True)
class PromptSpec:
    """One prompt as written; ``validate_prompt`` makes numbers of its box and points.

    source: How errors call it: its text, and where it stands.
    box: x0, y0, x1, y1 in px of the upright image; anything until it is validated.
    points: x, y and label, 1 for the foreground and 0 for the background; likewise.
    name: The object's name, as ``dog``, or empty.
    facts: What is stored of it beside the result.
    """

    source: str
    box: Sequence[Any] | None = None
    points: Sequence[Sequence[Any]] = ()
    name: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def parse_prompts(boxes: Sequence[str], points: Sequence[str]) -> list[PromptSpec]:
    """Parse the prompts of a command line: boxes ``x0,y0,x1,y1``, and points ``x,y`` or ``x,y,label``.

    All points together are one prompt, or belong to the one box. Raises ValueError for points beside several boxes.
    """
    split_points = tuple(tuple(text.split(",")) for text in points)
    point_text = " ".join(f"--point {text}" for text in points)
    if not split_points:
        return [PromptSpec(f"--box {text}", text.split(",")) for text in boxes]
    if len(boxes) > 1:
        raise ValueError(
            f"--point with {len(boxes)} boxes: which box do the points refine? Give one --box with them, or none"
        )
    labelled = tuple((*point, "1") if len(point) == 2 else point for point in split_points)
    if not boxes:
        return [PromptSpec(point_text, points=labelled)]
    return [PromptSpec(f"--box {boxes[0]} {point_text}", boxes[0].split(","), labelled)]


def validate_prompt(prompt: PromptSpec, height: int, width: int) -> PromptSpec:
    """Return the prompt in numbers; raises ValueError, with what is allowed, where it does not fit the image, px."""
    box = None if prompt.box is None else _box(prompt, height, width)
    return replace(prompt, box=box, points=tuple(_point(prompt, point, height, width) for point in prompt.points))


def _box(prompt: PromptSpec, height: int, width: int) -> Box:
    assert prompt.box is not None
    try:
        x0, y0, x1, y1 = (_number(value) for value in prompt.box)
    except ValueError:
        fault = "a box is four finite numbers"
    else:
        fault = box_fault((x0, y0, x1, y1), height, width)
    if fault:
        allowed = f"x0 < x1 and y0 < y1 with a part in the image of {width} x {height} px"
        raise ValueError(plain(f"{prompt.source}: {fault}; allowed are {allowed}"))
    return x0, y0, x1, y1


def _point(prompt: PromptSpec, point: Sequence[Any], height: int, width: int) -> tuple[float, float, int]:
    fault = ""
    try:
        x, y, label = (_number(value) for value in point)
    except ValueError:
        fault = "a point is two finite numbers, and its label if given"
    else:
        if label not in (0, 1):
            fault = "a label is 1 for the foreground or 0 for the background"
        elif not (0 <= x <= width and 0 <= y <= height):
            fault = "it lies outside the image"
    if fault:
        which = "" if len(prompt.points) == 1 else f"point {','.join(map(str, point))}: "
        allowed = f"0 <= x <= {width} and 0 <= y <= {height}"
        raise ValueError(plain(f"{prompt.source}: {which}{fault}; allowed are {allowed}"))
    return x, y, int(label)


def _number(value: Any) -> float:
    """Return a finite number, from text or as JSON has it; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("not a number that fits") from error
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def box_fault(box: Box, height: int, width: int) -> str:
    """Say in a few words why a box is no prompt on an image of that size, px; empty where it is one."""
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        return "it is not finite"
    if x1 < x0 or y1 < y0:
        return "it is reversed"
    if x1 == x0 or y1 == y0:
        return "it is empty"
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return "it lies outside the image"
    margin = max(height, width)
    if min(x0, y0) < -margin or x1 > width + margin or y1 > height + margin:
        return "it reaches far outside the image"
    return ""

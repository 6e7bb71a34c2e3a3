"""Which boxes are prompts: one rule for ``linbench predict`` and the suite ``coco``.

A box that has a part in its image is a prompt as it stands: nothing is clipped, as SAM's predictor clips nothing. A
box without an area, wholly outside, or outside by more than the image's longer side (as in px of a larger image) is a
fault.
"""

import math

Box = tuple[float, float, float, float]  # x0 y0 x1 y1, px of the image


def corners(box: Box) -> Box:
    """Return x0 y0 x1 y1 of COCO's x y w h."""
    x, y, w, h = box
    return x, y, x + w, y + h


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
    far = max(height, width)
    if min(x0, y0) < -far or x1 > width + far or y1 > height + far:
        return "it reaches far outside the image"
    return ""

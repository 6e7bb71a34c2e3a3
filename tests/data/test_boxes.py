"""The one rule for boxes: a prompt has a part in its image, and nothing is clipped."""

import math

import pytest

from linbench.data.boxes import box_fault, corners


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 640, 480),
        (-0.3, -7.5, 640.4, 481.0),  # a detector's fractions beyond the border
        (-600, -600, 1200, 1100),
        (639.5, 479.5, 700, 500),
        (-5, -5, 0.5, 0.5),
    ],
)
def test_a_box_with_a_part_in_the_image_is_a_prompt(box):
    assert box_fault(box, 480, 640) == ""


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((5, 5, 4, 9), "it is reversed"),
        ((5, 5, 5, 9), "it is empty"),
        ((-9, 0, 0, 9), "it lies outside the image"),
        ((640, 0, 700, 9), "it lies outside the image"),
        ((0, -9, 9, -1), "it lies outside the image"),
        ((0, 480, 9, 490), "it lies outside the image"),
        ((0, 0, 1281, 9), "it reaches far outside the image"),
        ((-641, 0, 9, 9), "it reaches far outside the image"),
        ((0, 0, 1e300, 9), "it reaches far outside the image"),
        ((0, 0, math.inf, 9), "it is not finite"),
        ((math.nan, 0, 5, 9), "it is not finite"),
    ],
)
def test_every_other_box_has_a_reason(box, reason):
    assert box_fault(box, 480, 640) == reason


def test_cocos_width_and_height_become_the_far_corner():
    assert corners((1.5, 2, 3, 4)) == (1.5, 2, 4.5, 6)

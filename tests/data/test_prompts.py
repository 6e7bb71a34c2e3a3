"""Prompts as people write them: what fits an image passes in numbers, all else is refused by name."""

import math

import pytest

from linbench.coco.entry import corners
from linbench.data.prompts import PromptSpec, box_fault, parse_prompts, validate_prompt

H, W = 480, 640
RANGE = "allowed are x0 < x1 and y0 < y1 with a part in the image of 640 x 480 px"


def box(*values):
    return PromptSpec("box 1", list(values))


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (("1", "2.5", " 30", "4e1"), (1.0, 2.5, 30.0, 40.0)),
        ((0, 0, W, H), (0.0, 0.0, 640.0, 480.0)),
        ((-0.005, 0, W + 0.005, H + 0.0000001), (-0.005, 0.0, W + 0.005, H + 0.0000001)),
        ((-5, -3.5, 645, 481), (-5.0, -3.5, 645.0, 481.0)),
        ((639.5, 479.5, 640, 480), (639.5, 479.5, 640.0, 480.0)),
    ],
)
def test_a_box_with_a_part_in_the_image_becomes_four_numbers_and_is_not_clipped(given, result):
    assert validate_prompt(box(*given), H, W).box == result


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ((30, 2, 1, 40), "it is reversed"),
        ((1, 40, 30, 2), "it is reversed"),
        ((1, 2, 1, 40), "it is empty"),
        ((1, 2, 30, 2), "it is empty"),
        ((-9, 2, 0, 40), "it lies outside the image"),
        ((1, 480, 30, 500), "it lies outside the image"),
        ((700, 500, 800, 600), "it lies outside the image"),
        ((1, 2, 1e30, 40), "it reaches far outside the image"),
        ((-641, 2, 30, 40), "it reaches far outside the image"),
        (("1", "2", "x", "4"), "a box is four finite numbers"),
        ((1, 2, 3), "a box is four finite numbers"),
        ((1, 2, 3, 4, 5), "a box is four finite numbers"),
        ((), "a box is four finite numbers"),
        ((None,), "a box is four finite numbers"),
        (("nan", 2, 3, 4), "a box is four finite numbers"),
        ((1, 2, math.inf, 4), "a box is four finite numbers"),
        ((True, 2, 3, 4), "a box is four finite numbers"),
        ((1, 2, 10**400, 4), "a box is four finite numbers"),
        (([1], 2, 3, 4), "a box is four finite numbers"),
    ],
)
def test_a_box_that_does_not_fit_is_refused_with_its_name_and_the_allowed_range(given, fault):
    with pytest.raises(ValueError, match=r"^box 1: ") as caught:
        validate_prompt(box(*given), H, W)
    assert str(caught.value) == f"box 1: {fault}; {RANGE}"


def test_points_alone_are_one_prompt_and_are_foreground_unless_they_say_otherwise():
    (result,) = parse_prompts([], ["1,2", "3,4,0"])
    assert validate_prompt(result, H, W).points == ((1.0, 2.0, 1), (3.0, 4.0, 0))
    assert result.box is None


def test_points_belong_to_the_one_box():
    (result,) = parse_prompts(["1,2,3,4"], ["2,3"])
    fits = validate_prompt(result, H, W)
    assert (fits.box, fits.points) == ((1.0, 2.0, 3.0, 4.0), ((2.0, 3.0, 1),))


def test_boxes_without_points_are_a_prompt_each():
    assert [prompt.source for prompt in parse_prompts(["1,2,3,4", "5,6,7,8"], [])] == [
        "--box 1,2,3,4",
        "--box 5,6,7,8",
    ]


def test_points_beside_several_boxes_are_refused():
    with pytest.raises(ValueError, match="--point with 2 boxes: which box do the points refine"):
        parse_prompts(["1,2,3,4", "5,6,7,8"], ["1,2"])


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        ("641,2", "it lies outside the image"),
        ("1,-2", "it lies outside the image"),
        ("1,2,3", "a label is 1 for the foreground or 0 for the background"),
        ("1,2,-1", "a label is 1 for the foreground or 0 for the background"),
        ("1", "a point is two finite numbers"),
        ("a,b", "a point is two finite numbers"),
        ("1,2,1,1", "a point is two finite numbers"),
    ],
)
def test_a_point_that_does_not_fit_is_refused_with_the_allowed_range(point, fault):
    with pytest.raises(ValueError, match=f"--point {point}: {fault}.*allowed are 0 <= x <= 640 and 0 <= y <= 480"):
        validate_prompt(parse_prompts([], [point])[0], H, W)


def test_of_several_points_the_wrong_one_is_named():
    with pytest.raises(ValueError, match="--point 1,2 --point 9,999: point 9,999,1: it lies outside"):
        validate_prompt(parse_prompts([], ["1,2", "9,999"])[0], H, W)


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


@pytest.mark.parametrize(("boxes", "points"), [(["1,\n2"], []), ([], ["1,\x1b[2J"]), ([], ["1,2", "9,\n"])])
def test_a_refusal_is_one_printable_line_whatever_the_prompt_holds(boxes, points):
    with pytest.raises(ValueError) as refused:
        validate_prompt(parse_prompts(boxes, points)[0], H, W)
    assert str(refused.value).isprintable()

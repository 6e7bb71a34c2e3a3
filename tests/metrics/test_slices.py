"""What kind of object a mask is."""

import math

import contourpy
import numpy as np
import pytest
from hypothesis import given

from linbench.metrics.slices import Traits, mask_traits, perimeter, slice_name, slice_scores
from tests.metrics.masks import masks


def disc(radius, size=400):
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    return x**2 + y**2 < radius**2


@given(masks())
def test_the_perimeter_is_the_length_of_marching_squares(mask):
    lines = contourpy.contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    length = sum(float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in lines)
    assert perimeter(mask) == pytest.approx(length, abs=1e-9)


def test_a_square_by_hand():
    square = np.zeros((100, 100), np.bool_)
    square[20:60, 30:70] = True
    result = mask_traits(square)  # d = 3 px of a diagonal of 141
    assert result.size == 1600 and result.share == 0.16
    assert result.thinness == pytest.approx(1 - 34**2 / 1600)
    assert result.complexity == pytest.approx((4 * 39 + 4 * math.sqrt(0.5)) ** 2 / (4 * math.pi * 1600))


def test_complexity_does_not_grow_with_size_and_a_comb_has_more_than_a_disc():
    small, large = mask_traits(disc(30)).complexity, mask_traits(disc(180)).complexity
    assert small == pytest.approx(large, rel=0.02) and 1.0 < large < 1.15
    comb = np.zeros((400, 400), np.bool_)
    comb[100:300:4, 50:350] = True
    comb[100:300, 50:60] = True
    assert slice_name("complexity", mask_traits(comb).complexity) == "intricate"
    assert slice_name("complexity", large) == "plain"


def test_a_wire_is_thin_and_a_large_disc_is_compact():
    wire = np.zeros((400, 400), np.bool_)
    wire[200:203] = True
    assert slice_name("thinness", mask_traits(wire).thinness) == "thin"
    assert slice_name("thinness", mask_traits(disc(180)).thinness) == "compact"


@pytest.mark.parametrize(("area", "name"), [(1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large")])
def test_sizes_are_those_of_coco(area, name):
    assert slice_name("size", area) == name


def test_an_empty_mask_has_no_shape():
    result = mask_traits(np.zeros((5, 5), np.bool_))
    assert (result.size, result.share) == (0, 0) and math.isnan(result.thinness) and math.isnan(result.complexity)
    assert slice_name("thinness", result.thinness) == "empty"


def test_scores_are_averaged_within_each_slice():
    of = [Traits(100, 0.01, 1.0, 1.2), Traits(5000, 0.1, 0.3, 1.2), Traits(100, 0.01, 0.95, math.nan)]
    result = slice_scores(of, [0.2, 0.9, 0.4], seed=0)
    assert {name: (row["value"], row["n"]) for name, row in result["size"].items()} == {
        "small": (pytest.approx(0.3), 2),
        "medium": (0.9, 1),
    }
    assert result["thinness"]["thin"]["n"] == 2 and result["complexity"]["empty"]["value"] == 0.4
    assert result["size"]["small"]["low"] == pytest.approx(0.2)
    assert result["size"]["small"]["high"] == pytest.approx(0.4)

"""Segmentations are checked before C code trusts them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from linbench.metrics.runs import length, run_lengths, runs
from tests.metrics.masks import masks


def lengths(mask):
    """Of runs of equal pixels, column by column, background first."""
    found, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found


@given(masks())
def test_compressed_runs_are_read_as_they_were_meant(mask):
    counts = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    assert run_lengths(counts).tolist() == lengths(mask)


@given(masks())
def test_all_three_ways_to_write_runs_are_one_mask(mask):
    h, w = mask.shape
    compressed = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    for counts in (compressed, compressed.decode(), lengths(mask)):
        assert np.array_equal(coco.decode(runs({"size": [h, w], "counts": counts}, h, w)), mask)


def test_numbers_of_several_groups_and_both_signs_are_read():
    mask = np.zeros((3000, 2000), np.bool_)
    mask[100:2900:7, ::3] = True
    counts = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    found = run_lengths(counts)
    assert found.sum() == mask.size and found[1::2].sum() == mask.sum()


@given(st.text(alphabet=st.characters(max_codepoint=300), max_size=12))
def test_any_text_is_a_mask_of_that_size_or_refused(text):
    try:
        found = runs({"size": [3, 4], "counts": text}, 3, 4)
    except ValueError:
        return
    assert coco.decode(found).shape == (3, 4) and run_lengths(found["counts"]).sum() == 12


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "a list of polygons or run lengths"),
        ([], "it has no polygon"),
        ([[1, 1, 5, 5]], "a polygon has 2 points, and needs three or more"),
        ([[1, 1, 5, 5, 1]], "a polygon has 2.5 points"),
        ([[1, 1, 5, 5, 1, float("nan")]], "not a list of finite numbers"),
        ([[1, 1, 5, 5, 1, 1e12]], "a polygon reaches 1e\\+12 px, the image has \\[6, 8\\]"),
        ([[1, 1, 5, 5, 1, 10**400]], "not a list of finite numbers"),
        (["abcdef"], "not a list of finite numbers"),
        ({"size": [8, 6], "counts": [48]}, "of size \\[8, 6\\], the image has \\[6, 8\\]"),
        ({"size": [6, 8]}, "no counts"),
        ({"size": [6, 8], "counts": [40]}, "cover 40 px, the image has 48"),
        ({"size": [6, 8], "counts": [60, -12]}, "negative"),
        ({"size": [6, 8], "counts": [2.5]}, "not all whole numbers"),
        ({"size": [6, 8], "counts": ""}, "characters that none have"),
        ({"size": [6, 8], "counts": "~~"}, "characters that none have"),
        ({"size": [6, 8], "counts": "P"}, "cut off"),
        ({"size": [6, 8], "counts": "oooooooo0"}, "more than 32 bits"),
    ],
)
def test_what_is_wrong_with_a_segmentation_is_said(segmentation, said):
    with pytest.raises(ValueError, match=said):
        runs(segmentation, 6, 8)


@given(st.lists(st.floats(-16, 16), min_size=1, max_size=2).map(lambda xs: [*xs, *xs]))
def test_a_part_below_three_points_beside_a_polygon_adds_no_pixel_as_in_pycocotools(short):
    polygon = [1.0, 1.0, 5.0, 1.0, 5.0, 4.0]
    alone = runs([polygon], 6, 8)
    assert runs([polygon, short], 6, 8) == runs([short, polygon], 6, 8) == alone
    theirs = coco.merge(coco.frPyObjects([polygon, short], 6, 8))
    np.testing.assert_array_equal(coco.decode(theirs), coco.decode(alone))


def test_an_outline_that_would_take_gigabytes_is_refused_before_it_is_drawn():
    zigzag = [[0, 0] + [value for x in range(20_000) for value in (x % 2 * 600, x % 400)]]
    with pytest.raises(ValueError, match=r"its outline of 1\d,\d{3},\d{3} px is longer than the 4,194,304 px"):
        runs(zigzag, 480, 640)
    assert length([0, 0, 10, 0, 10, 10, 0, 10]) == 40
    assert length([0, 0, 3, 3, 0, 3]) == 9


def test_a_run_length_that_no_number_of_the_file_format_holds_is_refused():
    with pytest.raises(ValueError, match="whole numbers of less than"):
        runs({"size": [2, 2], "counts": [10**400]}, 2, 2)

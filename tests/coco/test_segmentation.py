"""Segmentations are checked before C code trusts them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as pycoco

from linbench.coco.entry import segmentation_mask, segmentation_rle
from linbench.coco.rle import run_lengths
from tests.metrics.masks import masks


def lengths(mask):
    """Of runs of equal pixels, column by column, background first."""
    result, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            result.append(0)
            value = pixel
        result[-1] += 1
    return result


@given(masks())
def test_compressed_runs_are_read_as_they_were_meant(mask):
    counts = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    assert run_lengths(counts, mask.size).tolist() == lengths(mask)


@given(masks())
def test_all_three_ways_to_write_runs_are_one_mask(mask):
    h, w = mask.shape
    compressed = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    for counts in (compressed, compressed.decode(), lengths(mask)):
        assert np.array_equal(pycoco.decode(segmentation_rle({"size": [h, w], "counts": counts}, (h, w))), mask)


def test_numbers_of_several_groups_and_both_signs_are_read():
    mask = np.zeros((3000, 2000), np.bool_)
    mask[100:2900:7, ::3] = True
    counts = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    result = run_lengths(counts, mask.size)
    assert result.sum() == mask.size and result[1::2].sum() == mask.sum()


@given(st.text(alphabet=st.characters(max_codepoint=300), max_size=12))
def test_any_text_is_a_mask_of_that_size_or_refused(text):
    try:
        result = segmentation_rle({"size": [3, 4], "counts": text}, (3, 4))
    except ValueError:
        return
    assert pycoco.decode(result).shape == (3, 4) and run_lengths(result["counts"], 12).sum() == 12


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "no segmentation"),
        ([], "a segmentation without polygons"),
        ([[1, 1, 5, 5]], "a polygon with 2 points"),
        ([[1, 1, 5, 5, 1]], "a polygon of 5 numbers, which are no pairs"),
        ([[1, 1, 5, 5, 1, float("nan")]], "a number that is not finite"),
        ([[1, 1, 5, 5, 1, 1e12]], "a polygon reaches far outside the image of 8 x 6 px"),
        ([[1, 1, 5, 5, 1, 10**400]], "a number that is not finite"),
        (["abcdef"], "no list of numbers"),
        ({"size": [8, 6], "counts": [48]}, "a mask of size \\[8, 6\\] \\(h, w\\) for an image of \\[6, 8\\]"),
        ({"size": [6, 8]}, "without `counts`"),
        ({"size": [6, 8], "counts": [40]}, "cover 40 px, the image has 48"),
        ({"size": [6, 8], "counts": [60, -12]}, "negative"),
        ({"size": [6, 8], "counts": [2.5]}, "not all whole numbers"),
        ({"size": [6, 8], "counts": [10**400]}, "more than 32 bits"),
        ({"size": [6, 8], "counts": [2**32, 0, 2**63 - 1]}, "more than 32 bits"),
        ({"size": [6, 8], "counts": "PPPPPP4"}, "more than 32 bits"),
        ({"size": [6, 8], "counts": ""}, "characters that none have"),
        ({"size": [6, 8], "counts": "~~"}, "characters that none have"),
        ({"size": [6, 8], "counts": "P"}, "cut off"),
        ({"size": [6, 8], "counts": "oooooooo0"}, "more than 32 bits"),
    ],
)
def test_what_is_wrong_with_a_segmentation_is_said(segmentation, message):
    with pytest.raises(ValueError, match=message):
        segmentation_rle(segmentation, (6, 8))


@given(st.lists(st.floats(-16, 16), min_size=1, max_size=2).map(lambda xs: [*xs, *xs]))
def test_a_part_below_three_points_beside_a_polygon_adds_no_pixel_as_in_pycocotools(short):
    polygon = [1.0, 1.0, 5.0, 1.0, 5.0, 4.0]
    alone = segmentation_rle([polygon], (6, 8))
    assert segmentation_rle([polygon, short], (6, 8)) == segmentation_rle([short, polygon], (6, 8)) == alone
    theirs = pycoco.merge(pycoco.frPyObjects([polygon, short], 6, 8))
    np.testing.assert_array_equal(pycoco.decode(theirs), pycoco.decode(alone))


def test_outlines_that_would_take_gigabytes_are_refused_before_they_are_drawn():
    size = (1, 2**27)
    line = [0, 0, size[1], 0, size[1], 1, 0, 1]
    with pytest.raises(ValueError, match="its outlines are 268,435,458 px long; at most 4,194,304 px"):
        segmentation_mask([line], size)
    with pytest.raises(ValueError, match="its outlines are"):
        segmentation_rle([[0, 0, 1000, 0, 1000, 1000, 0, 1000]] * 2000, (1000, 1000))
    assert segmentation_mask([[0, 0, 1000, 0, 1000, 1000, 0, 1000]] * 50, (1000, 1000)).all()

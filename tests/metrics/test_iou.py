"""Mask IoU: a count of pixels, and what two empty masks give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.metrics.iou import mask_iou
from tests.goldens import golden
from tests.metrics.masks import masks


@given(st.data())
def test_it_is_the_number_of_pixels_in_both_over_the_number_in_either(data):
    a = data.draw(masks())
    b = data.draw(masks(*a.shape))
    ours = {(int(y), int(x)) for y, x in np.argwhere(a)}
    theirs = {(int(y), int(x)) for y, x in np.argwhere(b)}
    either = len(ours | theirs)
    assert mask_iou(a, b) == (len(ours & theirs) / either if either else 0.0)
    assert mask_iou(b.astype(np.uint8), a.astype(np.int64)) == mask_iou(a, b)


def test_every_mask_iou_of_the_published_evaluations_is_reproduced():
    _, arrays = golden("boundary_iou")
    for k in range(19):
        truth, prediction = arrays[f"in_gt_{k:02d}"] > 128, arrays[f"in_pred_{k:02d}"]
        assert mask_iou(truth, prediction) == pytest.approx(arrays["out_rwkv_iou"][k], abs=1e-6)
        assert mask_iou(truth, prediction) == pytest.approx(arrays["out_coco_mask_iou"][k], abs=1e-12)
        assert mask_iou(truth, prediction, empty=math.nan) == pytest.approx(
            arrays["out_hq_iou"][k], abs=1e-6, nan_ok=True
        )


def test_two_empty_masks_give_what_the_protocol_says():
    nothing = np.zeros((4, 5), np.bool_)
    assert mask_iou(nothing, nothing) == 0.0
    assert math.isnan(mask_iou(nothing, nothing, empty=math.nan))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((4, 4), 255, np.uint8), "integers 0 and 1, got uint8, 255 to 255"),
        (np.full((4, 4), 0.7), "got float64"),
        (np.full((4, 4), -1), "got int64, -1 to -1"),
        (np.zeros((1, 4, 4), np.bool_), "a mask `h w`, got 3 axes"),
        (np.zeros((4, 5), np.bool_), "got 4 x 5 and 4 x 4"),
    ],
)
def test_what_is_no_mask_of_that_size_is_refused_rather_than_thresholded(mask, message):
    with pytest.raises(ValueError, match=message):
        mask_iou(mask, np.ones((4, 4), np.bool_))

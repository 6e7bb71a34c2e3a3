"""Boundaries: bit for bit those of the published programs, and those of the definition."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linbench.metrics.iou import boundary, boundary_iou, boundary_width, mask_iou
from tests.goldens import golden
from tests.metrics.masks import masks


def by_definition(mask, d):
    """Each pixel of the mask that sees, d px around it, anything outside the mask or outside the image."""
    edge = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        inside = mask[max(y - d, 0) : y + d + 1, max(x - d, 0) : x + d + 1]
        edge[y, x] = inside.size < (2 * d + 1) ** 2 or not inside.all()
    return edge


@given(masks(), st.sampled_from([0.02, 0.06, 0.12, 0.3]))
@example(np.ones((24, 24), np.bool_), 0.12)
@example(np.ones((9, 17), np.bool_), 0.2)  # the square fits in exactly once
def test_it_is_what_lies_within_d_of_the_outside(mask, ratio):
    d = max(1, round(ratio * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
    assert boundary_width(*mask.shape, ratio) == d
    assert np.array_equal(boundary(mask, ratio), by_definition(mask, d))


@given(masks())
def test_it_turns_and_flips_with_the_mask_and_is_part_of_it(mask):
    edge = boundary(mask, 0.1)
    assert np.array_equal(boundary(mask.T, 0.1), edge.T)
    assert np.array_equal(boundary(mask[::-1], 0.1), edge[::-1])
    assert not (edge & ~mask).any()


def test_every_boundary_of_the_published_programs_is_equal_in_every_bit():
    _, arrays = golden("boundary_iou")
    for k in range(19):
        truth, prediction = arrays[f"in_gt_{k:02d}"] > 128, arrays[f"in_pred_{k:02d}"]
        assert boundary_width(*truth.shape) == arrays["out_dilation"][k]
        assert np.array_equal(boundary(truth), arrays[f"out_boundary_gt_{k:02d}"])
        assert np.array_equal(boundary(prediction), arrays[f"out_boundary_pred_{k:02d}"])


@pytest.mark.parametrize("ratio", [0.005, 0.01, 0.05])
def test_other_widths_are_equal_in_every_bit(ratio):
    _, arrays = golden("boundary_iou")
    expected = arrays[f"out_boundary_gt_00_ratio_{ratio}"]
    assert np.array_equal(boundary(arrays["in_gt_00"] > 128, ratio), expected)


def test_every_boundary_iou_of_the_published_evaluations_is_reproduced():
    _, arrays = golden("boundary_iou")
    for k in range(19):
        truth, prediction = arrays[f"in_gt_{k:02d}"] > 128, arrays[f"in_pred_{k:02d}"]
        assert boundary_iou(truth, prediction) == pytest.approx(arrays["out_rwkv_biou"][k], abs=1e-6)
        assert boundary_iou(truth, prediction) == pytest.approx(arrays["out_coco_boundary_iou"][k], abs=1e-12)
        hq = boundary_iou(truth, prediction, empty=math.nan)
        assert hq == pytest.approx(arrays["out_hq_biou"][k], abs=1e-6, nan_ok=True)


def test_the_means_over_real_masks_are_73_16_and_65_35():
    meta, arrays = golden("davis_osvos_metrics")
    pairs = [
        [np.unpackbits(arrays[f"in_{which}_{k:02d}"], axis=1)[:, :854].astype(np.bool_) for which in ("gt", "pred")]
        for k in range(len(meta["pair_names"]))
    ]
    iou = [mask_iou(truth, prediction) for truth, prediction in pairs]
    biou = [boundary_iou(truth, prediction) for truth, prediction in pairs]
    assert iou == pytest.approx(arrays["out_iou"], abs=1e-6)
    assert biou == pytest.approx(arrays["out_biou"], abs=1e-6)
    assert (round(100 * np.mean(iou), 2), round(100 * np.mean(biou), 2)) == (73.16, 65.35)
    assert [int(boundary(truth).sum()) for truth, _ in pairs] == arrays["out_boundary_pixels_gt"].tolist()


@pytest.mark.parametrize("ratio", [0.0, -0.02, 1.0, 20])
def test_a_ratio_that_is_no_share_of_the_diagonal_is_refused(ratio):
    with pytest.raises(ValueError, match="between 0 and 1"):
        boundary(np.ones((4, 4), np.bool_), ratio)


def test_the_mask_itself_is_left_as_it_was():
    mask = np.ones((60, 60), np.bool_)
    boundary(mask)
    assert mask.all()

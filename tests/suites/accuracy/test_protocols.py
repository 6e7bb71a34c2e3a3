"""Protocols: where boxes and pictures go, held against the words of the sources."""

import math

import numpy as np
import pytest
import torch

from linbench.suites.accuracy import protocols
from linbench.suites.accuracy.protocols import protocol, protocol_name, squashed, tight


def mask(size=(30, 50), rows=(4, 9), columns=(7, 20)) -> np.ndarray:
    found = np.zeros(size, bool)
    found[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    return found


def label(*args, **kwargs) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The mask as a file has it, 0 and 255."""
    return mask(*args, **kwargs).astype(np.uint8) * 255


def test_a_box_of_ground_truth_has_inclusive_corners() -> None:
    assert tight(torch.from_numpy(mask())).tolist() == [7, 4, 20, 9]
    assert tight(torch.from_numpy(mask(rows=(5, 5), columns=(8, 8)))).tolist() == [8, 5, 8, 5]


def test_keep_aspect_scales_the_box_by_the_resized_sides_over_the_original_ones() -> None:
    box = protocol("keep-aspect", "rwkv-sam-t", 64).box(label())
    height = int(30 * 64 / 50 + 0.5)
    assert box.tolist() == pytest.approx([7 * 64 / 50, 4 * height / 30, 20 * 64 / 50, 9 * height / 30])


def test_squash_fills_the_square_and_cuts_to_whole_numbers_as_half_pixel_bilinear_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8)
    found = squashed(picture)
    assert found.shape == (1, 3, 1024, 1024)
    for y, x in ((0, 0), (511, 300), (1023, 1023), (77, 900)):
        at = [min(max((p + 0.5) * n / 1024 - 0.5, 0), n - 1) for p, n in ((y, 20), (x, 33))]
        (top, left), (down, right) = ([int(p) for p in at], [p - int(p) for p in at])
        below, beside = min(top + 1, 19), min(left + 1, 32)
        p = picture.astype(np.float64)
        value = (1 - down) * ((1 - right) * p[top, left] + right * p[top, beside])
        value += down * ((1 - right) * p[below, left] + right * p[below, beside])
        value = np.floor(value + 1e-4 * (value % 1 > 0.9999))  # float32 may end on the next whole number
        normal = (value - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
        assert found[0, :, y, x].numpy() == pytest.approx(normal, abs=1e-5)


def test_squash_takes_the_box_on_the_squashed_mask() -> None:
    way = protocol("squash-1024", "sam-vit-b", 1024)
    box = way.box(label())
    exact = [7 * 1024 / 50 - 0.5, 4 * 1024 / 30 - 0.5, 21 * 1024 / 50 - 0.5, 10 * 1024 / 30 - 0.5]
    assert all(abs(a - b) <= 1 for a, b in zip(box.tolist(), exact, strict=True))
    assert all(float(value).is_integer() for value in box)
    thin = label((3000, 3000), rows=(700, 700), columns=(10, 2000))
    assert torch.isfinite(way.box(thin)).all()


def masks_to_boxes(values: torch.Tensor) -> list[float]:
    """HQ-SAM's box of a label ``h w`` in its own square: the extent of what is above 128."""
    y, x = torch.nonzero(values > 128, as_tuple=True)
    return [float(v) for v in (x.min(), y.min(), x.max(), y.max())]


@pytest.mark.parametrize("edge", [0, 1, 127, 128, 129, 200, 254])
@pytest.mark.parametrize("size", [(512, 512), (300, 417), (2048, 1500)])
def test_squash_squashes_the_grey_values_of_a_soft_label_as_hq_sam_does(size: tuple[int, int], edge: int) -> None:
    soft = np.zeros(size, np.uint8)
    soft[60:200, 101:220] = 255
    soft[60:200, 100], soft[59, 101:220], soft[200, 101:220] = edge, edge, edge
    squashed_label = torch.nn.functional.interpolate(
        torch.from_numpy(soft)[None, None].float(), (1024, 1024), mode="bilinear"
    )[0, 0]
    assert protocol("squash-1024", "hq-sam-b", 1024).box(soft).tolist() == masks_to_boxes(squashed_label)


def test_a_column_of_grey_129_beside_white_moves_the_box_by_the_pixel_that_hq_sam_moves_it() -> None:
    soft = np.zeros((512, 512), np.uint8)
    soft[60:200, 101:300], soft[60:200, 100] = 255, 129
    assert protocol("squash-1024", "hq-sam-b", 1024).box(soft)[0] == 201
    assert protocol("keep-aspect", "sam-vit-b", 1024).box(soft)[0] == 200  # the first pixel above 128, times two
    soft[60:200, 100] = 255
    assert protocol("squash-1024", "hq-sam-b", 1024).box(soft)[0] == 200


def test_squash_enlarges_logits_once_and_keep_aspect_twice() -> None:
    logits = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    at_once = torch.nn.functional.interpolate(logits, (30, 50), mode="bilinear", align_corners=False)[:, 0] > 0
    assert torch.equal(protocol("squash-1024", "vit-t", 1024).masks(logits, (30, 50)), at_once)
    kept = protocol("keep-aspect", "vit-t", 64).masks(logits, (30, 50))
    assert kept.shape == (2, 30, 50)
    assert not torch.equal(kept, at_once)


def test_each_model_has_its_own_protocol_and_any_has_squash() -> None:
    assert protocol_name(None, "rwkv-sam-s", (512, 512)) == "keep-aspect"
    assert protocol_name(None, "efficientsam-ti", (1024, 1024)) == "stretch"
    assert protocol_name("squash-1024", "efficientsam-ti", (1024, 1024)) == "squash-1024"


@pytest.mark.parametrize(
    ("requested", "model", "size", "message"),
    [
        ("keep", "vit-t", (64, 64), "allowed are keep-aspect, stretch and squash-1024"),
        ("keep-aspect", "efficientsam-s", (64, 64), "images reach efficientsam-s by stretch"),
        ("squash-1024", "vit-t", (512, 512), r"its input has 1024 px, here it would have 512 px .*write --res 1024"),
        (None, "vit-t", (64, 128), "images go into a square"),
    ],
)
def test_what_does_not_go_together_is_refused(requested: str | None, model: str, size, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        protocol_name(requested, model, size)


def test_detections_are_scaled_like_boxes_of_ground_truth() -> None:
    boxes = torch.tensor([[7.0, 4.0, 20.0, 9.0]])
    for name, side in (("keep-aspect", 64), ("squash-1024", 1024)):
        way = protocol(name, "vit-t", side)
        moved = way.boxes(boxes, (30, 50))
        assert moved.shape == (1, 4)
        assert math.isclose(moved[0, 0], 7 * side / 50, rel_tol=1e-6)
    assert protocols.VERSIONS == {"keep-aspect": 1, "stretch": 2, "squash-1024": 2}

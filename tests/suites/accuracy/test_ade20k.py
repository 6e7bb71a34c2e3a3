"""ADE20K's protocols: sizes and windows as mmsegmentation has them, and the class of each pixel at its own size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch.nn import functional

from linbench.data.image import read_image
from linbench.models.semantic import build_semantic
from linbench.registry import load_plugin
from linbench.suites.accuracy.ade20k import SLIDE, _padded, _slid, best_labels, edges, resized, windows
from tests.suites.accuracy.made import TOY, H, W, ade20k, mask, only, run


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 400), (512, 683)), ((400, 300), (683, 512)), ((100, 1000), (205, 2048)), ((512, 512), (512, 512))],
)
def test_the_short_side_is_512_and_the_long_one_at_most_2048(size, expected) -> None:  # type: ignore[no-untyped-def]
    assert tuple(resized(np.zeros((*size, 3), np.uint8), 512).shape[2:]) == expected


@settings(max_examples=200, deadline=None)
@given(height=st.integers(512, 2048), width=st.integers(512, 2048))
def test_windows_are_mmsegmentations_and_cover_every_pixel(height: int, width: int) -> None:
    crop, stride = 512, 341
    expected = []
    for row in range(max(height - crop + stride - 1, 0) // stride + 1):
        for column in range(max(width - crop + stride - 1, 0) // stride + 1):
            down, right = min(row * stride + crop, height), min(column * stride + crop, width)
            expected.append((max(down - crop, 0), max(right - crop, 0)))
    assert list(windows((height, width), crop)) == expected
    rows = {top for top, _ in expected}
    assert set(range(height)) == {y for top in rows for y in range(top, top + crop)}


def test_sliding_averages_where_squares_overlap_and_fills_up_small_images() -> None:
    def model(image: torch.Tensor) -> torch.Tensor:
        assert image.shape[2:] == (12, 12)
        return torch.cat([image[:, :1], torch.full_like(image[:, :1], float(image[0, 0, 0, 0]))], dim=1)

    image = torch.arange(20 * 12, dtype=torch.float32).reshape(1, 1, 20, 12)
    found = _slid(model, 12, image)
    assert torch.equal(found[:, :1], image)  # the mean of equal logits
    tops = [top for top, _ in windows((20, 12), 12)]
    assert tops == [0, 8]
    assert found[0, 1, 0, 0] == 0
    assert found[0, 1, 10, 0] == (0 + 8 * 12) / 2
    assert _slid(model, 12, torch.ones(1, 1, 5, 7)).shape == (1, 2, 5, 7)


def test_padding_fills_up_to_the_stride_and_is_cut_off() -> None:
    seen = []

    def model(image: torch.Tensor) -> torch.Tensor:
        seen.append(image)
        return image

    image = torch.rand(1, 3, 33, 64)
    assert torch.equal(_padded(model, 32, image), image)
    assert seen[0].shape == (1, 3, 64, 64)
    assert not seen[0][:, :, 33:].any()


def test_the_best_class_is_the_argmax_of_all_logits_at_the_size_of_the_picture() -> None:
    logits = torch.randn(1, 150, 9, 13, generator=torch.Generator().manual_seed(0))
    whole = functional.interpolate(logits, (40, 50), mode="bilinear", align_corners=False)[0]
    assert torch.equal(best_labels(logits, (40, 50)), whole.argmax(dim=0))
    assert not best_labels(torch.zeros(1, 40, 3, 3), (5, 5)).any()  # of equal ones the first


def test_edges_are_labelled_pixels_beside_another_label() -> None:
    truth = np.zeros((4, 4), np.uint8)
    truth[:, 2:] = 1
    assert edges(truth) == 4 / 16
    truth[:, 3] = 255
    assert edges(truth) == 8 / 12


@pytest.mark.parametrize("protocol", ["whole", SLIDE])
def test_the_record_has_the_class_wise_iou_of_all_pixels_as_scikit_learn_counts_it(
    protocol: str, tmp_path: Path
) -> None:
    folder = ade20k(tmp_path)
    assert run("ade20k", tmp_path, tmp_path / "r", "--protocol", protocol).exit_code == 0
    record = only(tmp_path / "r")
    load_plugin(TOY)
    torch.manual_seed(0)
    model = build_semantic("toy", image_size=64, num_classes=150).eval()
    answers, truths = [], []
    for number in range(3):
        picture = read_image(folder / "images" / "validation" / f"{number}.jpg")
        image = resized(picture, 64)
        assert image.shape[2:] == (64, 85)
        with torch.inference_mode():
            if protocol == SLIDE:
                halves = [model(image[..., left : left + 64]) for left in (0, 21)]
                logits = torch.zeros(1, 150, 64, 85)
                logits[..., :64] += halves[0]
                logits[..., 21:] += halves[1]
                logits[..., 21:64] /= 2
            else:
                logits = model(functional.pad(image, (0, 11)))[..., :85]
            at_size = functional.interpolate(logits, (H, W), mode="bilinear", align_corners=False)
        truth = np.where(mask(number), 6, 2)
        answers.append(at_size[0].argmax(dim=0).numpy()[2:].ravel())  # the first two rows have no label
        truths.append(truth[2:].ravel())
    predicted, true = np.concatenate(answers), np.concatenate(truths)
    seen = sorted({*predicted.tolist(), *true.tolist()})
    assert record["metrics"]["miou"]["value"] == pytest.approx(
        100 * jaccard_score(true, predicted, labels=seen, average="macro"), abs=1e-9
    )
    assert record["metrics"]["pixel_accuracy"]["value"] == pytest.approx(100 * (predicted == true).mean(), abs=1e-9)
    assert record["key"]["protocol"] == protocol

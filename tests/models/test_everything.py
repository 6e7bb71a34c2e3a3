"""Everything in an image: against an independent, slow procedure written from the source's description."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from linbench.coco.rle import decode
from linbench.models.everything import Everything, crop_boxes, mask_boxes, segment_everything
from linbench.models.sam import Embedding, Prompts, Sam
from linbench.models.sam.transforms import LongestSide
from linbench.models.segmenter import Segmenter, load_segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """A segmenter with random weights whose logits are large, so that some masks are stable."""
    segmenter = load_segmenter("efficientsam-ti", None, image_size=128)
    with torch.no_grad():
        for head in segmenter.sam.decoder.hyper:
            list(head.parameters())[-2].mul_(40)
    return segmenter


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return coarse.repeat(20, axis=0).repeat(20, axis=1)


def overlap(a: list[float], b: list[float]) -> float:
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union else math.nan


def suppressed(boxes: list[list[float]], scores: list[float], limit: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if not any(overlap(boxes[i], boxes[j]) > limit for j in kept):
            kept.append(i)
    return kept


def slowly(segmenter: Segmenter, image: np.ndarray, settings: Everything) -> list[tuple]:
    """One point at a time, one mask at a time, in plain Python."""
    height, width = image.shape[:2]
    results: list[tuple] = []
    for layer in range(settings.crop_layers + 1):
        side = 2**layer
        margin = int(settings.crop_margin * min(height, width) * (2 / side)) if layer else 0
        crop_w, crop_h = (math.ceil((margin * (side - 1) + length) / side) for length in (width, height))
        for i, j in itertools.product(range(side), repeat=2):
            x0, y0 = (crop_w - margin) * i, (crop_h - margin) * j
            x1, y1 = min(x0 + crop_w, width), min(y0 + crop_h, height)
            crop = np.ascontiguousarray(image[y0:y1, x0:x1])
            candidates = []
            count = int(settings.points_per_side / settings.crop_points_divisor**layer)
            for row, column in itertools.product(range(count), repeat=2):
                x, y = ((2 * k + 1) / (2 * count) * length for k, length in ((column, x1 - x0), (row, y1 - y0)))
                prompts = Prompts(points=torch.tensor([[[x, y]]]), labels=torch.tensor([[1]]))
                with torch.inference_mode():
                    embedding = segmenter.embed(crop)
                    low, scores = segmenter.decode(embedding, prompts, crop.shape[:2], multimask=True, prompt_chunk=1)
                    logits = segmenter.transform.logits(low, crop.shape[:2])[0].numpy()
                for mask, score in zip(logits, scores[0].tolist(), strict=True):
                    if settings.min_iou > 0 and not score > settings.min_iou:
                        continue
                    inner, outer = (mask > settings.offset).sum(), (mask > -settings.offset).sum()
                    if not outer or inner / outer < settings.min_stability:
                        continue
                    rows, columns = np.nonzero(mask > 0)
                    box = [0, 0, 0, 0]
                    if rows.size:
                        box = [int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())]
                    box = [box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0]
                    edges = zip(box, (x0, y0, x1, y1), (0, 0, width, height), strict=True)
                    if any(abs(b - c) <= 20 and abs(b - edge) > 20 for b, c, edge in edges):
                        continue
                    whole = np.zeros((height, width), bool)
                    whole[y0:y1, x0:x1] = mask > 0
                    candidates.append((box, score, whole, (x1 - x0) * (y1 - y0)))
            kept = suppressed([c[0] for c in candidates], [c[1] for c in candidates], settings.max_overlap)
            results += [candidates[k] for k in kept]
    if settings.crop_layers:
        kept = suppressed([r[0] for r in results], [1 / r[3] for r in results], settings.crop_max_overlap)
        results = [results[k] for k in kept]
    return results


class Blobs(Sam):
    """A segmenter whose three masks of a point are squares about it, with sides and scores that vary."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity(), nn.Identity())
        self.decoder.hyper = [None] * 3
        self.scale = nn.Parameter(torch.ones(1))

    def encode(self, image):
        return Embedding((image,), tuple(image.shape[2:]))

    def decode(self, embedding, prompts, *, multimask=False, prompt_chunk=8):
        assert multimask
        height, width = (side // 4 for side in embedding.image_size)
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        at = prompts.points[:, 0] / 4
        wave = torch.stack([torch.sin(at.sum(1) * k + k) for k in (1.0, 2.0, 3.0)], dim=1)
        distance = torch.maximum((x - at[:, :1, None]).abs(), (y - at[:, 1:, None]).abs())
        logits = (4 + 3 * wave)[..., None, None] - distance[:, None]
        return logits, 0.8 + 0.2 * torch.cos(7 * wave)


def blobs() -> Segmenter:
    return Segmenter(Blobs(), LongestSide(128), {})


def assert_same(segmenter: Segmenter, image: np.ndarray, settings: Everything, least: int) -> None:
    expected = slowly(segmenter, image, settings)
    masks = segment_everything(segmenter, image, settings)
    assert len(masks) == len(expected) >= least
    for mask, (box, score, pixels, _) in zip(masks, expected, strict=True):
        assert list(mask.box) == box
        assert mask.predicted_iou == pytest.approx(score, abs=1e-5)
        assert (decode(mask.segmentation) != pixels).mean() < 1e-3
        assert mask.area == decode(mask.segmentation).sum()


@pytest.mark.parametrize("layers", [0, 1])
def test_the_masks_are_those_of_the_sources_procedure(image, layers: int) -> None:
    settings = Everything(
        points_per_side=6, points_per_batch=5, min_iou=0.7, min_stability=0.3, max_overlap=0.3, crop_layers=layers,
        crop_max_overlap=0.4, crop_points_divisor=2,
    )  # fmt: skip
    assert_same(blobs(), image, settings, least=8)


def test_a_real_decoder_gives_the_masks_of_the_sources_procedure(segmenter, image) -> None:
    settings = Everything(points_per_side=3, points_per_batch=5, min_iou=0.0, min_stability=0.3, max_overlap=1.0)
    assert_same(segmenter, image, settings, least=9)


def test_each_threshold_leaves_masks_out(image) -> None:
    loose = {"points_per_side": 6, "min_iou": 0.0, "min_stability": 0.0, "max_overlap": 1.0}
    everything = segment_everything(blobs(), image, Everything(**loose))
    for name, bound in (("min_iou", 0.8), ("min_stability", 0.5), ("max_overlap", 0.2)):
        fewer = segment_everything(blobs(), image, Everything(**loose | {name: bound}))
        assert 0 < len(fewer) < len(everything), name


def test_progress_counts_every_prompt_of_every_crop(segmenter, image) -> None:
    calls: list[tuple[int, int]] = []
    settings = Everything(points_per_side=4, points_per_batch=5, crop_layers=1)
    segment_everything(segmenter, image, settings, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (16 * 5, 16 * 5)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_crops_cover_the_image_and_overlap() -> None:
    covered = np.zeros((120, 180), int)
    for (x0, y0, x1, y1), layer in crop_boxes((120, 180), Everything(crop_layers=2)):
        covered[y0:y1, x0:x1] += layer > 0
    assert covered.min() >= 2
    assert covered.max() > 2


def test_the_box_of_a_mask_holds_its_first_and_last_pixels_and_an_empty_one_is_zero() -> None:
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1:4, 2:6] = True
    masks[1, 4, 0] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 5, 3], [0, 4, 0, 4], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("name", "value"), [("points_per_side", 0), ("min_iou", 1.5), ("crop_layers", 9), ("max_overlap", -0.1)]
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        Everything(**{name: value})


def test_an_image_of_a_few_pixels_has_only_crops_that_are_not_empty() -> None:
    for (x0, y0, x1, y1), _ in crop_boxes((1, 3), Everything(crop_layers=3)):
        assert 0 <= x0 < x1 <= 3 and 0 <= y0 < y1 <= 1


def test_masks_of_a_large_image_are_enlarged_few_at_a_time(image, monkeypatch) -> None:
    sizes = []
    enlarge = LongestSide.logits
    monkeypatch.setattr(LongestSide, "logits", lambda self, x, size: sizes.append(len(x)) or enlarge(self, x, size))
    settings = Everything(points_per_side=4, min_iou=0, min_stability=0, max_overlap=1.0)
    expected = segment_everything(blobs(), image, settings)
    monkeypatch.setattr("linbench.models.everything.ENLARGED", 2 * image.shape[0] * image.shape[1])
    sizes.clear()
    masks = segment_everything(blobs(), image, settings)
    assert max(sizes) == 2
    assert masks == expected

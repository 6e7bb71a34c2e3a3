"""Masks of everything in an image: a segmenter prompted by a grid of points (arXiv 2304.02643, appendix B).

The procedure of SAM's automatic mask generator (facebookresearch/segment-anything@dca509f
segment_anything/automatic_mask_generator.py), step by step:

1. Each point of a regular grid is a prompt of one foreground point, which gives three masks where the decoder has
   three.
2. A mask stays if its predicted IoU is above ``min_iou`` and its stability at least ``min_stability``: the IoU of the
   masks at ``offset`` above and below the threshold of the logits.
3. A mask whose box lies near the edge of a crop, and not near that of the image, goes.
4. Non-maximum suppression of the boxes by predicted IoU, within each crop.
5. With ``crop_layers``, the same in 4, 16, … overlapping crops; then suppression among all, smaller crops first.

The source's ``min_mask_region_area``, off by default there, does not exist here.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms

from linbench.coco.rle import encode
from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.models.segmenter import Segmenter

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in px of the image
EDGE = 20.0  # px: a box this near to an edge touches it
ENLARGED = 24 * 1024**2  # px of masks that are at the size of the image at a time; 4 bytes each, at least one mask


@dataclass(frozen=True)
class Everything:
    """How the masks of everything are found; the defaults are those of the source.

    points_per_side: Of the grid over the image.  points_per_batch: Prompts that are decoded together.
    min_iou, min_stability: A mask below one of them is left out; 0 keeps all.  offset: In units of logits.
    max_overlap: Largest IoU of the boxes of two masks of one crop; ``crop_max_overlap`` of two crops.
    crop_layers: The i-th has 4 ** i crops.  crop_margin: Overlap of the first layer's, as a fraction of the shorter
        side.  crop_points_divisor: The grid of the i-th layer has ``points_per_side / divisor ** i`` points a side.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    min_iou: float = 0.88
    min_stability: float = 0.95
    offset: float = 1.0
    max_overlap: float = 0.7
    crop_layers: int = 0
    crop_max_overlap: float = 0.7
    crop_margin: float = 512 / 1500
    crop_points_divisor: int = 1

    def __post_init__(self) -> None:
        for name in ("points_per_side", "points_per_batch", "crop_points_divisor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("min_iou", "min_stability", "max_overlap", "crop_max_overlap", "crop_margin"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not 0 <= self.crop_layers <= 4:
            raise ValueError(f"crop_layers must be between 0 and 4, got {self.crop_layers}")
        if self.points_per_side < self.crop_points_divisor**self.crop_layers:
            raise ValueError(
                f"crop_points_divisor must leave a point in layer {self.crop_layers} of crops, got "
                f"{self.crop_points_divisor} with {self.points_per_side} points a side"
            )


@dataclass(frozen=True)
class AutomaticMask:
    """A mask of the image, as COCO's run lengths, and how it came about.

    box: x0, y0, x1, y1 of its pixels, px, the last ones included.  point: The prompt, x and y.
    crop: The part of the image that the model saw.
    """

    segmentation: dict[str, Any]
    area: int
    box: tuple[float, float, float, float]
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Box


@dataclass(frozen=True)
class _Candidates:
    """The masks of one crop that passed the thresholds, m in number; boxes and points in px of the image."""

    masks: list[dict[str, Any]]
    areas: Tensor
    boxes: Tensor
    ious: Tensor
    stabilities: Tensor
    points: Tensor

    def __getitem__(self, chosen: Tensor) -> "_Candidates":
        masks = [self.masks[i] for i in chosen.tolist()]
        return _Candidates(
            masks, *(x[chosen] for x in (self.areas, self.boxes, self.ious, self.stabilities, self.points))
        )


def segment_everything(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    settings: Everything | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[AutomaticMask]:
    """Return the masks of everything in an image ``h w 3``, the most confident of each crop first.

    advance: Called with the prompts decoded so far and their number in all.
    Raises NotFinite where logits or scores are not finite.
    """
    settings = settings or Everything()
    height, width = image.shape[:2]
    crops = list(crop_boxes((height, width), settings))
    grids = [_grid(settings, layer) for _, layer in crops]
    total, done = sum(map(len, grids)), 0
    kept: list[tuple[Box, _Candidates]] = []
    for (crop, _), grid in zip(crops, grids, strict=True):
        batches = []
        for points, batch in _crop_candidates(segmenter, image, crop, grid, settings):
            batches.append(batch)
            done += points
            advance(done, total)
        kept.append((crop, _suppressed(_joined(batches), settings.max_overlap)))
    return _across_crops(kept, settings.crop_max_overlap)


def crop_boxes(size: tuple[int, int], settings: Everything) -> Iterator[tuple[Box, int]]:
    """Yield the crops of an image of that height and width, px, each with its layer; the image itself is layer 0."""
    height, width = size
    yield (0, 0, width, height), 0
    for layer in range(1, settings.crop_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_margin * min(size) * (2 / count))
        crop_height, crop_width = (math.ceil((overlap * (count - 1) + side) / count) for side in size)
        for column, row in product(range(count), repeat=2):
            x, y = (crop_width - overlap) * column, (crop_height - overlap) * row
            if x < width and y < height:  # an image of a few px has fewer crops
                yield (x, y, min(x + crop_width, width), min(y + crop_height, height)), layer


def _grid(settings: Everything, layer: int) -> Tensor:
    """Return the grid of a layer, ``m 2`` of x and y as fractions of the crop, row by row."""
    count = int(settings.points_per_side / settings.crop_points_divisor**layer)
    at = torch.linspace(1 / (2 * count), 1 - 1 / (2 * count), count, dtype=torch.float64)
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def _crop_candidates(
    segmenter: Segmenter, image: NDArray[np.uint8], crop: Box, grid: Tensor, settings: Everything
) -> Iterator[tuple[int, _Candidates]]:
    """Yield for each batch of a crop's points their number and the masks that pass."""
    x0, y0, x1, y1 = crop
    size = (y1 - y0, x1 - x0)
    points = grid * torch.tensor([size[1], size[0]], dtype=torch.float64)
    with torch.inference_mode():
        embedding = segmenter.embed(np.ascontiguousarray(image[y0:y1, x0:x1]))
        for batch in points.split(settings.points_per_batch):
            prompts = Prompts(points=batch[:, None].float(), labels=torch.ones(len(batch), 1, dtype=torch.long))
            logits, ious = segmenter.decode(
                embedding, prompts, size, multimask=segmenter.has_three_masks, prompt_chunk=len(batch)
            )
            check_finite("this image", logits=logits, scores=ious)
            prompted = batch.repeat_interleave(logits.shape[1], dim=0)
            yield (
                len(batch),
                _passing(segmenter, logits.flatten(0, 1), ious.flatten(), prompted, image.shape, crop, settings),
            )


def _passing(
    segmenter: Segmenter,
    logits: Tensor,
    ious: Tensor,
    points: Tensor,
    shape: tuple[int, ...],
    crop: Box,
    settings: Everything,
) -> _Candidates:
    """Return the masks of one batch that pass the thresholds and do not end at the crop.

    logits: ``m h w``, of low resolution.  points: ``m 2``, px of the crop.
    """
    x0, y0, x1, y1 = crop
    if settings.min_iou > 0:
        sure = ious > settings.min_iou
        logits, ious, points = logits[sure], ious[sure], points[sure.cpu()]
    batches = []
    count = max(1, ENLARGED // max((y1 - y0) * (x1 - x0), segmenter.transform.side**2))  # by way of the input's size
    for part, iou, at in zip(*(x.split(count) for x in (logits, ious, points)), strict=True):
        full = segmenter.transform.logits(part[:, None], (y1 - y0, x1 - x0))[:, 0]
        stability = stability_scores(full, settings.offset)
        masks = full > 0
        boxes = mask_boxes(masks)
        shifted = boxes + torch.tensor([x0, y0, x0, y0], dtype=boxes.dtype, device=boxes.device)
        passes = ~_ends_at_crop(shifted, crop, (0, 0, shape[1], shape[0]))
        if settings.min_stability > 0:
            passes &= stability >= settings.min_stability
        batch = _Candidates(
            [_encoded(mask, crop, shape) for mask in masks[passes].cpu().numpy()],
            _areas(masks[passes]).cpu(),
            shifted[passes].cpu().float(),
            iou[passes].cpu().float(),
            stability[passes].cpu(),
            (at + torch.tensor([x0, y0]))[passes.cpu()],
        )
        batches.append(batch)
    return _joined(batches)


def stability_scores(logits: Tensor, offset: float) -> Tensor:
    """Return the IoU of each mask ``m h w`` thresholded ``offset`` above and below 0; NaN where both are empty."""
    inner, outer = (_areas(logits > bound) for bound in (offset, -offset))
    return inner / outer


def _areas(masks: Tensor) -> Tensor:
    """Return the number of pixels of each mask ``m h w``, with NumPy on a CPU: ten times faster than a sum."""
    if masks.is_cpu:
        return torch.tensor([np.count_nonzero(mask) for mask in masks.numpy()], dtype=torch.long)
    return masks.sum((1, 2))


def mask_boxes(masks: Tensor) -> Tensor:
    """Return the first and last column and row of each mask ``m h w``, as ``m 4`` of x0 y0 x1 y1; 0 where empty."""
    sides = []
    for dim in (1, 2):  # over the rows: the columns; over the columns: the rows
        taken = masks.any(dim=dim)
        first = taken.int().argmax(dim=1)
        last = taken.shape[1] - 1 - taken.flip(1).int().argmax(dim=1)
        sides.append((first, torch.where(taken.any(dim=1), last, 0)))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1)


def _ends_at_crop(boxes: Tensor, crop: Box, image: Box) -> Tensor:
    """Return which boxes ``m 4`` have a side near the crop's that is not near the image's."""
    near_crop, near_image = (
        (boxes - torch.tensor(edges, dtype=boxes.dtype, device=boxes.device)).abs() <= EDGE for edges in (crop, image)
    )
    return (near_crop & ~near_image).any(dim=1)


def _encoded(mask: NDArray[np.bool_], crop: Box, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the run lengths of a crop's mask in the whole image."""
    x0, y0, x1, y1 = crop
    if mask.shape == shape[:2]:
        return encode(mask)
    whole = np.zeros(shape[:2], np.bool_)
    whole[y0:y1, x0:x1] = mask
    return encode(whole)


def _joined(batches: list[_Candidates]) -> _Candidates:
    if not batches:
        none = torch.empty(0)
        return _Candidates([], none.long(), torch.empty(0, 4), none, none, torch.empty(0, 2, dtype=torch.float64))
    parts = ("areas", "boxes", "ious", "stabilities", "points")
    joined = (torch.cat([getattr(batch, part) for batch in batches]) for part in parts)
    return _Candidates([mask for batch in batches for mask in batch.masks], *joined)


def _suppressed(candidates: _Candidates, max_overlap: float) -> _Candidates:
    """Return the candidates that overlap no more confident one, the most confident first."""
    groups = torch.zeros(len(candidates.boxes), dtype=torch.long)
    return candidates[batched_nms(candidates.boxes, candidates.ious, groups, max_overlap)]


def _across_crops(kept: list[tuple[Box, _Candidates]], max_overlap: float) -> list[AutomaticMask]:
    """Return the masks of all crops; of two that overlap, the one of the smaller crop."""
    crops = [crop for crop, candidates in kept for _ in candidates.masks]
    joined = _joined([candidates for _, candidates in kept])
    order = range(len(crops))
    if len(kept) > 1:
        areas = torch.tensor([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in crops], dtype=torch.float32)
        order = batched_nms(joined.boxes, 1 / areas, torch.zeros(len(crops), dtype=torch.long), max_overlap).tolist()
    return [
        AutomaticMask(
            segmentation=joined.masks[i],
            area=int(joined.areas[i]),
            box=tuple(joined.boxes[i].tolist()),
            predicted_iou=float(joined.ious[i]),
            stability=float(joined.stabilities[i]),
            point=tuple(joined.points[i].tolist()),
            crop=crops[i],
        )
        for i in order
    ]

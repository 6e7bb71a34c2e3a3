"""Match the detections and objects of an image and category: pycocotools' matching on mask, box or boundary IoU."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from pycocotools.cocoeval import COCOeval

from linbench.coco.rle import Rle
from linbench.metrics.average_precision import Matches
from linbench.metrics.coco_entries import Candidate, Iou, Target
from linbench.metrics.iou import Patch, boundary_width, inner_boundary

_PAIR = (0, 0)  # the key of image and category under which pycocotools stores entries; here one pair at a time


class Matcher:
    """pycocotools' matching, called with one image and category at a time.

    iou: ``segm``, ``bbox`` or ``boundary``.
    ratio: Of a boundary's width to the image's diagonal.
    max_dets: Detections of an image and category that count, the highest scores first.
    """

    def __init__(self, iou: Iou, ratio: float, max_dets: int) -> None:
        self.iou: Iou = iou
        self.ratio = ratio
        self.max_dets = max_dets
        self._official = COCOeval(iouType="bbox" if iou == "bbox" else "segm")

    def __call__(self, targets: Sequence[Target], candidates: Sequence[Candidate], size: tuple[int, int]) -> Matches:
        """Match at all classes of area and IoU thresholds; ``size`` is the image's, h w in px."""
        ranked = sorted(candidates, key=lambda c: -c.score)[: self.max_dets]  # stable
        official = self._official
        official.ious = {_PAIR: self.overlaps(targets, ranked, size)}
        official._gts = {
            _PAIR: [
                {"id": i, "area": t.area, "iscrowd": int(t.crowd), "ignore": int(t.ignored)}
                for i, t in enumerate(targets, start=1)
            ]
        }
        official._dts = {_PAIR: [{"id": i, "area": c.area, "score": c.score} for i, c in enumerate(ranked, start=1)]}
        by_area = [official.evaluateImg(*_PAIR, area, self.max_dets) for area in official.params.areaRng]
        is_match = np.stack([result["dtMatches"] for result in by_area]) > 0  # a t n
        counts = ~np.stack([result["dtIgnore"] for result in by_area]).astype(np.bool_)
        return Matches(
            score=np.array([c.score for c in ranked]),
            tp=is_match & counts,
            fp=~is_match & counts,
            targets=np.array([np.count_nonzero(result["gtIgnore"] == 0) for result in by_area]),
        )

    def overlaps(
        self, targets: Sequence[Target], candidates: Sequence[Candidate], size: tuple[int, int]
    ) -> NDArray[np.float64]:
        """Return the IoU that is compared with the thresholds, a row for each candidate; empty without pairs."""
        if not targets or not candidates:
            return np.zeros((0, 0))
        overlaps: NDArray[np.float64] = pycoco.iou(
            [c.region for c in candidates], [t.region for t in targets], [t.crowd for t in targets]
        )
        return self._with_boundaries(overlaps, targets, candidates, size) if self.iou == "boundary" else overlaps

    def _with_boundaries(
        self,
        overlaps: NDArray[np.float64],
        targets: Sequence[Target],
        candidates: Sequence[Candidate],
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        d = boundary_width(*size, self.ratio)
        crowds = np.array([t.crowd for t in targets])
        pairs = np.argwhere((overlaps >= self._official.params.iouThrs[0]) & ~crowds)
        of_candidates = {row: _boundary(candidates[row].region, d) for row in {int(pair[0]) for pair in pairs}}
        of_targets = {column: _boundary(targets[column].region, d) for column in {int(pair[1]) for pair in pairs}}
        for row, column in pairs.tolist():
            overlaps[row, column] = min(overlaps[row, column], _patch_iou(of_candidates[row], of_targets[column]))
        return overlaps


def _boundary(rle: Rle, d: int) -> Patch:
    """Return the boundary of a mask within the mask's box; axes are w, h, as pycocotools stores columns together."""
    left, top, width, height = (int(n) for n in pycoco.toBbox(rle))
    whole = pycoco.decode(rle).T
    return Patch(left, top, inner_boundary(whole[left : left + width, top : top + height].astype(np.bool_), d))


def _patch_iou(a: Patch, b: Patch) -> float:
    """Return the intersection over union; neither patch is empty."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    both = np.count_nonzero(_from(a, top, left, b) & _from(b, top, left, a))
    return float(both / (np.count_nonzero(a.mask) + np.count_nonzero(b.mask) - both))


def _from(patch: Patch, top: int, left: int, other: Patch) -> NDArray[np.bool_]:
    """Return the part of a patch that another covers, which begins at ``top``, ``left``."""
    bottom = min(patch.top + patch.mask.shape[0], other.top + other.mask.shape[0])
    right = min(patch.left + patch.mask.shape[1], other.left + other.mask.shape[1])
    return patch.mask[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left]

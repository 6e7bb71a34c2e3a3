"""Which detection finds which object of an image and category: pycocotools' matching on its IoU, or on boundaries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from pycocotools.cocoeval import COCOeval

from linbench.metrics.average_precision import Matches
from linbench.metrics.boundary import Patch, boundary_width, inner_boundary
from linbench.metrics.coco_entries import Candidate, Iou, Target
from linbench.metrics.runs import Runs

_HERE = (0, 0)  # pycocotools keeps entries by image and category; here there is one of each at a time


class Matcher:
    """pycocotools' evaluation of one image and category after the other.

    iou: What is compared.
    ratio: Of a boundary's width to the image's diagonal.
    most: Detections that count, the highest scores first.
    """

    def __init__(self, iou: Iou, ratio: float, most: int) -> None:
        self.iou: Iou = iou
        self.ratio = ratio
        self.most = most
        self._official = COCOeval(iouType="bbox" if iou == "bbox" else "segm")

    def __call__(self, targets: Sequence[Target], candidates: Sequence[Candidate], size: tuple[int, int]) -> Matches:
        """Match by all classes of area and IoU thresholds; the image is of that size, h w in px."""
        ranked = sorted(candidates, key=lambda c: -c.score)[: self.most]  # stable
        official = self._official
        official.ious = {_HERE: self.overlaps(targets, ranked, size)}
        official._gts = {
            _HERE: [
                {"id": i, "area": t.area, "iscrowd": int(t.crowd), "ignore": int(t.ignored)}
                for i, t in enumerate(targets, start=1)
            ]
        }
        official._dts = {_HERE: [{"id": i, "area": c.area, "score": c.score} for i, c in enumerate(ranked, start=1)]}
        by_area = [official.evaluateImg(*_HERE, area, self.most) for area in official.params.areaRng]
        found = np.stack([one["dtMatches"] for one in by_area]) > 0  # a t n
        counts = ~np.stack([one["dtIgnore"] for one in by_area]).astype(np.bool_)
        return Matches(
            score=np.array([c.score for c in ranked]),
            right=found & counts,
            wrong=~found & counts,
            targets=np.array([np.count_nonzero(one["gtIgnore"] == 0) for one in by_area]),
        )

    def overlaps(
        self, targets: Sequence[Target], candidates: Sequence[Candidate], size: tuple[int, int]
    ) -> NDArray[np.float64]:
        """What is compared with the thresholds, a row for each candidate; empty where there is nothing to compare."""
        if not targets or not candidates:
            return np.zeros((0, 0))
        found: NDArray[np.float64] = coco.iou(
            [c.region for c in candidates], [t.region for t in targets], [t.crowd for t in targets]
        )
        return self._with_boundaries(found, targets, candidates, size) if self.iou == "boundary" else found

    def _with_boundaries(
        self,
        found: NDArray[np.float64],
        targets: Sequence[Target],
        candidates: Sequence[Candidate],
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        d = boundary_width(*size, self.ratio)
        crowds = np.array([t.crowd for t in targets])
        pairs = np.argwhere((found >= self._official.params.iouThrs[0]) & ~crowds)
        ours = {row: _boundary(candidates[row].region, d) for row in {int(pair[0]) for pair in pairs}}
        theirs = {column: _boundary(targets[column].region, d) for column in {int(pair[1]) for pair in pairs}}
        for row, column in pairs.tolist():
            found[row, column] = min(found[row, column], _patch_iou(ours[row], theirs[column]))
        return found


def _boundary(runs: Runs, d: int) -> Patch:
    """The boundary of a mask within the mask's box. pycocotools keeps columns together, so axes are w, h here."""
    left, top, width, height = (int(n) for n in coco.toBbox(runs))
    whole = coco.decode(runs).T
    return Patch(left, top, inner_boundary(whole[left : left + width, top : top + height].astype(np.bool_), d))


def _patch_iou(a: Patch, b: Patch) -> float:
    """Intersection over union; neither is empty."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    both = np.count_nonzero(_from(a, top, left, b) & _from(b, top, left, a))
    return float(both / (np.count_nonzero(a.mask) + np.count_nonzero(b.mask) - both))


def _from(patch: Patch, top: int, left: int, other: Patch) -> NDArray[np.bool_]:
    """The part of a patch that another covers, which begins at ``top``, ``left``."""
    bottom = min(patch.top + patch.mask.shape[0], other.top + other.mask.shape[0])
    right = min(patch.left + patch.mask.shape[1], other.left + other.mask.shape[1])
    return patch.mask[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left]

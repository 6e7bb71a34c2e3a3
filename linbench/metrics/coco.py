"""COCO's average precision of masks, boxes and boundaries, on pycocotools.

    evaluation = coco_evaluation(annotations, detections, "boundary")
    evaluation.metrics()            # the twelve metrics
    evaluation.intervals(seed=0)    # 95 % interval of each, over images
    evaluation.bad                  # entries that are left out, with the reason

Run lengths, polygons and IoU are pycocotools' own, and so is the matching (``COCOeval.evaluateImg``). Masks stay run
lengths; those of one image and category at a time are decoded. Where published programs differ:

- A detection that matches nothing counts in the class of size of its mask's area. pycocotools takes the area of its
  ``bbox`` where it has one, which moves AP by size (0.35 to 0.54 in one of our tests) and nothing else;
  ``area="box"`` does the same.
- Boundary AP matches on the smaller of mask IoU and boundary IoU; with a crowd, on the mask IoU alone. Pairs whose
  mask IoU is below every threshold are not compared by their boundaries.
- Equal scores keep the order of the file within an image, and that of the image ids between images.
- Objects are renumbered from 1: pycocotools counts a match with an object of id 0 as no match.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.average_precision import Ranking, rank_detections, summarize
from linbench.metrics.coco_entries import Area, BadEntry, Entries, Iou, read_entries
from linbench.metrics.coco_matching import Matcher
from linbench.metrics.intervals import basic_interval, resample_counts
from linbench.metrics.iou import RATIO


@dataclass(frozen=True)
class CocoEvaluation:
    """Detections matched with annotations.

    images: Ids, in ascending order; a Ranking refers to images by their index here.
    categories: Ids, in ascending order.
    rankings: A ranking for each category.
    max_dets: Detections of an image and category that count, for the three recalls; the last for the precisions.
    bad: Entries that are left out.
    """

    images: list[Any]
    categories: list[Any]
    rankings: list[Ranking]
    max_dets: tuple[int, int, int]
    bad: list[BadEntry]

    def metrics(self) -> dict[str, float]:
        """Return ``map map50 map75 map_s map_m map_l ar1 ar10 ar100 ar_s ar_m ar_l``, 0 to 1.

        NaN where no object counts.
        """
        return summarize(self.rankings, self.max_dets)

    def resampled_metrics(self, resample_counts: NDArray[np.int64]) -> dict[str, float]:
        """Return the metrics where each image counts ``resample_counts`` times, in the order of ``images``."""
        return summarize(self.rankings, self.max_dets, resample_counts)

    def intervals(self, seed: int, resamples: int = 200) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval of each metric under resampling of images; each resample is a whole dataset.

        The matches of an image do not depend on other images, so only the sums over images are computed again.
        resamples: At val2017's size 200 take a quarter of a minute.
        """
        draws = resample_counts(len(self.images), resamples, seed)
        samples = [self.resampled_metrics(counts) for counts in draws]
        return {
            name: basic_interval(value, np.array([sample[name] for sample in samples]))
            for name, value in self.metrics().items()
        }

    def by_image(self) -> dict[str, list[Any]]:
        """Return columns by image: id, objects that count, true positives at IoU 0.5 and 0.75, false ones at 0.5."""
        columns = np.zeros((4, len(self.images)), np.int64)
        for ranking in self.rankings:
            np.add.at(columns[0], ranking.target_images, ranking.targets[0])
            for column, flags in ((1, ranking.tp[0, 0]), (2, ranking.tp[0, 5]), (3, ranking.fp[0, 0])):
                np.add.at(columns[column], ranking.image, flags)
        names = ("objects", "found50", "found75", "wrong50")
        return {"id": list(self.images), **dict(zip(names, columns.tolist(), strict=True))}


def coco_metrics(annotations: Mapping[str, Any], detections: Iterable[Any], iou: Iou = "segm") -> dict[str, float]:
    """Return the twelve metrics; raises ValueError where an entry cannot be used, which ``coco_evaluation`` skips."""
    evaluation = coco_evaluation(annotations, detections, iou)
    if evaluation.bad:
        first = evaluation.bad[0]
        more = f", and {len(evaluation.bad) - 1} more" if len(evaluation.bad) > 1 else ""
        raise ValueError(f"{first.kind} {first.entry_index} of image {first.image}: {first.reason}{more}")
    return evaluation.metrics()


def coco_evaluation(
    annotations: Mapping[str, Any],
    detections: Iterable[Any],
    iou: Iou = "segm",
    *,
    ratio: float = RATIO,
    max_dets: tuple[int, int, int] = (1, 10, 100),
    area: Area = "mask",
) -> CocoEvaluation:
    """Match detections with annotations.

    annotations: The content of COCO's file: ``images`` with height and width, ``annotations``, ``categories``.
    detections: ``{"image_id", "category_id", "score", "segmentation" or "bbox"}``, masks as run lengths.
    iou: What is compared: ``segm``, ``bbox`` or ``boundary``.
    ratio: Of a boundary's width to the image's diagonal.
    max_dets: ``(100, 300, 1000)`` is what mmdetection and RWKV-SAM use.
    area: ``mask`` or ``box``, see above. With ``bbox`` it is the box's.
    """
    for name, value, allowed in (("iou", iou, get_args(Iou)), ("area", area, get_args(Area))):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if max_dets[0] > max_dets[1] or max_dets[1] > max_dets[2] or 100 not in max_dets:
        raise ValueError(f"max_dets must be three ascending numbers with 100 among them, for `map`, got {max_dets}")
    entries = read_entries(annotations, detections, iou, area)
    matcher = Matcher(iou, ratio, max_dets[-1])
    rankings = [_ranking(category, entries, matcher) for category in entries.categories]
    return CocoEvaluation(list(entries.images), entries.categories, rankings, max_dets, entries.bad)


def _ranking(category: Any, entries: Entries, matcher: Matcher) -> Ranking:
    matches = []
    for index, (image, size) in enumerate(entries.images.items()):
        targets = entries.targets.get((image, category), [])
        candidates = entries.candidates.get((image, category), [])
        if targets or candidates:
            matches.append((index, matcher(targets, candidates, size)))
    return rank_detections(matches)

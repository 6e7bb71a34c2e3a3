"""COCO's average precision of masks, boxes and boundaries, on pycocotools.

    evaluation = coco_evaluation(annotations, detections, "boundary")
    evaluation.metrics()            # the twelve numbers
    evaluation.intervals(seed=0)    # 95 % of each, over images
    evaluation.bad                  # entries that were left out, with the reason

Run lengths, polygons and IoU are pycocotools' own, and so is the matching (``COCOeval.evaluateImg``). Masks stay run
lengths; those of one image and category at a time are decoded. What differs between programs is stated:

- A detection that matches nothing counts in the class of size of its mask's area. pycocotools takes the area of its
  ``bbox`` where it has one, which moves AP by size (0.35 to 0.54 in one of our tests) and nothing else;
  ``area="box"`` does the same.
- Boundary AP matches on the smaller of mask IoU and boundary IoU; with a crowd, on the mask IoU alone. A pair whose
  mask IoU is below every threshold needs no boundary.
- Equal scores keep the order of the file within an image, and that of the image ids between images.
- Objects are numbered anew: pycocotools counts a match with an object of id 0 as none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.average_precision import Ranking, ranking, twelve
from linbench.metrics.boundary import RATIO
from linbench.metrics.coco_entries import Area, BadEntry, Entries, Iou, entries
from linbench.metrics.coco_matching import Matcher
from linbench.metrics.intervals import basic_interval, resample_counts


@dataclass(frozen=True)
class CocoEvaluation:
    """How detections fit annotations.

    images: Ids, in ascending order; a Ranking counts images by their place here.
    categories: Ids, in ascending order.
    rankings: One for each category.
    most: Detections of an image and category that count, for the three recalls; the last for the precisions.
    bad: Entries that were left out.
    """

    images: list[Any]
    categories: list[Any]
    rankings: list[Ranking]
    most: tuple[int, int, int]
    bad: list[BadEntry]

    def metrics(self) -> dict[str, float]:
        """``map map50 map75 map_s map_m map_l ar1 ar10 ar100 ar_s ar_m ar_l``, 0 to 1; NaN where no object counts."""
        return twelve(self.rankings, self.most)

    def metrics_of(self, draws: NDArray[np.int64]) -> dict[str, float]:
        """The same where each image counts as often as ``draws`` says, in the order of ``images``."""
        return twelve(self.rankings, self.most, draws)

    def intervals(self, seed: int, resamples: int = 200) -> dict[str, tuple[float, float]]:
        """The 95 % interval of each number under resampling of images: each draw is evaluated as a whole set.

        The matches of an image do not depend on other images, so that only the sums over images are taken anew.
        resamples: At val2017's size 200 take a quarter of a minute.
        """
        draws = resample_counts(len(self.images), resamples, seed)
        found = [self.metrics_of(counts) for counts in draws]
        return {
            name: basic_interval(value, np.array([one[name] for one in found]))
            for name, value in self.metrics().items()
        }

    def by_image(self) -> dict[str, list[Any]]:
        """Columns by image: id, objects that count, of these found at IoU 0.5 and 0.75, wrong detections at 0.5."""
        columns = np.zeros((4, len(self.images)), np.int64)
        for one in self.rankings:
            np.add.at(columns[0], one.with_targets, one.targets[0])
            for column, flags in ((1, one.right[0, 0]), (2, one.right[0, 5]), (3, one.wrong[0, 0])):
                np.add.at(columns[column], one.image, flags)
        names = ("objects", "found50", "found75", "wrong50")
        return {"id": list(self.images), **dict(zip(names, columns.tolist(), strict=True))}


def coco_metrics(annotations: Mapping[str, Any], detections: Iterable[Any], iou: Iou = "segm") -> dict[str, float]:
    """The twelve numbers; raises ValueError where an entry cannot be used. ``coco_evaluation`` goes on without it."""
    evaluation = coco_evaluation(annotations, detections, iou)
    if evaluation.bad:
        first = evaluation.bad[0]
        more = f", and {len(evaluation.bad) - 1} more" if len(evaluation.bad) > 1 else ""
        raise ValueError(f"{first.kind} {first.place} of image {first.image}: {first.reason}{more}")
    return evaluation.metrics()


def coco_evaluation(
    annotations: Mapping[str, Any],
    detections: Iterable[Any],
    iou: Iou = "segm",
    *,
    ratio: float = RATIO,
    most: tuple[int, int, int] = (1, 10, 100),
    area: Area = "mask",
) -> CocoEvaluation:
    """Match detections with annotations.

    annotations: The content of COCO's file: ``images`` with height and width, ``annotations``, ``categories``.
    detections: ``{"image_id", "category_id", "score", "segmentation" or "bbox"}``, masks as run lengths.
    iou: What is compared: ``segm``, ``bbox`` or ``boundary``.
    ratio: Of a boundary's width to the image's diagonal.
    most: ``(100, 300, 1000)`` is what mmdetection and RWKV-SAM use.
    area: ``mask`` or ``box``, see above. With ``bbox`` it is the box's.
    """
    for name, value, allowed in (("iou", iou, get_args(Iou)), ("area", area, get_args(Area))):
        if value not in allowed:
            raise ValueError(f"{name} is one of {', '.join(allowed)}; found {value!r}")
    if most[0] > most[1] or most[1] > most[2] or 100 not in most:
        raise ValueError(f"most is three ascending numbers with 100 among them, which `map` is of; found {most}")
    found = entries(annotations, detections, iou, area)
    matcher = Matcher(iou, ratio, most[-1])
    rankings = [_ranking(category, found, matcher) for category in found.categories]
    return CocoEvaluation(list(found.images), found.categories, rankings, most, found.bad)


def _ranking(category: Any, found: Entries, matcher: Matcher) -> Ranking:
    matches = []
    for number, (image, size) in enumerate(found.images.items()):
        targets = found.targets.get((image, category), [])
        candidates = found.candidates.get((image, category), [])
        if targets or candidates:
            matches.append((number, matcher(targets, candidates, size)))
    return ranking(matches)

"""A detector's results in COCO's format, as of ViTDet-H: boxes by picture, compact, in the order of the file."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.coco_entry import measure_fault
from linbench.data.contract import BadDataset, Fault
from linbench.data.json_file import entries
from linbench.data.listing import content_of


@dataclass(frozen=True)
class Detection:
    """One box of a picture.

    box: x, y, w, h in px, as COCO has it.
    category: The file's own id of its class.
    place: Its entry in the file, from 0 on.
    """

    box: tuple[float, float, float, float]
    score: float
    category: int
    place: int


@dataclass(frozen=True)
class Detections:
    """The boxes of a file; entries with a fault are left out and named in ``faults``.

    images: The file's picture ids, sorted; those of one picture in the order of the file.
    """

    file: Path
    images: NDArray[np.int64]
    boxes: NDArray[np.float64]  # x y w h
    scores: NDArray[np.float64]
    categories: NDArray[np.int64]
    places: NDArray[np.int64]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return content_of(self.file).hex()

    def of(self, image: int) -> list[Detection]:
        """The boxes of a picture, none where the file has none."""
        first, end = np.searchsorted(self.images, [image, image + 1])
        rows = zip(
            self.boxes[first:end].tolist(),
            self.scores[first:end].tolist(),
            self.categories[first:end].tolist(),
            self.places[first:end].tolist(),
            strict=True,
        )
        return [Detection((x, y, w, h), score, category, place) for (x, y, w, h), score, category, place in rows]


def boxes_of(file: Path) -> Detections:
    """The boxes of a COCO results file; raises BadDataset where it is none or is cut off."""
    images, categories, places = array("q"), array("q"), array("q")
    boxes, scores = array("d"), array("d")
    faults: list[Fault] = []
    seen: set[int | str] = set()
    try:
        for place, entry in enumerate(entries(file)):
            if entry.of:
                raise ValueError(f"{file}: an object with `{entry.of}`, not a list as a detector's results are")
            value = entry.value if isinstance(entry.value, dict) else {}
            if reason := _fault(value, seen):
                number, image = value.get("id", f"at byte {entry.begin:,}"), str(value.get("image_id", ""))
                faults.append(Fault(image, str(file), f"detection {number}, of picture {image or '?'}: {reason}"))
                continue
            images.append(value["image_id"])
            categories.append(value["category_id"])
            places.append(place)
            boxes.extend(value["bbox"])
            scores.append(value["score"])
            if "id" in value:
                seen.add(value["id"])
    except ValueError as error:
        raise BadDataset(str(error)) from error
    by_image = np.array(images, np.int64)
    order = np.argsort(by_image, kind="stable")
    return Detections(
        file,
        images=by_image[order],
        boxes=np.array(boxes, np.float64).reshape(-1, 4)[order],
        scores=np.array(scores, np.float64)[order],
        categories=np.array(categories, np.int64)[order],
        places=np.array(places, np.int64)[order],
        faults=tuple(faults),
    )


def _fault(value: Mapping[str, Any], seen: set[int | str]) -> str:
    """What is wrong with a detection, in a few words; empty where nothing is."""
    for name in ("image_id", "category_id"):
        if type(value.get(name)) is not int or abs(value[name]) >= 2**63:
            return f"{name} {str(value.get(name))[:40]} is no number"
    if value.get("bbox") is None:
        return "no bbox"
    score = value.get("score")
    if not isinstance(score, int | float) or not -1e9 < score < 1e9:  # NaN is not either
        return f"score {str(score)[:40]} is no finite number"
    if "id" in value and (not isinstance(value["id"], int | str) or value["id"] in seen):
        return "a second detection of this id" if isinstance(value["id"], int | str) else "its id is no number"
    return measure_fault(value)

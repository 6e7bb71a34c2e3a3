"""A detector's results in COCO's format, as of ViTDet-H: boxes by image, compact, in the order of the file.

An image is found by the text of its id: 1, 1.0 and "1" name the image whose sample has the id "1".
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.coco_entry import box_fault, identifier, score_fault
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
    category: int | str
    place: int


@dataclass(frozen=True)
class Detections:
    """The boxes of a file; entries with a fault are left out and named in ``faults``.

    images: The number of each image in ``images_at``, by the text of its id.
    images_at: The image of each box by that number, ascending; those of one image in the order of the file.
    boxes: x, y, w, h in px.
    categories: The file's own ids of classes; ``categories_at`` are places here.
    places: The entry of each box in the file, from 0 on.
    """

    file: Path
    images: Mapping[str, int]
    images_at: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: tuple[int | str, ...]
    categories_at: NDArray[np.int64]
    places: NDArray[np.int64]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.images_at)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return content_of(self.file).hex()

    def of(self, image: int | str) -> list[Detection]:
        """The boxes of an image by its id, none where the file has none."""
        number = self.images.get(str(image), -1)
        first, end = np.searchsorted(self.images_at, [number, number + 1])
        rows = zip(
            self.boxes[first:end].tolist(),
            self.scores[first:end].tolist(),
            self.categories_at[first:end].tolist(),
            self.places[first:end].tolist(),
            strict=True,
        )
        return [
            Detection((x, y, w, h), score, self.categories[category], place)
            for (x, y, w, h), score, category, place in rows
        ]


def boxes_of(file: Path) -> Detections:
    """The boxes of a COCO results file; raises BadDataset where it is none or is cut off."""
    images: dict[str, int] = {}
    categories: dict[int | str, int] = {}
    images_at, categories_at, places = array("q"), array("q"), array("q")
    boxes, scores = array("d"), array("d")
    faults: list[Fault] = []
    seen: set[int | str] = set()
    try:
        for place, entry in enumerate(entries(file)):
            if entry.of:
                raise ValueError(f"{file}: an object with `{entry.of}`, not a list as a detector's results are")
            value = entry.value if isinstance(entry.value, dict) else {}
            image, category, number = (identifier(value.get(name)) for name in ("image_id", "category_id", "id"))
            if (reason := _fault(value, seen)) or image is None or category is None:
                said = f"at byte {entry.begin:,}" if number is None else number
                of = "" if image is None else str(image)
                faults.append(Fault(of, str(file), f"detection {said}, of picture {of or '?'}: {reason}"))
                continue
            images_at.append(images.setdefault(str(image), len(images)))
            categories_at.append(categories.setdefault(category, len(categories)))
            places.append(place)
            boxes.extend(value["bbox"])
            scores.append(value["score"])
            if number is not None:
                seen.add(number)
    except ValueError as error:
        raise BadDataset(str(error)) from error
    by_image = np.array(images_at, np.int64)
    order = np.argsort(by_image, kind="stable")
    return Detections(
        file,
        images=images,
        images_at=by_image[order],
        boxes=np.array(boxes, np.float64).reshape(-1, 4)[order],
        scores=np.array(scores, np.float64)[order],
        categories=tuple(categories),
        categories_at=np.array(categories_at, np.int64)[order],
        places=np.array(places, np.int64)[order],
        faults=tuple(faults),
    )


def _fault(value: Mapping[str, Any], seen: set[int | str]) -> str:
    """Say what is wrong with a detection, in a few words; empty where nothing is."""
    for name in ("image_id", "category_id"):
        if identifier(value.get(name)) is None:
            return f"{name} {repr(value.get(name))[:40]} is neither a whole number nor text"
    if value.get("bbox") is None:
        return "no bbox"
    if reason := score_fault(value.get("score")):
        return reason
    if value.get("id") is not None:
        number = identifier(value["id"])
        if number is None or number in seen:
            return "its id is neither a whole number nor text" if number is None else "a second detection of this id"
    return box_fault(value)

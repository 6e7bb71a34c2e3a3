"""A detector's results in COCO's format, as of ViTDet-H: boxes by image, compact, in the order of the file.

An image is looked up by the text of its id: 1, 1.0 and "1" name the image whose sample has the id "1".
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import box_fault, identifier, score_fault
from linbench.coco.json_file import entries
from linbench.system.untrusted import Fault, file_digest


@dataclass(frozen=True)
class Detection:
    """One box of an image.

    box: x, y, w, h in px, as COCO has it.
    category: The file's own id of its class.
    index: Its entry in the file, from 0 on.
    """

    box: tuple[float, float, float, float]
    score: float
    category: int | str
    index: int


@dataclass(frozen=True)
class DetectionResults:
    """The boxes of a file; entries with a fault are left out and listed in ``faults``.

    images: The number of each image in ``image_numbers``, by the text of its id.
    image_numbers: The image of each box by that number, ascending; those of one image in the order of the file.
    boxes: x, y, w, h in px.
    categories: The file's own ids of classes; ``category_indices`` refer to it.
    indices: The entry of each box in the file, from 0 on.
    """

    file: Path
    images: Mapping[str, int]
    image_numbers: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: tuple[int | str, ...]
    category_indices: NDArray[np.int64]
    indices: NDArray[np.int64]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.image_numbers)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return file_digest(self.file).hex()

    def of_image(self, image: int | str) -> list[Detection]:
        """Return the boxes of an image by its id, none where the file has none."""
        number = self.images.get(str(image), -1)
        first, end = np.searchsorted(self.image_numbers, [number, number + 1])
        rows = zip(
            self.boxes[first:end].tolist(),
            self.scores[first:end].tolist(),
            self.category_indices[first:end].tolist(),
            self.indices[first:end].tolist(),
            strict=True,
        )
        return [
            Detection((x, y, w, h), score, self.categories[category], index)
            for (x, y, w, h), score, category, index in rows
        ]


def read_results(file: Path) -> DetectionResults:
    """Read the boxes of a COCO results file; raises ValueError where it is none or is cut off."""
    images: dict[str, int] = {}
    categories: dict[int | str, int] = {}
    image_numbers, category_indices, indices = array("q"), array("q"), array("q")
    boxes, scores = array("d"), array("d")
    faults: list[Fault] = []
    ids: set[int | str] = set()
    for index, entry in enumerate(entries(file)):
        if entry.list_name:
            raise ValueError(f"{file}: an object with `{entry.list_name}`, not a list as a detector's results are")
        value = entry.value if isinstance(entry.value, dict) else {}
        image, category, number = (identifier(value.get(name)) for name in ("image_id", "category_id", "id"))
        if (reason := _fault(value, ids)) or image is None or category is None:
            label = f"at byte {entry.begin:,}" if number is None else number
            image_id = "" if image is None else str(image)
            faults.append(Fault(image_id, str(file), f"detection {label}, of image {image_id or '?'}: {reason}"))
            continue
        image_numbers.append(images.setdefault(str(image), len(images)))
        category_indices.append(categories.setdefault(category, len(categories)))
        indices.append(index)
        boxes.extend(value["bbox"])
        scores.append(value["score"])
        if number is not None:
            ids.add(number)
    by_image = np.array(image_numbers, np.int64)
    order = np.argsort(by_image, kind="stable")
    return DetectionResults(
        file,
        images=images,
        image_numbers=by_image[order],
        boxes=np.array(boxes, np.float64).reshape(-1, 4)[order],
        scores=np.array(scores, np.float64)[order],
        categories=tuple(categories),
        category_indices=np.array(category_indices, np.int64)[order],
        indices=np.array(indices, np.int64)[order],
        faults=tuple(faults),
    )


def _fault(value: Mapping[str, Any], ids: set[int | str]) -> str:
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
        if number is None or number in ids:
            return "its id is neither a whole number nor text" if number is None else "a second detection of this id"
    return box_fault(value)

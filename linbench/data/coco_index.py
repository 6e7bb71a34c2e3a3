"""Where the annotations of each picture stand in a COCO file: numbers only, so that a million of them take 40 MB."""

import json
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import BadDataset, BadSample, Fault
from linbench.data.image import MOST_PIXELS
from linbench.data.json_file import Entry, entries
from linbench.data.listing import inside
from linbench.data.picture import picture

#: What is wrong with an annotation of a picture of a size (h, w); empty where nothing is.
Check = Callable[[Mapping[str, Any], tuple[int, int]], str]


@dataclass(frozen=True)
class Index:
    """The pictures of a COCO file in its order, and the bytes of their annotations.

    ids, names, sizes: Of the pictures; a size is height and width in px, 0 where the file states none.
    first: Of each picture, where its annotations begin in ``spans``; one more at the end.
    spans: First byte and end of each annotation, and its category.
    categories: The file's own entries, in its order.
    reasons: What is wrong with a picture's annotations, by its place.
    """

    file: Path
    ids: NDArray[np.int64]
    names: NDArray[np.bytes_]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    spans: NDArray[np.int64]
    categories: tuple[Mapping[str, Any], ...]
    faults: tuple[Fault, ...]
    reasons: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, place: int) -> str:
        """The file name of a picture, below the folder of pictures."""
        return bytes(self.names[place]).decode()

    def size(self, place: int) -> tuple[int, int]:
        """Height and width of a picture, px."""
        h, w = self.sizes[place]
        return int(h), int(w)

    def picture(self, place: int, folders: tuple[Path, ...]) -> NDArray[np.uint8]:
        """A picture, from the first of the folders that has it; raises BadSample."""
        if 0 in self.size(place):
            raise BadSample(self.reasons[place])
        try:
            tried = [inside(folder, self.name(place)) for folder in folders]
        except ValueError as error:
            raise BadSample(str(error)) from error
        return picture(next((path for path in tried if path.is_file()), tried[0]), self.size(place))

    def annotations(self, place: int) -> list[dict[str, Any]]:
        """The annotations of a picture, read from the file; raises BadSample where one of them has a fault."""
        if reason := self.reasons.get(place):
            raise BadSample(reason)
        spans = self.spans[self.first[place] : self.first[place + 1]]
        found = []
        try:
            with self.file.open("rb") as stream:
                for begin, end, _ in spans.tolist():
                    stream.seek(begin)
                    found.append(json.loads(stream.read(end - begin)))
        except (OSError, ValueError) as error:
            raise BadSample(f"{self.file}: it has changed since it was opened: {error}") from error
        return found


def read_index(file: Path, folder: Path, check: Check, *, classes: bool) -> Index:
    """Read a COCO file once; raises BadDataset where it is no JSON or has no pictures.

    folder: Of the pictures, which no file name may leave.
    check: Is asked of each annotation of a known picture.
    classes: Whether each annotation must be of one of the file's categories.
    """
    reading = _Reading(file, folder, check, classes)
    early = False
    try:
        for entry in entries(file):
            if entry.of == "images":
                reading.image(entry)
            elif entry.of == "categories":
                reading.category(entry)
            elif entry.of == "annotations" and reading.ids:
                reading.annotation(entry)
            elif entry.of == "annotations":
                early = True
        for entry in entries(file) if early and reading.ids else ():  # annotations stand before the pictures
            if entry.of == "annotations":
                reading.annotation(entry)
    except ValueError as error:
        raise BadDataset(str(error)) from error
    if not reading.ids:
        raise BadDataset(f"{file}: it lists no `images`; it is no COCO annotation file")
    return reading.index()


class _Reading:
    """What has been read of a file so far."""

    def __init__(self, file: Path, folder: Path, check: Check, classes: bool) -> None:
        self.file, self.folder, self.check, self.classes = file, folder, check, classes
        self.categories: dict[int, Mapping[str, Any]] = {}
        self.places: dict[int, int] = {}
        self.ids: list[int] = []
        self.names: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.seen: set[int] = set()
        self.table = array("q")  # rows: place of the picture, first byte, end, category, id; -1 where there is none
        self.faults: list[Fault] = []
        self.reasons: dict[int, str] = {}

    def image(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        number, name, h, w = (value.get(key) for key in ("id", "file_name", "height", "width"))
        if not _whole(number):
            self.fault("", f"a picture without a number as `id`, at byte {entry.begin:,}")
        elif number in self.places:
            self.fault(str(number), f"a second picture of the id {number}, at byte {entry.begin:,}")
        else:
            place = self.places[number] = len(self.ids)
            self.ids.append(number)
            self.names.append(name.encode() if isinstance(name, str) else b"")
            self.sizes.append((h, w) if _whole(h) and _whole(w) and h > 0 and 0 < h * w <= MOST_PIXELS else (0, 0))
            try:
                inside(self.folder, name if isinstance(name, str) else "")
                if 0 in self.sizes[-1]:
                    raise ValueError(f"its height and width are {str(h)[:20]} and {str(w)[:20]}")
            except ValueError as error:
                self.fault(str(number), f"picture {number}: {error}", place)

    def annotation(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        image, number = value.get("image_id"), value.get("id")
        said = f"annotation {number if _whole(number) else f'at byte {entry.begin:,}'}"
        place = self.places.get(image) if _whole(image) else None
        if place is None:
            self.fault(str(image), f"{said} is of an unknown picture, image_id {str(image)[:40]}")
            return
        if _whole(number) and number in self.seen:
            reason = f"a second annotation of the id {number}"
        else:
            reason = self.check(value, self.sizes[place])
        if _whole(number):
            self.seen.add(number)
        if reason:
            self.fault(str(image), f"{said}, of picture {image}: {reason}", place)
        row = (value.get("category_id"), number)
        self.table.extend((place, entry.begin, entry.end, *(n if _whole(n) else -1 for n in row)))

    def category(self, entry: Entry) -> None:
        number = entry.value.get("id") if isinstance(entry.value, dict) else None
        if not _whole(number) or number in self.categories:
            self.fault("", f"a category whose id is {str(number)[:40]}, which is no number or another's")
        else:
            self.categories[number] = entry.value

    def fault(self, image: str, reason: str, place: int | None = None) -> None:
        self.faults.append(Fault(image, str(self.file), reason))
        if place is not None:
            self.reasons.setdefault(place, f"{self.file}: {reason}")

    def index(self) -> Index:
        table = np.frombuffer(self.table, np.int64).reshape(-1, 5)
        known = np.isin(table[:, 3], list(self.categories)) | (not self.classes)
        for place, _, _, category, number in table[~known].tolist():
            image = self.ids[place]
            said = f"annotation {number}, of picture {image}: "
            self.fault(str(image), f"{said}category_id {category} is none of the file's `categories`", place)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return Index(
            file=self.file,
            ids=np.array(self.ids, np.int64),
            names=np.array(self.names, np.bytes_),
            sizes=np.array(self.sizes, np.int64),
            first=np.searchsorted(table[:, 0], np.arange(len(self.ids) + 1)),
            spans=np.ascontiguousarray(table[:, 1:4]),
            categories=tuple(self.categories.values()),
            faults=tuple(self.faults),
            reasons=self.reasons,
        )


def _whole(number: Any) -> TypeGuard[int]:
    return type(number) is int and abs(number) < 2**63

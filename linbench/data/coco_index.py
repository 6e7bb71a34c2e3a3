"""Where the annotations of each image stand in a COCO file: numbers only, so that a million of them take 40 MB.

The file is read and validated once. What is left out then is in no sample, so a suite and its summary see the same
objects.
"""

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.coco_entry import UNPRINTED, identifier, whole
from linbench.data.contract import BadDataset, BadSample, Fault
from linbench.data.image import MOST_PIXELS, stored_image
from linbench.data.json_file import Entry, entries
from linbench.data.listing import inside

#: Why an annotation of an image of a size (h, w) is left out; empty where it counts.
Check = Callable[[Mapping[str, Any], tuple[int, int]], str]
#: What is unusual about an annotation that counts; empty where nothing is.
Remark = Callable[[Mapping[str, Any]], str]
LONGEST_NAME = 1000  # characters of a file name with its folders; all names take as much memory as the longest
ROW = 5  # numbers that are kept of an annotation while the file is read


@dataclass(frozen=True)
class Index:
    """The images of a COCO file in its order, and the bytes of their annotations that count.

    ids, names, sizes: Of the images; a size is height and width in px, 0 where the file states none.
    first: Of each image, where its annotations begin in ``spans``; one more at the end.
    spans: First byte and end of each annotation.
    categories: The file's own entries by their ids, in its order.
    faults: What is left out.
    notes: A line each on what is read although it is unusual.
    reasons: Why an image cannot be used, by its place.
    left_out: The first fault of the annotations of an image, by its place.
    """

    file: Path
    ids: NDArray[np.int64] | Sequence[int | str]
    names: NDArray[np.bytes_]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    spans: NDArray[np.int64]
    categories: Mapping[int | str, Mapping[str, Any]]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    reasons: Mapping[int, str]
    left_out: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbered(self) -> bool:
        """Whether all ids of images are whole numbers, and not text."""
        return isinstance(self.ids, np.ndarray)

    def name(self, place: int) -> str:
        """The file name of an image, below the folder of images."""
        return bytes(self.names[place]).decode()

    def size(self, place: int) -> tuple[int, int]:
        """Height and width of an image, px."""
        h, w = self.sizes[place]
        return int(h), int(w)

    def image(self, place: int, folders: tuple[Path, ...]) -> NDArray[np.uint8]:
        """An image, from the first of the folders that has it; raises BadSample."""
        if reason := self.reasons.get(place):
            raise BadSample(reason)
        tried = [inside(folder, self.name(place)) for folder in folders]
        return stored_image(next((path for path in tried if path.is_file()), tried[0]), self.size(place))

    def annotations(self, place: int) -> list[dict[str, Any]]:
        """The annotations of an image that count, read from the file; raises BadSample where the image is bad."""
        if reason := self.reasons.get(place):
            raise BadSample(reason)
        spans = self.spans[self.first[place] : self.first[place + 1]]
        found = []
        try:
            with self.file.open("rb") as stream:
                for begin, end in spans.tolist():
                    stream.seek(begin)
                    entry = json.loads(stream.read(end - begin))
                    if not isinstance(entry, dict) or identifier(entry.get("image_id")) != self.ids[place]:
                        raise ValueError(f"another entry stands at byte {begin:,}")
                    found.append(entry)
        except (OSError, ValueError) as error:
            raise BadSample(f"{self.file}: it has changed since it was opened: {error}") from error
        return found


def read_index(file: Path, folder: Path, check: Check, *, classes: bool, remark: Remark = lambda entry: "") -> Index:
    """Read a COCO file once; raises BadDataset where it is no JSON or has no images.

    folder: Of the images, which no file name may leave.
    check: Is asked of each annotation of a known image.
    classes: Whether each annotation must be of one of the file's categories.
    remark: Is asked of each annotation that counts.
    """
    reading = _Reading(file, folder, check, remark, classes)
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
        for entry in entries(file) if early and reading.ids else ():  # annotations stand before the images
            if entry.of == "annotations":
                reading.annotation(entry)
    except ValueError as error:
        raise BadDataset(str(error)) from error
    if not reading.ids:
        first = f"; the first: {reading.faults[0].reason}" if reading.faults else ""
        raise BadDataset(f"{file}: it lists no `images` that can be used; is it a COCO annotation file?{first}")
    return reading.index()


class _Notes:
    """How often something unusual was read, and where first."""

    def __init__(self, kind: str) -> None:
        self.kind, self.times, self.first = kind, 0, ""

    def add(self, example: str) -> None:
        self.times += 1
        self.first = self.first or example

    def line(self) -> str:
        return f"{self.kind}: {self.times:,}; the first: {self.first}"


class _Reading:
    """What has been read of a file so far."""

    def __init__(self, file: Path, folder: Path, check: Check, remark: Remark, classes: bool) -> None:
        self.file, self.folder, self.check, self.remark, self.classes = file, folder, check, remark, classes
        self.categories: dict[int | str, Mapping[str, Any]] = {}
        self.category_texts: set[str] = set()  # of their ids, by which detections find them
        self.places: dict[int | str, int] = {}
        self.texts: set[str] = set()  # of the ids of images, which name samples: 1 and "1" would be one
        self.ids: list[int | str] = []
        self.names: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.seen: set[int | str] = set()
        self.codes: dict[int | str, int] = {}  # of the categories that annotations name
        self.table = array("q")  # rows: place of the image, first byte, end, code of the category, id or -1
        self.faults: list[Fault] = []
        self.reasons: dict[int, str] = {}
        self.left_out: dict[int, str] = {}
        self.decimal = _Notes("ids with a decimal point, read as the whole numbers that they are")
        self.turned = _Notes("file names with backslashes, read with /")
        self.remarks = _Notes("annotations that count without their box or a part of their polygons")

    def image(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        key, name, height, width = (value.get(key) for key in ("id", "file_name", "height", "width"))
        number, h, w = self._id(value, "id", entry.begin), whole(height), whole(width)
        if number is None:
            said = "a picture whose id is neither a whole number nor text"
            self.fault("", f"{said}: {_short(key)}, at byte {entry.begin:,}")
            return
        if str(number) in self.texts:
            self.fault(str(number), f"a second picture of the id {number}, at byte {entry.begin:,}")
            return
        place = self.places[number] = len(self.ids)
        self.texts.add(str(number))
        self.ids.append(number)
        self.sizes.append((h, w) if h and w and min(h, w) > 0 and h * w <= MOST_PIXELS else (0, 0))
        try:
            self.names.append(self._name(name).encode())
            if 0 in self.sizes[-1]:
                raise ValueError(f"its height and width are {_short(height)} and {_short(width)}")
        except ValueError as error:
            self.names += [b""] * (len(self.ids) - len(self.names))
            self.reasons[place] = self.fault(str(number), f"picture {number}: {error}")

    def _name(self, name: Any) -> str:
        """The file name of an image with /; raises ValueError where it leads out of the folder or is none."""
        text = name if isinstance(name, str) else ""
        if UNPRINTED.search(text) or len(text) > LONGEST_NAME:
            raise ValueError(f"the file name {_short(name)} is too long or holds control characters")
        turned = text.replace("\\", "/")
        inside(self.folder, turned)
        if turned != text:
            self.turned.add(_short(text))
        return turned

    def annotation(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        image, number, category = (self._id(value, name, entry.begin) for name in ("image_id", "id", "category_id"))
        place = None if image is None else self.places.get(image)
        if place is None:
            stated = value.get("image_id")
            reason = f"{_name_of(number, entry.begin)} is of an unknown picture, image_id {_short(stated)}"
            self.fault(str(stated)[:40], reason)
        elif place not in self.reasons:  # of a bad image, which is one fault, none counts
            if number is not None and number in self.seen:
                reason = f"a second annotation of the id {number}"
            elif self.classes and category is None:
                reason = _unknown(value.get("category_id"))
            else:
                reason = self.check(value, self.sizes[place])
            if reason:
                self.leave_out(place, _name_of(number, entry.begin), reason)
            else:
                code = -1 if category is None else self.codes.setdefault(category, len(self.codes))
                own = number if isinstance(number, int) else -1
                self.table.extend((place, entry.begin, entry.end, code, own))
                if unusual := self.remark(value):
                    self.remarks.add(f"{_name_of(number, entry.begin)}, of picture {image}: {unusual}")
        if number is not None:
            self.seen.add(number)

    def category(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        number = self._id(value, "id", entry.begin)
        if number is None or str(number) in self.category_texts:
            self.fault("", f"a category whose id is {_short(value.get('id'))}, which is no id or another's")
        else:
            self.category_texts.add(str(number))
            self.categories[number] = value

    def _id(self, value: Mapping[str, Any], name: str, begin: int) -> int | str | None:
        """The id that an entry has under a name, None where that is none."""
        stated = value.get(name)
        number = identifier(stated)
        if type(stated) is float and number is not None:
            self.decimal.add(f"{name} {stated}, at byte {begin:,}")
        return number

    def leave_out(self, place: int, name: str, reason: str) -> None:
        """Name an annotation of an image as a fault."""
        image = self.ids[place]
        self.left_out.setdefault(place, self.fault(str(image), f"{name}, of picture {image}: {reason}"))

    def fault(self, image: str, reason: str) -> str:
        """Keep a fault; returns what an error says of it."""
        self.faults.append(Fault(image, str(self.file), reason))
        return f"{self.file}: {reason}"

    def index(self) -> Index:
        table = np.frombuffer(self.table, np.int64).reshape(-1, ROW)
        if self.classes:
            table = self._of_categories(table)
        table = table[np.argsort(table[:, 0], kind="stable")]
        numbered = all(isinstance(one, int) for one in self.ids)
        return Index(
            file=self.file,
            ids=np.array(self.ids, np.int64) if numbered else tuple(self.ids),
            names=np.array(self.names, np.bytes_),
            sizes=np.array(self.sizes, np.int64),
            first=np.searchsorted(table[:, 0], np.arange(len(self.ids) + 1)),
            spans=np.ascontiguousarray(table[:, 1:3]),
            categories=self.categories,
            faults=tuple(self.faults),
            notes=tuple(notes.line() for notes in (self.decimal, self.turned, self.remarks) if notes.times),
            reasons=self.reasons,
            left_out=self.left_out,
        )

    def _of_categories(self, table: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows whose category the file has; the others are faults, one in all where it lists no category."""
        if not self.categories:
            if len(table):
                self.fault("", f"it lists no `categories`, so none of its {len(table):,} annotations counts")
            return table[:0]
        ids = list(self.codes)
        known = np.isin(table[:, 3], [code for number, code in self.codes.items() if number in self.categories])
        for place, begin, _, code, number in table[~known].tolist():
            self.leave_out(place, _name_of(None if number < 0 else number, begin), _unknown(ids[code]))
        return table[known]


def _name_of(number: int | str | None, begin: int) -> str:
    return f"annotation {f'at byte {begin:,}' if number is None else number}"


def _unknown(category: Any) -> str:
    return f"category_id {_short(category)} is none of the file's `categories`"


def _short(value: Any) -> str:
    return repr(value)[:40]

"""The byte positions of each image's annotations in a COCO file: a million of them take 40 MB.

The file is read and validated once. Entries that are left out are in no sample, so a suite and its summary see the
same objects.
"""

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import identifier, whole
from linbench.coco.json_file import Entry, entries
from linbench.system.untrusted import MOST_PIXELS, UNPRINTABLE, Fault, inside

#: Says why an annotation of an image of a size (h, w) is left out; empty where it counts.
Check = Callable[[Mapping[str, Any], tuple[int, int]], str]
#: Says what is unusual about an annotation that counts; empty where nothing is.
Remark = Callable[[Mapping[str, Any]], str]
LONGEST_NAME = 1000  # characters of a file name with its folders; every name takes the memory of the longest
ROW = 5  # numbers that are stored of an annotation while the file is read


@dataclass(frozen=True)
class Index:
    """The images of a COCO file in its order, and the bytes of their annotations that count.

    ids, names, sizes: Of the images; a size is height and width in px, 0 where the file states none.
    first: For each image, the index in ``spans`` of its first annotation; one more at the end.
    spans: First byte and end of each annotation.
    categories: The file's own entries by their ids, in its order.
    faults: The entries that are left out.
    notes: One line for each kind of unusual entry that is read nevertheless.
    unusable: Why an image cannot be used, by its index.
    left_out: The first fault of the annotations of an image, by its index.
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
    unusable: Mapping[int, str]
    left_out: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_numbers(self) -> bool:
        """Whether all ids of images are whole numbers, and not text."""
        return isinstance(self.ids, np.ndarray)

    def name(self, index: int) -> str:
        """Return the file name of an image, below the folder of images."""
        return bytes(self.names[index]).decode()

    def size(self, index: int) -> tuple[int, int]:
        """Return the height and width of an image, px."""
        h, w = self.sizes[index]
        return int(h), int(w)

    def path(self, index: int, folders: Sequence[Path]) -> Path:
        """Return the file of an image in the first of the folders that has it; raises ValueError if unusable."""
        if reason := self.unusable.get(index):
            raise ValueError(reason)
        paths = [inside(folder, self.name(index)) for folder in folders]
        return next((path for path in paths if path.is_file()), paths[0])

    def annotations(self, index: int) -> list[dict[str, Any]]:
        """Read the annotations of an image that count; raises ValueError where it is unusable or the file changed."""
        if reason := self.unusable.get(index):
            raise ValueError(reason)
        spans = self.spans[self.first[index] : self.first[index + 1]]
        annotations = []
        try:
            with self.file.open("rb") as stream:
                for begin, end in spans.tolist():
                    stream.seek(begin)
                    entry = json.loads(stream.read(end - begin))
                    if not isinstance(entry, dict) or identifier(entry.get("image_id")) != self.ids[index]:
                        raise ValueError(f"another entry stands at byte {begin:,}")
                    annotations.append(entry)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.file}: it has changed since it was opened: {error}") from error
        return annotations


def read_index(file: Path, folder: Path, check: Check, *, classes: bool, remark: Remark = lambda entry: "") -> Index:
    """Read a COCO file once; raises ValueError where it is no JSON or has no images.

    folder: Of the images, which no file name may leave.
    check: Judges each annotation of a known image.
    classes: Whether each annotation must be of one of the file's categories.
    remark: Comments on each annotation that counts.
    """
    builder = _Builder(file, folder, check, remark, classes)
    annotations_first = False
    for entry in entries(file):
        if entry.list_name == "images":
            builder.add_image(entry)
        elif entry.list_name == "categories":
            builder.add_category(entry)
        elif entry.list_name == "annotations" and builder.ids:
            builder.add_annotation(entry)
        elif entry.list_name == "annotations":
            annotations_first = True
    for entry in entries(file) if annotations_first and builder.ids else ():
        if entry.list_name == "annotations":
            builder.add_annotation(entry)
    if not builder.ids:
        first = f"; the first: {builder.faults[0].reason}" if builder.faults else ""
        raise ValueError(f"{file}: it lists no `images` that can be used; is it a COCO annotation file?{first}")
    return builder.build()


class _Note:
    """The count of one kind of unusual entry, and its first example."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count, self.first = kind, 0, ""

    def add(self, example: str) -> None:
        self.count += 1
        self.first = self.first or example

    def line(self) -> str:
        return f"{self.kind}: {self.count:,}; the first: {self.first}"


class _Builder:
    """The index of a file, filled entry by entry."""

    def __init__(self, file: Path, folder: Path, check: Check, remark: Remark, classes: bool) -> None:
        self.file, self.folder, self.check, self.remark, self.classes = file, folder, check, remark, classes
        self.categories: dict[int | str, Mapping[str, Any]] = {}
        self.category_texts: set[str] = set()  # of their ids, by which detections refer to them
        self.image_index: dict[int | str, int] = {}
        self.image_texts: set[str] = set()  # of the ids of images, which name samples: 1 and "1" are the same
        self.ids: list[int | str] = []
        self.names: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.annotation_ids: set[int | str] = set()
        self.category_codes: dict[int | str, int] = {}  # of the categories that annotations name
        self.table = array("q")  # rows: index of the image, first byte, end, code of the category, id or -1
        self.faults: list[Fault] = []
        self.unusable: dict[int, str] = {}
        self.left_out: dict[int, str] = {}
        self.decimal = _Note("ids with a decimal point, read as the whole numbers that they are")
        self.backslashes = _Note("file names with backslashes, read with /")
        self.remarks = _Note("annotations that count without their box or a part of their polygons")

    def add_image(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        key, name, height, width = (value.get(key) for key in ("id", "file_name", "height", "width"))
        number, h, w = self._id(value, "id", entry.begin), whole(height), whole(width)
        if number is None:
            reason = "an image whose id is neither a whole number nor text"
            self.add_fault("", f"{reason}: {_short(key)}, at byte {entry.begin:,}")
            return
        if str(number) in self.image_texts:
            self.add_fault(str(number), f"a second image of the id {number}, at byte {entry.begin:,}")
            return
        index = self.image_index[number] = len(self.ids)
        self.image_texts.add(str(number))
        self.ids.append(number)
        self.sizes.append((h, w) if h and w and min(h, w) > 0 and h * w <= MOST_PIXELS else (0, 0))
        try:
            self.names.append(self._name(name).encode())
            if 0 in self.sizes[-1]:
                raise ValueError(f"its height and width are {_short(height)} and {_short(width)}")
        except ValueError as error:
            self.names += [b""] * (len(self.ids) - len(self.names))
            self.unusable[index] = self.add_fault(str(number), f"image {number}: {error}")

    def _name(self, name: Any) -> str:
        """Return the file name of an image with /; raises ValueError where it leads out of the folder or is none."""
        text = name if isinstance(name, str) else ""
        if UNPRINTABLE.search(text) or len(text) > LONGEST_NAME:
            raise ValueError(f"the file name {_short(name)} is too long or holds control characters")
        slashed = text.replace("\\", "/")
        inside(self.folder, slashed)
        if slashed != text:
            self.backslashes.add(_short(text))
        return slashed

    def add_annotation(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        image, number, category = (self._id(value, name, entry.begin) for name in ("image_id", "id", "category_id"))
        index = None if image is None else self.image_index.get(image)
        label = _label(number, entry.begin)
        if index is None:
            stated = value.get("image_id")
            self.add_fault(str(stated)[:40], f"{label} is of an unknown image, image_id {_short(stated)}")
        elif index not in self.unusable:  # an unusable image is one fault; its annotations are none
            if reason := self._annotation_fault(value, index, number, category):
                self.leave_out(index, label, reason)
            else:
                code = -1 if category is None else self.category_codes.setdefault(category, len(self.category_codes))
                stored_id = number if isinstance(number, int) else -1
                self.table.extend((index, entry.begin, entry.end, code, stored_id))
                if unusual := self.remark(value):
                    self.remarks.add(f"{label}, of image {image}: {unusual}")
        if number is not None:
            self.annotation_ids.add(number)

    def _annotation_fault(
        self, value: Mapping[str, Any], index: int, number: int | str | None, category: int | str | None
    ) -> str:
        if number is not None and number in self.annotation_ids:
            return f"a second annotation of the id {number}"
        if self.classes and category is None:
            return _unknown(value.get("category_id"))
        return self.check(value, self.sizes[index])

    def add_category(self, entry: Entry) -> None:
        value = entry.value if isinstance(entry.value, dict) else {}
        number = self._id(value, "id", entry.begin)
        if number is None or str(number) in self.category_texts:
            self.add_fault("", f"a category whose id is {_short(value.get('id'))}, which is no id or another's")
        else:
            self.category_texts.add(str(number))
            self.categories[number] = value

    def _id(self, value: Mapping[str, Any], name: str, begin: int) -> int | str | None:
        """Return the id that an entry has under a name, None where that is none."""
        stated = value.get(name)
        number = identifier(stated)
        if type(stated) is float and number is not None:
            self.decimal.add(f"{name} {stated}, at byte {begin:,}")
        return number

    def leave_out(self, index: int, label: str, reason: str) -> None:
        """Add an annotation of an image to the faults."""
        image = self.ids[index]
        self.left_out.setdefault(index, self.add_fault(str(image), f"{label}, of image {image}: {reason}"))

    def add_fault(self, image: str, reason: str) -> str:
        """Store a fault; returns the message of an error about it."""
        self.faults.append(Fault(image, str(self.file), reason))
        return f"{self.file}: {reason}"

    def build(self) -> Index:
        table = np.frombuffer(self.table, np.int64).reshape(-1, ROW)
        if self.classes:
            table = self._of_known_categories(table)
        table = table[np.argsort(table[:, 0], kind="stable")]
        has_numbers = all(isinstance(number, int) for number in self.ids)
        return Index(
            file=self.file,
            ids=np.array(self.ids, np.int64) if has_numbers else tuple(self.ids),
            names=np.array(self.names, np.bytes_),
            sizes=np.array(self.sizes, np.int64),
            first=np.searchsorted(table[:, 0], np.arange(len(self.ids) + 1)),
            spans=np.ascontiguousarray(table[:, 1:3]),
            categories=self.categories,
            faults=tuple(self.faults),
            notes=tuple(note.line() for note in (self.decimal, self.backslashes, self.remarks) if note.count),
            unusable=self.unusable,
            left_out=self.left_out,
        )

    def _of_known_categories(self, table: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows whose category the file has; the others are faults, one in all where it has no category."""
        if not self.categories:
            if len(table):
                self.add_fault("", f"it lists no `categories`, so none of its {len(table):,} annotations counts")
            return table[:0]
        ids = list(self.category_codes)
        codes = [code for number, code in self.category_codes.items() if number in self.categories]
        is_known = np.isin(table[:, 3], codes)
        for index, begin, _, code, number in table[~is_known].tolist():
            self.leave_out(index, _label(None if number < 0 else number, begin), _unknown(ids[code]))
        return table[is_known]


def _label(number: int | str | None, begin: int) -> str:
    return f"annotation {f'at byte {begin:,}' if number is None else number}"


def _unknown(category: Any) -> str:
    return f"category_id {_short(category)} is none of the file's `categories`"


def _short(value: Any) -> str:
    return repr(value)[:40]

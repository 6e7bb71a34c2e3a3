"""COCO's annotations and detections by image and category: what can be evaluated, and which entries cannot."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pycocotools import mask as pycoco

from linbench.coco.entry import area_fault, box_fault, crowd_fault, identifier, score_fault, segmentation_rle
from linbench.coco.rle import Rle

Iou = Literal["segm", "bbox", "boundary"]
Area = Literal["mask", "box"]
Id = int | str


class BadEntry(NamedTuple):
    """An entry that is not evaluated.

    kind: ``image``, ``annotation`` or ``detection``.
    entry_index: Its index in the file's list, from 0.
    image: The id of its image as the entry states it, or None.
    reason: One line.
    """

    kind: str
    entry_index: int
    image: Any
    reason: str


class Target(NamedTuple):
    """An annotated object. region: run lengths, or the box x y w h in px where boxes are compared."""

    region: Any
    area: float
    crowd: bool
    ignored: bool


class Candidate(NamedTuple):
    """A detection; its region as a Target's."""

    region: Any
    area: float
    score: float


@dataclass
class Entries:
    """What is evaluated.

    images: Height and width in px by id, in ascending order of ids.
    categories: Ids in ascending order.
    targets, candidates: By image id and category id, in the order of the file.
    bad: The entries that are left out.
    """

    images: dict[Id, tuple[int, int]]
    categories: list[Id]
    targets: dict[tuple[Id, Id], list[Target]] = field(default_factory=lambda: defaultdict(list))
    candidates: dict[tuple[Id, Id], list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    bad: list[BadEntry] = field(default_factory=list)


def read_entries(annotations: Mapping[str, Any], detections: Iterable[Any], iou: Iou, area: Area) -> Entries:
    """Validate all entries of an annotation file and of a list of detections; those with a fault become ``bad``.

    area: Where a detection's area is from, which is the class of size that it counts in when it matches nothing.
    Raises ValueError where a list is missing.
    """
    bad: list[BadEntry] = []
    sizes = dict(_sizes(_list(annotations, "images"), bad))
    categories = {
        number
        for category in _list(annotations, "categories")
        if isinstance(category, dict) and (number := identifier(category.get("id"))) is not None
    }
    entries = Entries({key: sizes[key] for key in sorted(sizes, key=_order)}, sorted(categories, key=_order), bad=bad)
    for kind, entry_list in (("annotation", _list(annotations, "annotations")), ("detection", detections)):
        ids: set[Id] = set()
        for index, entry in enumerate(entry_list):
            try:
                key = _key(entry, sizes, categories, ids)
                if kind == "annotation":
                    entries.targets[key].append(_target(entry, sizes[key[0]], iou))
                else:
                    entries.candidates[key].append(_candidate(entry, sizes[key[0]], iou, area))
            except ValueError as error:
                image = entry.get("image_id") if isinstance(entry, dict) else None
                bad.append(BadEntry(kind, index, image, str(error)))
    return entries


def _list(annotations: Mapping[str, Any], name: str) -> Sequence[Any]:
    entries = annotations.get(name)
    if not isinstance(entries, list):
        raise ValueError(
            f"annotations are COCO's object with lists `images`, `annotations`, `categories`: no `{name}`"
        )
    return entries


def _sizes(images: Iterable[Any], bad: list[BadEntry]) -> Iterator[tuple[Id, tuple[int, int]]]:
    seen = set()
    for index, image in enumerate(images):
        entry = image if isinstance(image, dict) else {}
        stated, height, width = entry.get("id"), entry.get("height"), entry.get("width")
        if (number := identifier(stated)) is None:
            bad.append(BadEntry("image", index, None, f"its id is {stated!r}; a number or text is needed"))
        elif number in seen:
            bad.append(BadEntry("image", index, number, "its id stands in the list before"))
        elif type(height) is not int or type(width) is not int or min(height, width) < 1:
            bad.append(BadEntry("image", index, number, f"its height and width are {height!r} and {width!r}"))
        else:
            seen.add(number)
            yield number, (height, width)


def _key(entry: Any, sizes: Mapping[Id, Any], categories: set[Id], ids: set[Id]) -> tuple[Id, Id]:
    """Return the ids of an entry's image and category.

    ids: Of the entries before; the entry's own id is added.
    Raises ValueError for an unknown id, and for an id that is not new.
    """
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    image, category, stated = identifier(entry.get("image_id")), identifier(entry.get("category_id")), entry.get("id")
    if image is None or image not in sizes:
        raise ValueError(f"image_id {entry.get('image_id')!r} is none of the {len(sizes)} images")
    if category is None or category not in categories:
        examples = ", ".join(map(str, sorted(categories, key=_order)[:5]))
        raise ValueError(
            f"category_id {entry.get('category_id')!r} is none of the {len(categories)} categories: {examples}, …"
        )
    if stated is not None:
        if (number := identifier(stated)) is None:
            raise ValueError(f"its id is {stated!r}; a number or text is needed")
        if number in ids:
            raise ValueError(f"its id {number!r} stands in the list before")
        ids.add(number)
    return image, category


def _order(key: Id) -> tuple[bool, Any]:
    """Return the sort key of ids: numbers, then text."""
    return isinstance(key, str), key


def _target(entry: Mapping[str, Any], size: tuple[int, int], iou: Iou) -> Target:
    if reason := crowd_fault(entry) or area_fault(entry):
        raise ValueError(reason)
    crowd, ignored = bool(entry.get("iscrowd")), bool(entry.get("ignore"))
    region = _box(entry) if iou == "bbox" else segmentation_rle(entry.get("segmentation"), size)
    area = _area(region) if entry.get("area") is None else float(entry["area"])
    # pycocotools puts iscrowd in place of `ignore`; boundary-iou-api keeps both
    return Target(region, area, crowd, crowd or (iou == "boundary" and ignored))


def _candidate(entry: Mapping[str, Any], size: tuple[int, int], iou: Iou, area: Area) -> Candidate:
    if reason := score_fault(entry.get("score")):
        raise ValueError(reason)
    box = _box(entry) if iou == "bbox" or area == "box" or entry.get("bbox") is not None else None
    region = box if iou == "bbox" else segmentation_rle(entry.get("segmentation"), size)
    return Candidate(region, _area(box if area == "box" else region), float(entry["score"]))


def _area(region: list[float] | Rle | None) -> float:
    assert region is not None
    return region[2] * region[3] if isinstance(region, list) else float(pycoco.area(region))


def _box(entry: Mapping[str, Any]) -> list[float]:
    if reason := "no bbox" if entry.get("bbox") is None else box_fault(entry):
        raise ValueError(reason)
    return [float(value) for value in entry["bbox"]]

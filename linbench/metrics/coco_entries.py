"""COCO's annotations and detections, entry by entry: what can be used, by image and category, and what cannot."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pycocotools import mask as coco

from linbench.metrics.runs import Runs, is_number, runs

Iou = Literal["segm", "bbox", "boundary"]
Area = Literal["mask", "box"]


class BadEntry(NamedTuple):
    """An entry that is not evaluated.

    kind: ``image``, ``annotation`` or ``detection``.
    place: Its place in the file's list, from 0.
    image: The id of its image as the entry states it, or None.
    reason: One line.
    """

    kind: str
    place: int
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
    bad: What is left out.
    """

    images: dict[Any, tuple[int, int]]
    categories: list[Any]
    targets: dict[tuple[Any, Any], list[Target]] = field(default_factory=lambda: defaultdict(list))
    candidates: dict[tuple[Any, Any], list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    bad: list[BadEntry] = field(default_factory=list)


def entries(annotations: Mapping[str, Any], detections: Iterable[Any], iou: Iou, area: Area) -> Entries:
    """All entries of an annotation file and of a list of detections, checked.

    area: Where a detection's area is from, which is the class of size that it counts in when it matches nothing.
    """
    bad: list[BadEntry] = []
    sizes = dict(_sizes(_list(annotations, "images"), bad))
    known = {one["id"] for one in _list(annotations, "categories") if isinstance(one, dict) and _is_id(one.get("id"))}
    found = Entries({key: sizes[key] for key in sorted(sizes, key=_order)}, sorted(known, key=_order), bad=bad)
    for kind, entry_list in (("annotation", _list(annotations, "annotations")), ("detection", detections)):
        seen: set[Any] = set()
        for place, entry in enumerate(entry_list):
            try:
                where = _where(entry, sizes, known, seen)
                if kind == "annotation":
                    found.targets[where].append(_target(entry, sizes[where[0]], iou))
                else:
                    found.candidates[where].append(_candidate(entry, sizes[where[0]], iou, area))
            except ValueError as error:
                image = entry.get("image_id") if isinstance(entry, dict) else None
                bad.append(BadEntry(kind, place, image, str(error)))
    return found


def _list(annotations: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = annotations.get(name)
    if not isinstance(found, list):
        raise ValueError(
            f"annotations are COCO's object with lists `images`, `annotations`, `categories`: no `{name}`"
        )
    return found


def _sizes(images: Iterable[Any], bad: list[BadEntry]) -> Iterator[tuple[Any, tuple[int, int]]]:
    seen = set()
    for place, image in enumerate(images):
        known = image if isinstance(image, dict) else {}
        key, height, width = known.get("id"), known.get("height"), known.get("width")
        if not _is_id(key):
            bad.append(BadEntry("image", place, None, f"its id is {key!r}; a number or text is needed"))
        elif key in seen:
            bad.append(BadEntry("image", place, key, "its id stands in the list before"))
        elif type(height) is not int or type(width) is not int or min(height, width) < 1:
            bad.append(BadEntry("image", place, key, f"its height and width are {height!r} and {width!r}"))
        else:
            seen.add(key)
            yield key, (height, width)


def _where(entry: Any, sizes: Mapping[Any, Any], categories: set[Any], seen: set[Any]) -> tuple[Any, Any]:
    """The ids of an entry's image and category; raises ValueError where they are unknown or its own id is not new."""
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    image, category, own = entry.get("image_id"), entry.get("category_id"), entry.get("id")
    if not _is_id(image) or image not in sizes:
        raise ValueError(f"image_id {image!r} is none of the {len(sizes)} images")
    if not _is_id(category) or category not in categories:
        some = ", ".join(map(str, sorted(categories, key=_order)[:5]))
        raise ValueError(f"category_id {category!r} is none of the {len(categories)} categories: {some}, …")
    if own is not None:
        if not _is_id(own):
            raise ValueError(f"its id is {own!r}; a number or text is needed")
        if own in seen:
            raise ValueError(f"its id {own!r} stands in the list before")
        seen.add(own)
    return image, category


def _is_id(value: Any) -> bool:
    """Whether a value is an id: a whole number, also as 1.0, which Python takes for the same key as 1, or text."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _order(key: Any) -> tuple[bool, Any]:
    """The order of ids: numbers, then text."""
    return isinstance(key, str), key


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    """`iscrowd` or `ignore`; raises ValueError for text, which Python takes for true though it says "0"."""
    value = entry.get(name)
    if value is not None and not isinstance(value, bool) and not (is_number(value) and value == int(value)):
        raise ValueError(f"its {name} is {str(value)[:80]!r}; 0 or 1 is needed")
    return bool(value)


def _target(entry: Mapping[str, Any], size: tuple[int, int], iou: Iou) -> Target:
    crowd, ignored = (_flag(entry, name) for name in ("iscrowd", "ignore"))
    region = _box(entry) if iou == "bbox" else runs(entry.get("segmentation"), *size)
    area: Any = entry.get("area")
    if area is None:
        area = _area(region)
    elif not is_number(area):
        raise ValueError(f"its area is {area!r}")
    # pycocotools puts iscrowd in place of `ignore`; boundary-iou-api keeps both
    return Target(region, float(area), crowd, crowd or (iou == "boundary" and ignored))


def _candidate(entry: Mapping[str, Any], size: tuple[int, int], iou: Iou, area: Area) -> Candidate:
    score: Any = entry.get("score")
    if not is_number(score):
        raise ValueError(f"its score is {score!r}; a finite number is needed")
    box = _box(entry) if iou == "bbox" or area == "box" or entry.get("bbox") is not None else None
    region = box if iou == "bbox" else runs(entry.get("segmentation"), *size)
    return Candidate(region, _area(box if area == "box" else region), float(score))


def _area(region: list[float] | Runs | None) -> float:
    assert region is not None
    return region[2] * region[3] if isinstance(region, list) else float(coco.area(region))


def _box(entry: Mapping[str, Any]) -> list[float]:
    box = entry.get("bbox")
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(is_number(value) for value in box)):
        raise ValueError(f"its bbox is {str(box)[:80]}; four finite numbers x, y, w, h are needed")
    if box[2] < 0 or box[3] < 0:
        raise ValueError(f"its bbox {str(list(box))[:80]} (x, y, w, h) has a negative side")
    return [float(value) for value in box]

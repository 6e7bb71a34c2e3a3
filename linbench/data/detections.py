"""Boxes of many pictures from one JSON file: COCO's detections, or COCO's annotations with their table of images.

    [{"image_id": 42, "bbox": [x, y, w, h], "category_id": 1, "score": 0.9}, …]
    {"images": [{"id": 42, "file_name": "a.jpg"}, …], "annotations": [{"image_id": 42, "bbox": …}, …],
     "categories": [{"id": 1, "name": "dog"}, …]}

An entry may name its picture by ``file_name`` itself. File names are compared with those of the pictures given, and
never opened.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from linbench.data.coco_entry import identifier, score_fault
from linbench.data.json_file import load, read
from linbench.data.prompts import PromptSpec

LARGEST_BYTES = 2**28
#: Pictures that are named by their COCO number: 000000000042.jpg, COCO_val2014_000000000042.jpg.
NUMBERED = re.compile(r"(?:COCO_\w+_)?0*(\d{1,18})")


@dataclass(frozen=True)
class Detections:
    """The boxes of a file.

    named: By the file name of their picture without its folders, and by the whole of it.
    numbered: By ``image_id``, where the file has no name for it.
    """

    file: Path
    named: Mapping[str, Mapping[str, list[PromptSpec]]]
    numbered: Mapping[str, list[PromptSpec]]

    def of(self, picture: Path) -> list[PromptSpec]:
        """The boxes of a picture, none where the file has none; raises ValueError where its name fits two entries."""
        fitting = self.named.get(picture.name, {})
        if len(fitting) > 1:  # the folders decide
            whole = picture.resolve().as_posix()
            fitting = {name: boxes for name, boxes in fitting.items() if whole.endswith(f"/{name.lstrip('./')}")}
            if len(fitting) != 1:
                raise ValueError(f"{picture}: {self.file} has several pictures of this name, in folders of their own")
        if fitting:
            return next(iter(fitting.values()))
        number = NUMBERED.fullmatch(picture.stem)
        return self.numbered.get(picture.stem) or self.numbered.get(number[1] if number else "", [])


def read_detections(file: Path) -> Detections:
    """The boxes of a file, unchecked but for their place in it; raises ValueError of one line that names the file."""
    content = load(read(file, LARGEST_BYTES), str(file))
    try:
        return _detections(file, content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _detections(file: Path, content: Any) -> Detections:
    table = content if isinstance(content, dict) else {}
    entries = table.get("annotations") if table else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it holds no COCO detections: a list of objects, or an object with `annotations`")
    names = {_key(image.get("id")): image.get("file_name") for image in _objects(table, "images")}
    categories = {_key(one.get("id")): str(one.get("name", "")) for one in _objects(table, "categories")}
    named: dict[str, dict[str, list[PromptSpec]]] = {}
    numbered: dict[str, list[PromptSpec]] = {}
    for place, entry in enumerate(entries):
        number = _key(entry.get("image_id"))
        name = entry.get("file_name", names.get(number))
        if isinstance(name, str) and name:
            name = name.replace("\\", "/")  # as Windows writes it
            boxes = named.setdefault(PurePosixPath(name).name, {}).setdefault(name, [])
        elif number:
            boxes = numbered.setdefault(number, [])
        else:
            raise ValueError(f"entry {place} names no picture, by `image_id` or `file_name`")
        boxes.append(_asked(file, place, entry, categories))
    return Detections(file, named, numbered)


def _asked(file: Path, place: int, entry: Mapping[str, Any], categories: Mapping[str, str]) -> PromptSpec:
    bbox = entry.get("bbox")
    said = f"entry {place} of {file}, bbox {str(bbox)[:80]} (x, y, w, h)"
    ids = {name: identifier(entry.get(name)) for name in ("image_id", "category_id", "id")}
    facts: dict[str, Any] = {name: number for name, number in ids.items() if number is not None}
    if not score_fault(entry.get("score")):
        facts["detection_score"] = entry["score"]
    return PromptSpec(said, _corners(bbox), name=categories.get(_key(entry.get("category_id")), ""), facts=facts)


def _corners(bbox: Any) -> list[Any]:
    """x0, y0, x1, y1 of a bbox x, y, w, h; what is none is kept as one thing, which is refused when it is checked."""
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(type(value) in (int, float) for value in bbox)):
        return [bbox]
    x, y, w, h = bbox
    try:
        return [x, y, x + w, y + h]
    except OverflowError:
        return [bbox]


def _objects(table: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"`{name}` is not a list of objects")
    return found


def _key(number: Any) -> str:
    """An id as text, 1.0 as 1 is; empty where it is none."""
    found = identifier(number)
    return "" if found is None else str(found)

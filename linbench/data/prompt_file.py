"""Box prompts of many images from one JSON file: COCO's detections, or COCO's annotations with their table of images.

    [{"image_id": 42, "bbox": [x, y, w, h], "category_id": 1, "score": 0.9}, …]
    {"images": [{"id": 42, "file_name": "a.jpg"}, …], "annotations": [{"image_id": 42, "bbox": …}, …],
     "categories": [{"id": 1, "name": "dog"}, …]}

An entry may name its image by ``file_name`` itself. File names are compared with those of the images to predict, and
never opened.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from linbench.coco.entry import identifier, score_fault
from linbench.coco.json_file import load, read
from linbench.data.prompts import PromptSpec

LARGEST_BYTES = 2**28
#: Images that are named by their COCO number: 000000000042.jpg, COCO_val2014_000000000042.jpg.
NUMBERED = re.compile(r"(?:COCO_\w+_)?0*(\d{1,18})")


@dataclass(frozen=True)
class PromptFile:
    """The boxes of a file.

    by_name: By the file name of their image without its folders, and by the whole of it.
    by_number: By ``image_id``, where the file has no name for it.
    """

    file: Path
    by_name: Mapping[str, Mapping[str, list[PromptSpec]]]
    by_number: Mapping[str, list[PromptSpec]]

    def for_image(self, path: Path) -> list[PromptSpec]:
        """Return the boxes of an image, none where the file has none.

        Raises ValueError where the image's name fits two entries.
        """
        fitting = self.by_name.get(path.name, {})
        if len(fitting) > 1:  # the folders decide
            whole = path.resolve().as_posix()
            fitting = {name: boxes for name, boxes in fitting.items() if whole.endswith(f"/{name.lstrip('./')}")}
            if len(fitting) != 1:
                raise ValueError(f"{path}: {self.file} has several images of this name, in folders of their own")
        if fitting:
            return next(iter(fitting.values()))
        number = NUMBERED.fullmatch(path.stem)
        return self.by_number.get(path.stem) or self.by_number.get(number[1] if number else "", [])


def read_prompt_file(file: Path) -> PromptFile:
    """Read the boxes of a file; their numbers are not validated yet.

    Raises ValueError of one line that names the file.
    """
    content = load(read(file, LARGEST_BYTES), str(file))
    try:
        return _prompt_file(file, content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _prompt_file(file: Path, content: Any) -> PromptFile:
    table = content if isinstance(content, dict) else {}
    entries = table.get("annotations") if table else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it holds no COCO detections: a list of objects, or an object with `annotations`")
    names = {_key(image.get("id")): image.get("file_name") for image in _objects(table, "images")}
    categories = {
        _key(category.get("id")): str(category.get("name", "")) for category in _objects(table, "categories")
    }
    by_name: dict[str, dict[str, list[PromptSpec]]] = {}
    by_number: dict[str, list[PromptSpec]] = {}
    for index, entry in enumerate(entries):
        number = _key(entry.get("image_id"))
        name = entry.get("file_name", names.get(number))
        if isinstance(name, str) and name:
            name = name.replace("\\", "/")  # as Windows writes it
            boxes = by_name.setdefault(PurePosixPath(name).name, {}).setdefault(name, [])
        elif number:
            boxes = by_number.setdefault(number, [])
        else:
            raise ValueError(f"entry {index} names no image, by `image_id` or `file_name`")
        boxes.append(_prompt(file, index, entry, categories))
    return PromptFile(file, by_name, by_number)


def _prompt(file: Path, index: int, entry: Mapping[str, Any], categories: Mapping[str, str]) -> PromptSpec:
    bbox = entry.get("bbox")
    source = f"entry {index} of {file}, bbox {str(bbox)[:80]} (x, y, w, h)"
    ids = {name: identifier(entry.get(name)) for name in ("image_id", "category_id", "id")}
    facts: dict[str, Any] = {name: number for name, number in ids.items() if number is not None}
    if not score_fault(entry.get("score")):
        facts["detection_score"] = entry["score"]
    return PromptSpec(source, _corners(bbox), name=categories.get(_key(entry.get("category_id")), ""), facts=facts)


def _corners(bbox: Any) -> list[Any]:
    """Return x0, y0, x1, y1 of a bbox x, y, w, h; anything else stays one value, which validation refuses."""
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(type(value) in (int, float) for value in bbox)):
        return [bbox]
    x, y, w, h = bbox
    try:
        return [x, y, x + w, y + h]
    except OverflowError:
        return [bbox]


def _objects(table: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"`{name}` is not a list of objects")
    return entries


def _key(number: Any) -> str:
    """Return an id as text, 1.0 as 1 is; empty where it is none."""
    key = identifier(number)
    return "" if key is None else str(key)

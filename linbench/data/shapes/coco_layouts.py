"""The embedded dataset on disk, in the layouts of COCO and its kin, and boxes as a detector would give them."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco import rle
from linbench.data.shapes.backgrounds import STUFF
from linbench.data.shapes.layouts import Layout, save
from linbench.data.shapes.render import LEAST_AREA, RenderedScene
from linbench.data.shapes.rng import Rng
from linbench.data.shapes.scene import CLASSES, THINGS

Entry = dict[str, Any]
SHARD = 64  # images of a tar or folder of SA-1B
STUFF_FROM = 100  # COCO's ids of stuff are above those of things


def category_id(index: int) -> int:
    """Return the id of a class, an index of CLASSES; like COCO's they have gaps."""
    return index + 1 + index // 7 if index < len(THINGS) else STUFF_FROM + index - len(THINGS)


def detections_file(root: Path, split: str) -> Path:
    """Return the file with the boxes of a simulated detector, beside a dataset in COCO's layout."""
    return root / "coco" / "detections" / f"coco_instances_results_{split}2017.json"


def _categories(names: Sequence[str], panoptic: bool = False) -> list[Entry]:
    return [
        {"id": category_id(index), "name": name, "supercategory": "thing" if name in THINGS else "stuff"}
        | ({"isthing": int(name in THINGS)} if panoptic else {})
        for index, name in enumerate(names)
    ]


def _measures(mask: NDArray[np.bool_]) -> Entry:
    """Return the box (x, y, w, h) and area, px, of a mask with pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    box = [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
    return {"bbox": box, "area": int(np.count_nonzero(mask))}


def _masks(rendered: RenderedScene, stuff: bool) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield class, an index of CLASSES, and mask of each object, and where ``stuff`` is set of what lies behind."""
    for visible in rendered.objects:
        yield visible.category, rendered.mask(visible)
    for number in range(len(STUFF)) if stuff else ():
        mask = (rendered.stuff == number) & (rendered.ids == 0)
        if np.count_nonzero(mask) >= LEAST_AREA:
            yield len(THINGS) + number, mask


def _image(rendered: RenderedScene, number: int, name: str) -> Entry:
    h, w = rendered.ids.shape
    return {"id": number, "file_name": name, "height": h, "width": w, "license": 1}


def _dump(table: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table), encoding="utf-8")


def _dump_coco(entries: Sequence[tuple[Entry, list[Entry]]], categories: list[Entry], path: Path) -> None:
    annotations = [annotation for _, of_image in entries for annotation in of_image]
    if "segments_info" not in (annotations or [{}])[0]:
        annotations = [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]
    table = {
        "info": {"description": "linbench shapes", "version": "1.0"},
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}],
        "images": [image for image, _ in entries],
        "annotations": annotations,
        "categories": categories,
    }
    _dump(table, path)


def _coco(
    folder: str, stuff: bool, rendered: RenderedScene, number: int, split: str, root: Path
) -> tuple[Entry, list[Entry]]:
    """Write an image to where its ``file_name`` is below ``folder``."""
    base, _, inner = folder.format(split).partition("//")
    name = f"{inner}/{number:012d}.jpg".lstrip("/")
    save(rendered.image, root / base / name)
    annotations = [
        {"image_id": number, "category_id": category_id(category), "iscrowd": 0}
        | {"segmentation": rle.encode(mask), **_measures(mask)}
        for category, mask in _masks(rendered, stuff)
    ]
    return _image(rendered, number, name), annotations


def _coco_close(entries: Sequence[tuple[Entry, list[Entry]]], split: str, root: Path) -> None:
    _dump_coco(entries, _categories(THINGS), root / COCO_KIN["coco"].shown_by[split])
    detections = [box for image, annotations in entries for box in _detections(image, annotations)]
    _dump(detections, detections_file(root, split))


def _detections(image: Entry, annotations: list[Entry]) -> Iterator[Entry]:
    """Yield a good detector's results: shifted boxes, some missing, some of another class, some of nothing."""
    rng = Rng("linbench shapes detections", image["id"], image["width"], image["height"])

    def detection(x: int, y: int, w: int, h: int, category: int, score: int) -> Entry:
        """Return an entry; lengths in 1/100 px, the score in 1/1000."""
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(100 * image["width"], x + w), min(100 * image["height"], y + h)
        box = [x0 / 100, y0 / 100, max(100, x1 - x0) / 100, max(100, y1 - y0) / 100]
        return {"image_id": image["id"], "category_id": category, "bbox": box, "score": score / 1000}

    for annotation in annotations:
        if rng.bernoulli(6):
            continue
        x, y, w, h = (100 * value for value in annotation["bbox"])
        moved = (x + rng.jitter(w, 5) - w, y + rng.jitter(h, 5) - h, rng.jitter(w, 6), rng.jitter(h, 6))
        category = category_id(rng.between(0, len(THINGS) - 1)) if rng.bernoulli(5) else annotation["category_id"]
        yield detection(*moved, category, rng.between(350, 990))
    for _ in range(rng.between(0, 3)):
        w, h = rng.between(800, 50 * image["width"]), rng.between(800, 50 * image["height"])
        x, y = rng.between(0, 100 * image["width"] - w), rng.between(0, 100 * image["height"] - h)
        yield detection(x, y, w, h, category_id(rng.between(0, len(THINGS) - 1)), rng.between(50, 450))


def _coconut(rendered: RenderedScene, number: int, split: str, root: Path) -> tuple[Entry, list[Entry]]:
    base, name = root / "coconut", f"{number:012d}"
    save(rendered.image, base / f"{split}2017" / f"{name}.jpg")
    colours = np.zeros((*rendered.ids.shape, 3), np.uint8)
    segments = []
    for index, (category, mask) in enumerate(_masks(rendered, stuff=True), start=1):
        segment = index * 0x9E3779 % 2**24
        colours[mask] = (segment % 256, segment // 256 % 256, segment // 65536)
        segments.append({"id": segment, "category_id": category_id(category), "iscrowd": 0, **_measures(mask)})
    save(colours, base / PANOPTIC[split] / f"{name}.png")
    entry = {"image_id": number, "file_name": f"{name}.png", "segments_info": segments}
    return _image(rendered, number, f"{name}.jpg"), [entry]


PANOPTIC = {"train": "coconut_b", "val": "relabeled_coco_val"}


def _coconut_close(entries: Sequence[tuple[Entry, list[Entry]]], split: str, root: Path) -> None:
    _dump_coco(entries, _categories(CLASSES, panoptic=True), root / COCO_KIN["coconut"].shown_by[split])


def _entityseg_close(entries: Sequence[tuple[Entry, list[Entry]]], split: str, root: Path) -> None:
    _dump_coco(entries, _categories(CLASSES), root / COCO_KIN["entityseg"].shown_by[split])


def _sa1b(rendered: RenderedScene, number: int, root: Path) -> tuple[str, Entry]:
    """Return an image's shard, and the JSON beside it."""
    h, w = rendered.ids.shape
    masks = []
    for index, (_, mask) in enumerate(_masks(rendered, stuff=True), start=1):
        rows, columns = np.nonzero(mask)
        middle = len(rows) // 2
        point = [int(columns[middle]), int(rows[middle])]
        quality = {"predicted_iou": 1.0, "stability_score": 1.0, "point_coords": [point], "crop_box": [0, 0, w, h]}
        masks.append({"id": number * 1000 + index, "segmentation": rle.encode(mask), **_measures(mask), **quality})
    image = {"image_id": number, "width": w, "height": h, "file_name": f"sa_{number}.jpg"}
    return f"sa_{(number - 1) // SHARD:06d}", {"image": image, "annotations": masks}


def _sa1b_folders(rendered: RenderedScene, number: int, _: str, root: Path) -> None:
    shard, table = _sa1b(rendered, number, root)
    folder = root / "sa1b" / shard
    save(rendered.image, folder / f"sa_{number}.jpg")
    _dump(table, folder / f"sa_{number}.json")


def _pack(_: Sequence[Any], __: str, root: Path) -> None:
    """Turn each folder of SA-1B into the tar that it is published as."""
    for folder in sorted((root / "sa1b").glob("sa_*")):
        with tarfile.open(folder.with_suffix(".tar"), "w", format=tarfile.USTAR_FORMAT) as archive:
            for file in sorted(folder.iterdir()):
                member, content = tarfile.TarInfo(f"./{file.name}"), file.read_bytes()
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                file.unlink()
        folder.rmdir()


_BOTH = ("train", "val")
COCO_KIN = {
    "coco": Layout(
        "objects",
        {split: f"coco/annotations/instances_{split}2017.json" for split in _BOTH},
        partial(_coco, "coco/{}2017//", False),
        _coco_close,
    ),
    "coconut": Layout(
        "objects", {split: f"coconut/{PANOPTIC[split]}.json" for split in _BOTH}, _coconut, _coconut_close
    ),
    "entityseg": Layout(
        "objects",
        {split: f"entityseg/annotations/entityseg_{split}.json" for split in _BOTH},
        partial(_coco, "entityseg/images//shapes_{}", True),
        _entityseg_close,
    ),
    "sa1b": Layout("objects", {"train": "sa1b"}, _sa1b_folders),
    "sa1b-tar": Layout("objects", {"train": "sa1b"}, _sa1b_folders, _pack),
}

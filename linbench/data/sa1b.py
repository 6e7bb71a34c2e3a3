"""SA-1B (Kirillov et al., ICCV 2023): images, each with a JSON file of masks that SAM predicted; folders or tars."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from linbench.coco.entry import annotation_fault
from linbench.coco.json_file import load
from linbench.data.coco import coco_instance
from linbench.data.contract import BadDataset, BadSample, Instance, InstanceSample, as_bad_sample, dataset
from linbench.data.image import image_size, stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, folders_in, names_in, size_in_bytes
from linbench.data.shards import Piece, members
from linbench.system.untrusted import Fault, exists

LAYOUT = """\
sa1b/
  sa_000000/sa_1.jpg  sa_000000/sa_1.json   train: a folder for each of the published tars, or all in sa1b/ itself
  sa_000000.tar                             or the tars themselves
"""
MOST_JSON_BYTES = 2**26
MOST_IMAGE_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class _Pair:
    id: str
    image: Piece
    json: Piece | None


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    """Return a tar or a folder of the published name, or an image."""
    return (next((path for path in base.glob("sa_*") if exists(path)), base / "sa_000000"),)


@dataset("sa1b", title="SA-1B", homes=("sa1b",), splits=("train",), needs=_needs, layout=LAYOUT)
def sa1b(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open SA-1B, or a part of it; a sample's id is the name of its image without its suffix."""
    folder = dataset_dir("sa1b", root, split)
    faults: list[Fault] = []
    pieces = list(_pieces(folder, faults))
    annotations = {piece.stem: piece for piece in pieces if piece.suffix == ".json"}
    pairs: dict[str, _Pair] = {}
    for piece in pieces:
        if piece.suffix == ".json":
            continue
        if (stem := piece.stem) in pairs:
            faults.append(Fault(stem, str(piece), f"a second image of this name, beside {pairs[stem].image}"))
        pairs.setdefault(stem, _Pair(stem, piece, annotations.get(stem)))
    faults += [Fault(s, str(p), "annotations without an image") for s, p in annotations.items() if s not in pairs]
    if not pairs:
        reason = f": {faults[0].file}: {faults[0].reason}" if faults else ""
        raise BadDataset(f"{folder}: no images (.jpg) in it, in its folders or its tars{reason}")
    samples = list(pairs.values())
    content = partial(_content, folder, samples)
    return IndexedDataset("SA-1B", split, (), {}, partial(_sample, samples), len(samples), content, tuple(faults))


def _pieces(folder: Path, faults: list[Fault]) -> Iterator[Piece]:
    """Yield images and JSON files of a folder, its folders and its tars; of a truncated tar those before the cut."""
    for subfolder in (folder, *(folder / name for name in folders_in(folder))):
        try:
            yield from (Piece(subfolder / name) for name in names_in(subfolder, (".jpg", ".json")))
        except BadDataset as error:
            faults.append(Fault("", str(subfolder), str(error).removeprefix(f"{subfolder}: ")))
    for name in names_in(folder, (".tar",)):
        try:
            yield from members(folder / name, (".jpg", ".json"))
        except ValueError as error:
            faults.append(Fault("", str(folder / name), str(error)))
    for name in names_in(folder, (".tar.gz", ".tgz")):
        reason = "a compressed tar gives no image by its number; decompress it to .tar"
        faults.append(Fault("", str(folder / name), reason))


def _sample(pairs: list[_Pair], index: int) -> InstanceSample:
    pair = pairs[index]
    return InstanceSample(pair.id, str(pair.image), partial(_image, pair.image), partial(_instances, pair))


def _image(piece: Piece) -> Any:
    return stored_image(str(piece), content=piece.read(MOST_IMAGE_BYTES))


def _instances(pair: _Pair) -> tuple[Instance, ...]:
    if pair.json is None:
        raise bad(str(pair.image), "no .json of this name beside it")
    with as_bad_sample():
        table = load(pair.json.read(MOST_JSON_BYTES), str(pair.json))
    image, entries = (table.get("image"), table.get("annotations")) if isinstance(table, dict) else (None, None)
    if not isinstance(image, dict) or not isinstance(entries, list):
        raise bad(str(pair.json), "it holds no `image` and `annotations`, as SA-1B's files do")
    h, w = image.get("height"), image.get("width")
    if type(h) is not int or type(w) is not int or min(h, w) < 1:
        raise bad(str(pair.json), f"its image's height and width are {str(h)[:20]} and {str(w)[:20]}")
    if (h, w) != (size := image_size(str(pair.image), pair.image.read(MOST_IMAGE_BYTES))):
        raise bad(str(pair.json), f"masks of {w} x {h} px for an image of {size[1]} x {size[0]} px")
    return tuple(_instance(entry, (h, w), f"{pair.json}: entry {index}") for index, entry in enumerate(entries))


def _instance(entry: Any, size: tuple[int, int], source: str) -> Instance:
    reason = annotation_fault(entry, size) if isinstance(entry, dict) else "it is no object"
    if reason:
        raise BadSample(f"{source}: {reason}")
    return coco_instance(entry, size, 0, source)


def _content(folder: Path, pairs: list[_Pair]) -> Iterator[bytes]:
    for pair in pairs:
        for piece in (pair.image, pair.json):
            if piece is not None:
                size = piece.size if piece.member else size_in_bytes(piece.file)
                yield os.fsencode(f"{piece.file.relative_to(folder).as_posix()} {piece.member} {size}")

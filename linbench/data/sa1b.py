"""SA-1B (Kirillov et al., ICCV 2023): pictures, each with a JSON file of masks that a model made; folders or tars."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from linbench.data import coco_entry
from linbench.data.contract import BadDataset, BadSample, Fault, Instance, InstanceSample, dataset
from linbench.data.image import image_size, stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.json_file import load
from linbench.data.listing import bad, exists, folders_in, names_in, size_in_bytes
from linbench.data.shards import Piece, members

LAYOUT = """\
sa1b/
  sa_000000/sa_1.jpg  sa_000000/sa_1.json   train: a folder for each of the published tars, or all in sa1b/ itself
  sa_000000.tar                             or the tars themselves
"""
MOST_JSON = 2**26  # bytes
MOST_PICTURE = 2**28


@dataclass(frozen=True, slots=True)
class _Pair:
    id: str
    image: Piece
    json: Piece | None


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    """A tar or a folder of the published name, or a picture."""
    return (next((path for path in base.glob("sa_*") if exists(path)), base / "sa_000000"),)


@dataset("sa1b", title="SA-1B", homes=("sa1b",), splits=("train",), needs=_needs, layout=LAYOUT)
def sa1b(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """SA-1B, or what there is of it; a sample's id is the name of its picture without its ending."""
    folder = dataset_dir("sa1b", root, split)
    faults: list[Fault] = []
    pieces = list(_pieces(folder, faults))
    annotations = {_stem(piece): piece for piece in pieces if _suffix(piece) == ".json"}
    pairs: dict[str, _Pair] = {}
    for piece in pieces:
        if _suffix(piece) == ".json":
            continue
        if (stem := _stem(piece)) in pairs:
            faults.append(Fault(stem, str(piece), f"a second picture of this name, beside {pairs[stem].image}"))
        pairs.setdefault(stem, _Pair(stem, piece, annotations.get(stem)))
    faults += [Fault(s, str(p), "annotations without a picture") for s, p in annotations.items() if s not in pairs]
    if not pairs:
        why = f": {faults[0].file}: {faults[0].reason}" if faults else ""
        raise BadDataset(f"{folder}: no pictures (.jpg) in it, in its folders or its tars{why}")
    found = list(pairs.values())
    return IndexedDataset(
        "SA-1B", split, (), {}, partial(_sample, found), len(found), partial(_content, folder, found), tuple(faults)
    )


def _pieces(folder: Path, faults: list[Fault]) -> Iterator[Piece]:
    """Pictures and JSON files in a folder, in its folders and in its tars; of a cut tar what comes before the cut."""
    for place in (folder, *(folder / name for name in folders_in(folder))):
        try:
            yield from (Piece(place / name) for name in names_in(place, (".jpg", ".json")))
        except BadDataset as error:
            faults.append(Fault("", str(place), str(error).removeprefix(f"{place}: ")))
    for name in names_in(folder, (".tar",)):
        try:
            yield from members(folder / name, (".jpg", ".json"))
        except ValueError as error:
            faults.append(Fault("", str(folder / name), str(error)))
    for name in names_in(folder, (".tar.gz", ".tgz")):
        reason = "a compressed tar gives no picture by its number; decompress it to .tar"
        faults.append(Fault("", str(folder / name), reason))


def _stem(piece: Piece) -> str:
    return PurePosixPath(piece.member).stem if piece.member else piece.file.stem


def _suffix(piece: Piece) -> str:
    return (PurePosixPath(piece.member).suffix if piece.member else piece.file.suffix).lower()


def _sample(pairs: list[_Pair], number: int) -> InstanceSample:
    pair = pairs[number]
    return InstanceSample(pair.id, str(pair.image), partial(_picture, pair.image), partial(_instances, pair))


def _picture(piece: Piece) -> Any:
    return stored_image(str(piece), content=piece.read(MOST_PICTURE))


def _instances(pair: _Pair) -> tuple[Instance, ...]:
    if pair.json is None:
        raise bad(str(pair.image), "no .json of this name beside it")
    content = pair.json.read(MOST_JSON)
    try:
        found = load(content, str(pair.json))
    except ValueError as error:
        raise BadSample(str(error)) from error
    image, entries = (found.get("image"), found.get("annotations")) if isinstance(found, dict) else (None, None)
    if not isinstance(image, dict) or not isinstance(entries, list):
        raise bad(str(pair.json), "it holds no `image` and `annotations`, as SA-1B's files do")
    h, w = image.get("height"), image.get("width")
    if type(h) is not int or type(w) is not int or min(h, w) < 1:
        raise bad(str(pair.json), f"its picture's height and width are {str(h)[:20]} and {str(w)[:20]}")
    if (h, w) != (size := image_size(str(pair.image), pair.image.read(MOST_PICTURE))):
        raise bad(str(pair.json), f"masks of {w} x {h} px for a picture of {size[1]} x {size[0]} px")
    return tuple(_instance(entry, (h, w), f"{pair.json}: entry {place}") for place, entry in enumerate(entries))


def _instance(entry: Any, size: tuple[int, int], said: str) -> Instance:
    reason = coco_entry.fault(entry, size) if isinstance(entry, dict) else "it is no object"
    if reason:
        raise BadSample(f"{said}: {reason}")
    return coco_entry.instance(entry, size, 0, said)


def _content(folder: Path, pairs: list[_Pair]) -> Iterator[bytes]:
    for pair in pairs:
        for piece in (pair.image, pair.json):
            if piece is not None:
                size = piece.size if piece.member else size_in_bytes(piece.file)
                yield os.fsencode(f"{piece.file.relative_to(folder).as_posix()} {piece.member} {size}")

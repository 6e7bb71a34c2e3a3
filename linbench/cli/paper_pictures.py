"""What ``linbench predict`` wrote, read for the paper's figures of masks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linbench.reports.paper.pictures import Answer, Row

ENDING = ".masks.json"
LARGEST_BYTES = 256 * 2**20


def read_rows(folders: Sequence[Path], pictures: Path | None, most: int) -> "tuple[list[Row], list[str]]":
    """Rows for the first ``most`` prompts that the first folder answers, and what was wrong.

    folders: What ``--out`` of ``linbench predict`` was, one for each model.
    pictures: Where the pictures are now, if not where they were.
    Raises ValueError for a folder without predictions.
    """
    from linbench.data.image import read_image
    from linbench.reports.paper.pictures import Row

    faults: list[str] = []
    documents = [_documents(folder, faults) for folder in folders]
    for folder, found in zip(folders, documents, strict=True):
        if not found:
            raise ValueError(f"--predictions {folder}: none of its files can be read: {'; '.join(faults[-1:])}")
    rows: list[Row] = []
    for name, first in documents[0].items():
        if len(rows) >= most:
            break
        try:
            picture = read_image(_where(first["image"], pictures))
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        if picture.shape[:2] != (first["height"], first["width"]):
            faults.append(f"{first['image']}: its size is no longer that of the predictions; it is another picture")
            continue
        for asked in first["predictions"][: most - len(rows)]:
            answers = tuple(
                _named(_answer(folder / f"{name}{ENDING}", document.get(name), asked, faults), document)
                for folder, document in zip(folders, documents, strict=True)
            )
            points = tuple((float(x), float(y), int(label)) for x, y, label in asked.get("points") or ())
            x0, y0, x1, y1 = map(float, asked.get("box") or [0.0] * 4)
            box = (x0, y0, x1, y1) if asked.get("box") else None
            rows.append(Row(f"{Path(first['image']).name} #{asked['prompt']}", picture, box, points, answers))
    return rows, faults


def _documents(folder: Path, faults: list[str]) -> dict[str, dict[str, Any]]:
    """The predictions of a folder by picture; damaged files are named."""
    files = sorted(folder.glob(f"*{ENDING}"))
    if not files:
        raise ValueError(
            f"--predictions {folder}: no NAME{ENDING} there; `linbench predict … --out {folder}` makes some"
        )
    found = {}
    for file in files:
        try:
            if file.stat().st_size > LARGEST_BYTES:
                raise ValueError(f"it is larger than {LARGEST_BYTES // 2**20} MiB")
            found[file.name.removesuffix(ENDING)] = _checked(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, OSError, RecursionError) as error:
            faults.append(f"{file}: {error}")
    return found


def _checked(document: Any) -> dict[str, Any]:
    """A document that has what a figure needs, its masks not decoded yet; raises ValueError."""
    kinds = {"image": str, "height": int, "width": int, "model": dict, "predictions": list}
    for name, kind in kinds.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise ValueError(f"it is no file of linbench predict: its {name!r} is no {kind.__name__}")
    size = [document["height"], document["width"]]
    for one in document["predictions"]:
        runs = one.get("segmentation") if isinstance(one, dict) else None
        if not isinstance(runs, dict) or "prompt" not in one:
            raise ValueError("a prediction in it has no prompt or no segmentation")
        said, points = f"prompt {one['prompt']!s:.20}", one.get("points") or []
        if runs.get("size") != size:
            raise ValueError(f"{said}: a mask of size {runs.get('size')!s:.40} (h, w), its picture has {size}")
        if not _numbers(one.get("box") or [0] * 4, 4):
            raise ValueError(f"{said}: its box is not four numbers")
        if not isinstance(points, list) or not all(_numbers(point, 3) for point in points):
            raise ValueError(f"{said}: its points are not x, y and label each")
    return document


def _numbers(value: Any, count: int) -> bool:
    """Whether a value of JSON is a list of so many numbers that a picture can have."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(type(x) in (int, float) and abs(x) < 1e6 for x in value)
    )


def _where(image: str, pictures: Path | None) -> Path:
    return pictures / Path(image).name if pictures else Path(image)


def _answer(file: Path, document: dict[str, Any] | None, asked: dict[str, Any], faults: list[str]) -> "Answer":
    """A model's mask for one prompt, the same in words of px; without one where it was not asked that.

    file: Where it is from, for what is wrong with it.
    """
    from linbench.data.rle import decode
    from linbench.reports.paper.pictures import Answer

    for one in (document or {}).get("predictions", ()):
        same = (one.get("box"), one.get("points")) == (asked.get("box"), asked.get("points"))
        if same and one["segmentation"]["size"] == asked["segmentation"]["size"]:
            try:
                return Answer("", decode(one["segmentation"]))
            except ValueError as error:
                faults.append(f"{file}: prompt {one['prompt']!s:.20}: {error}")
    return Answer("", None)


def _named(answer: "Answer", documents: dict[str, dict[str, Any]]) -> "Answer":
    """The answer with its model's name and weights."""
    from linbench.reports.paper.pictures import Answer

    facts = next(iter(documents.values()))["model"]
    random = facts.get("sha256") is None
    weights = "" if random else f", {facts.get('weights')} ({str(facts.get('sha256'))[:8]})"
    return Answer(f"{facts.get('name')}{weights}", answer.mask, "RANDOM WEIGHTS" if random else "")

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
            answers = tuple(_answer(document.get(name), asked, picture.shape[:2]) for document in documents)
            answers = tuple(_named(answer, document) for answer, document in zip(answers, documents, strict=True))
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
    """A document that has what a figure needs; raises ValueError."""
    kinds = {"image": str, "height": int, "width": int, "model": dict, "predictions": list}
    for name, kind in kinds.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise ValueError(f"it is no file of linbench predict: its {name!r} is no {kind.__name__}")
    for one in document["predictions"]:
        if not isinstance(one, dict) or not {"prompt", "segmentation"} <= one.keys():
            raise ValueError("a prediction in it has no prompt or no segmentation")
    return document


def _where(image: str, pictures: Path | None) -> Path:
    return pictures / Path(image).name if pictures else Path(image)


def _answer(document: dict[str, Any] | None, asked: dict[str, Any], size: tuple[int, ...]) -> "Answer":
    """A model's mask for one prompt, the same in words of px; without one where it was not asked that."""
    from linbench.coco.rle import decode
    from linbench.reports.paper.pictures import Answer

    for one in (document or {}).get("predictions", ()):
        same = (one.get("box"), one.get("points")) == (asked.get("box"), asked.get("points"))
        if same and tuple(one["segmentation"]["size"]) == size:
            return Answer("", decode(one["segmentation"]))
    return Answer("", None)


def _named(answer: "Answer", documents: dict[str, dict[str, Any]]) -> "Answer":
    """The answer with its model's name and weights."""
    from linbench.reports.paper.pictures import Answer

    facts = next(iter(documents.values()))["model"]
    random = facts.get("sha256") is None
    weights = "" if random else f", {facts.get('weights')} ({str(facts.get('sha256'))[:8]})"
    return Answer(f"{facts.get('name')}{weights}", answer.mask, "RANDOM WEIGHTS" if random else "")

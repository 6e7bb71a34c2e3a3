"""Read what ``linbench predict`` wrote, for the paper's figures of masks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linbench.reports.paper.masks import ModelMask, PromptRow

SUFFIX = ".masks.json"
MAX_BYTES = 256 * 2**20


def read_rows(
    folders: Sequence[Path], image_folder: Path | None, max_rows: int
) -> "tuple[list[PromptRow], list[str]]":
    """Return rows for the first prompts that the first folder answers, and the faults of files left out.

    folders: What ``--out`` of ``linbench predict`` was, one for each model.
    image_folder: Where the images are now, if not where they were.
    Raises ValueError for a folder without predictions.
    """
    faults: list[str] = []
    models = [_read_folder(folder, faults) for folder in folders]
    rows: list[PromptRow] = []
    for name, document in models[0].items():
        if len(rows) >= max_rows:
            break
        try:
            image = _read_image(document, image_folder)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        predictions = document["predictions"][: max_rows - len(rows)]
        rows += [_row(name, image, prediction, models) for prediction in predictions]
    return rows, faults


def _read_folder(folder: Path, faults: list[str]) -> dict[str, dict[str, Any]]:
    """Read the predictions of a folder by image; files that cannot be read are added to ``faults``."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise ValueError(
            f"--predictions {folder}: no NAME{SUFFIX} there; `linbench predict … --out {folder}` makes some"
        )
    documents = {}
    for path in paths:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
            documents[path.name.removesuffix(SUFFIX)] = _validated(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, OSError, RecursionError) as error:
            faults.append(f"{path}: {error}")
    if not documents:
        raise ValueError(f"--predictions {folder}: none of its files can be read; {faults[-1]}")
    return documents


def _validated(document: Any) -> dict[str, Any]:
    """Return a document that has what a figure needs; raises ValueError otherwise."""
    kinds = {"image": str, "height": int, "width": int, "model": dict, "predictions": list}
    for name, kind in kinds.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise ValueError(f"it is no file of linbench predict: its {name!r} is no {kind.__name__}")
    for prediction in document["predictions"]:
        if not isinstance(prediction, dict) or not {"prompt", "segmentation"} <= prediction.keys():
            raise ValueError("a prediction in it has no prompt or no segmentation")
        _check_mask(prediction["segmentation"], document["height"], document["width"])
        box, points = prediction.get("box") or [], prediction.get("points") or []
        if not _are_numbers(box) or len(box) not in (0, 4):
            raise ValueError("a box in it is not x0, y0, x1, y1")
        if not isinstance(points, list) or not all(_are_numbers(point) and len(point) == 3 for point in points):
            raise ValueError("a point in it is not x, y and label")
    return document


def _check_mask(segmentation: Any, height: int, width: int) -> None:
    """Raise ValueError where a segmentation is no run lengths of a mask of that size, px; nothing is decoded."""
    from linbench.coco.rle import run_lengths

    if not isinstance(segmentation, dict):
        raise ValueError("a segmentation in it is no dict of run lengths")
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            f"a segmentation in it is of size {str(segmentation.get('size'))[:40]} (h, w), its image of "
            f"{[height, width]}"
        )
    try:
        run_lengths(segmentation.get("counts"), height * width)
    except ValueError as error:
        raise ValueError(f"a segmentation in it is damaged: {error}") from error


def _are_numbers(values: Any) -> bool:
    from linbench.coco.entry import is_number

    return isinstance(values, list) and all(map(is_number, values))


def _read_image(document: Mapping[str, Any], image_folder: Path | None) -> "NDArray[np.uint8]":
    from linbench.data.image import read_image

    path = Path(document["image"])
    image = read_image(image_folder / path.name if image_folder else path)
    if image.shape[:2] != (document["height"], document["width"]):
        raise ValueError(f"{path}: its size is no longer that of the predictions; it is another image")
    return image


def _row(
    name: str,
    image: "NDArray[np.uint8]",
    prediction: Mapping[str, Any],
    models: Sequence[Mapping[str, Mapping[str, Any]]],
) -> "PromptRow":
    """Return one prompt with the mask of each model."""
    from linbench.reports.paper.masks import PromptRow

    title = f"{Path(models[0][name]['image']).name} #{prediction['prompt']}"
    points = tuple((float(x), float(y), int(label)) for x, y, label in prediction.get("points") or ())
    box = None
    if prediction.get("box"):
        x0, y0, x1, y1 = map(float, prediction["box"])
        box = (x0, y0, x1, y1)
    masks = tuple(_model_mask(documents, name, prediction, image.shape[:2]) for documents in models)
    return PromptRow(title, image, box, points, masks)


def _model_mask(
    documents: Mapping[str, Mapping[str, Any]], name: str, prompt: Mapping[str, Any], size: tuple[int, ...]
) -> "ModelMask":
    """Return a model's mask for the same prompt, in px; without one where the model was not given the prompt."""
    from linbench.coco.rle import decode
    from linbench.reports.paper.masks import ModelMask

    model = next(iter(documents.values()))["model"]
    is_random = model.get("sha256") is None
    weights = "" if is_random else f", {model.get('weights')} ({str(model.get('sha256'))[:8]})"
    mask = None
    for prediction in documents.get(name, {}).get("predictions", ()):
        is_same = all(prediction.get(part) == prompt.get(part) for part in ("box", "points"))
        if is_same and prediction["segmentation"]["size"] == list(size):
            mask = decode(prediction["segmentation"])
            break
    return ModelMask(f"{model.get('name')}{weights}", mask, "RANDOM WEIGHTS" if is_random else "")

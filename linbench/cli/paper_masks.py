"""Read what ``linbench predict`` wrote, for the paper's figures of masks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linbench.reports.paper.masks import ModelMask, PromptRow

SUFFIX = ".masks.json"
MAX_BYTES = 256 * 2**20
MAX_COORDINATE = 1e6  # px; above all that an image has, far below what a figure cannot draw


@dataclass(frozen=True)
class ModelPredictions:
    """The predictions of one model, by the image's name."""

    folder: Path
    documents: Mapping[str, Mapping[str, Any]]

    def path(self, name: str) -> Path:
        """Return the file with the predictions for an image."""
        return self.folder / f"{name}{SUFFIX}"


def read_rows(
    folders: Sequence[Path], image_folder: Path | None, max_rows: int
) -> "tuple[list[PromptRow], list[str]]":
    """Return rows for the first prompts that the first folder answers, and the faults of files and masks left out.

    folders: What ``--out`` of ``linbench predict`` was, one for each model.
    image_folder: Where the images are now, if not where they were.
    Raises ValueError for a folder without predictions.
    """
    faults: list[str] = []
    models = [ModelPredictions(folder, _read_folder(folder, faults)) for folder in folders]
    rows: list[PromptRow] = []
    for name, document in models[0].documents.items():
        if len(rows) >= max_rows:
            break
        try:
            image = _read_image(document, image_folder)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        predictions = document["predictions"][: max_rows - len(rows)]
        rows += [_row(name, image, prediction, models, faults) for prediction in predictions]
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
    """Return a document that has what a figure needs, its masks not yet decoded; raises ValueError otherwise."""
    kinds = {"image": str, "height": int, "width": int, "model": dict, "predictions": list}
    for name, kind in kinds.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise ValueError(f"it is no file of linbench predict: its {name!r} is no {kind.__name__}")
    for prediction in document["predictions"]:
        if not isinstance(prediction, dict) or not {"prompt", "segmentation"} <= prediction.keys():
            raise ValueError("a prediction in it has no prompt or no segmentation")
        label, segmentation = _label(prediction), prediction["segmentation"]
        if not isinstance(segmentation, dict):
            raise ValueError(f"{label}: its segmentation is no dict of run lengths")
        size, expected = segmentation.get("size"), [document["height"], document["width"]]
        if size != expected:
            raise ValueError(f"{label}: its mask has size {size!s:.40} (h, w), its image {expected}")
        if not _are_coordinates(prediction.get("box") or [0] * 4, 4):
            raise ValueError(f"{label}: its box is not x0, y0, x1, y1 in px")
        points = prediction.get("points") or []
        if not isinstance(points, list) or not all(_are_coordinates(point, 3) for point in points):
            raise ValueError(f"{label}: a point of it is not x, y and label")
    return document


def _label(prediction: Mapping[str, Any]) -> str:
    return f"prompt {prediction['prompt']!s:.20}"


def _are_coordinates(values: Any, count: int) -> bool:
    """Return whether a JSON value is a list of ``count`` numbers that an image can have."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) < MAX_COORDINATE for value in values)
    )


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
    models: Sequence[ModelPredictions],
    faults: list[str],
) -> "PromptRow":
    """Return one prompt with the mask of each model; masks that cannot be decoded are added to ``faults``."""
    from linbench.reports.paper.masks import PromptRow

    title = f"{Path(models[0].documents[name]['image']).name} #{prediction['prompt']}"
    points = tuple((float(x), float(y), int(label)) for x, y, label in prediction.get("points") or ())
    box = None
    if prediction.get("box"):
        x0, y0, x1, y1 = map(float, prediction["box"])
        box = (x0, y0, x1, y1)
    masks = tuple(_model_mask(model, name, prediction, faults) for model in models)
    return PromptRow(title, image, box, points, masks)


def _model_mask(
    predictions: ModelPredictions, name: str, prompt: Mapping[str, Any], faults: list[str]
) -> "ModelMask":
    """Return a model's name and weights with its mask for the same prompt, which is None where it has none."""
    from linbench.reports.paper.masks import ModelMask

    model = next(iter(predictions.documents.values()))["model"]
    is_random = model.get("sha256") is None
    weights = "" if is_random else f", {model.get('weights')} ({str(model.get('sha256'))[:8]})"
    mask = _decoded_mask(predictions, name, prompt, faults)
    return ModelMask(f"{model.get('name')}{weights}", mask, "RANDOM WEIGHTS" if is_random else "")


def _decoded_mask(
    predictions: ModelPredictions, name: str, prompt: Mapping[str, Any], faults: list[str]
) -> "NDArray[np.bool_] | None":
    """Return the mask ``h w`` for a prompt; None where the model was not given it, or its masks are damaged."""
    from linbench.coco.rle import decode

    for prediction in predictions.documents.get(name, {}).get("predictions", ()):
        is_same = all(prediction.get(part) == prompt.get(part) for part in ("box", "points"))
        if is_same and prediction["segmentation"]["size"] == prompt["segmentation"]["size"]:
            try:
                return decode(prediction["segmentation"])
            except ValueError as error:
                faults.append(f"{predictions.path(name)}: {_label(prediction)}: {error}")
    return None

"""Tiny sets in the published layouts for evaluations, and records by the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

from linbench.cli import app
from tests.data.sets import annotation, dump, photo, saved, square

TOY = Path(__file__).parents[2] / "plugins" / "toy.py"
H, W = 48, 64
CLASSES = {18: "dog", 3: "car"}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def run(suites: str, data: Path, results: Path, *more: object) -> Result:
    """``linbench run`` of the toy backbone with random weights on one thread."""
    toy = ("--plugin", TOY, "--backbone", "toy", "--random", "--threads", 1, "--device", "cpu", "--res", 64)
    return call("run", "--suite", suites, "--data", data, "--results", results, *toy, *more)


def records(results: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(results.glob("*/*/*/*.json"))]


def only(results: Path) -> dict[str, Any]:
    (found,) = records(results)
    return found


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    (entry,) = record["rounds"]
    return record | {"rounds": [{k: v for k, v in entry.items() if k not in ("started", "seconds")}]}


def mask(number: int) -> np.ndarray:
    """A square of its own for each number, at the size of the pictures."""
    return square(4 + number % 9, 6 + 3 * (number % 7), 12 + number % 16, (H, W))


def dis(root: Path, images: int = 4) -> Path:
    """DIS5K's validation set of that many pictures; the folder of the split."""
    folder = root / "DIS5K" / "DIS-VD"
    for number in range(images):
        photo(folder / "im" / f"p{number:02}.jpg", (H, W), seed=number)
        saved(mask(number).astype(np.uint8) * 255, folder / "gt" / f"p{number:02}.png")
    return folder


def coco(root: Path, images: int = 3) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """COCO's val2017 with one object a picture, and a detector's file; what the two JSON files hold."""
    truth = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": H, "width": W} for n in range(1, images + 1)],
        "annotations": [annotation(10 + n, n, mask(n), area=float(mask(n).sum())) for n in range(1, images + 1)],
        "categories": [{"id": number, "name": name} for number, name in CLASSES.items()],
    }
    found = [
        {"image_id": n, "category_id": category, "bbox": [4, 5, 30 + n, 25], "score": score}
        for n in range(1, images + 1)
        for category, score in ((18, 0.9), (3, 0.4))
    ]
    for n in range(1, images + 1):
        photo(root / "coco" / "val2017" / f"{n}.jpg", (H, W), seed=n)
    return truth, found


def write_coco(root: Path, truth: Any, found: Any) -> None:
    dump(root / "coco" / "annotations" / "instances_val2017.json", truth)
    dump(root / "coco" / "detections" / "coco_instances_results_vitdet.json", found)


def imagenet(root: Path, images: int = 4) -> Path:
    folder = root / "imagenet" / "val"
    for number in range(images):
        photo(folder / f"n0000000{number % 2}" / f"{number}.JPEG", (H, W), seed=number)
    return folder


def ade20k(root: Path, images: int = 3) -> Path:
    folder = root / "ADEChallengeData2016"
    for number in range(images):
        photo(folder / "images" / "validation" / f"{number}.jpg", (H, W), seed=number)
        labels = np.where(mask(number), 7, 3).astype(np.uint8)
        labels[:2] = 0
        saved(labels, folder / "annotations" / "validation" / f"{number}.png")
    return folder

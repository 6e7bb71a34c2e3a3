"""Made-up accuracy records with scores of single images, the same in every run."""

import zlib
from typing import Any

import numpy as np

from linbench.records import Record, Status

KEY = {
    "suite_version": 1,
    "options": {},
    "fusion": "none",
    "dtype": "float32",
    "device": "Intel Xeon Processor @ 2.80GHz",
    "device_type": "cpu",
    "threads": 2,
    "impl": "fast",
    "attention": "none",
    "protocol": "keep-aspect",
    "protocol_version": 1,
    "dataset": "DIS-VD",
    "split": "val",
    "dataset_checksum": "0123abcd",
    "box_source": "ground truth",
    "box_checksum": "",
}


def score(
    backbone: str,
    suite: str,
    mean: float,
    size: int = 1024,
    *,
    images: int = 100,
    seed: int = 0,
    own: float = 0.04,
    scale: str = "full",
    whole: dict[str, float] | None = None,
    **key: Any,
) -> Record:
    """Scores about ``mean``: images are easy or hard for all models alike, and ``own`` is what each has for itself.

    whole: Metrics that are no mean of images, in percent, in place of the others.
    """
    alike = np.random.default_rng(99).normal(0, 0.1, images)
    generator = np.random.default_rng([seed, zlib.crc32(f"{backbone} {suite} {size}".encode())])
    noise = generator.normal(0, own, images)
    iou = mean + alike - alike.mean() + noise - noise.mean()
    columns = {"iou": iou, "biou": iou - 0.05}
    metrics: dict[str, Any] = {f"m{name}": _metric(100 * column) for name, column in columns.items()}
    if whole:
        metrics = {
            name: {"value": value, "low": value - 1, "high": value + 1, "n": images} for name, value in whole.items()
        }
    checkpoint = {"file": f"{backbone}.safetensors", "sha256": "", "recipe": "sam-joint", "scale": scale}
    return Record(
        key={
            **KEY,
            "suite": suite,
            "backbone": backbone,
            "height": size,
            "width": size,
            "images": images,
            "checkpoint": f"sha256-of-{backbone}",
            **key,
        },
        status=Status.OK,
        rounds=(
            {
                "seed": 0,
                "started": "2026-11-21T08:00:00Z",
                "seconds": 5.0,
                "scores": {
                    "id": [f"image {i}" for i in range(images)],
                    **{k: v.tolist() for k, v in columns.items()},
                },
                "slices": {},
                "skipped": [],
            },
        ),
        metrics=metrics,
        environment={"torch": "2.15.0+cpu", "git_commit": "0123456789abcdef", "checkpoint": checkpoint},
        code_hash="present",
    )


def _metric(scores: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, Any]:
    mean, half = float(scores.mean()), 1.96 * float(scores.std()) / len(scores) ** 0.5
    return {"value": mean, "unit": "%", "low": mean - half, "high": mean + half, "n": len(scores)}

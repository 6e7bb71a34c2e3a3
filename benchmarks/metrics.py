"""What the metrics cost: boundaries, COCO evaluation and its intervals at val2017's size, on generated annotations.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --images 500

Objects are star-shaped polygons of 3 to 40 points on pictures of 640 x 480 and 480 x 640; their sizes are spread like
COCO's. A detection is an object moved, scaled and roughened, or one that is not there. One process throughout.
"""

import argparse
import resource
import statistics
import time
from typing import Any

import numpy as np
from pycocotools import mask as coco

from linbench.environment import cores
from linbench.metrics.coco import coco_evaluation
from linbench.metrics.iou import boundary

CATEGORIES = 80
OBJECTS_PER_IMAGE = DETECTIONS_PER_IMAGE = 7.2  # val2017: 36,335 objects; the detections of the target: 36,000
TARGET_MS = 40.0
TARGET_S, TARGET_GB = 180.0, 3.0


def star(rng: np.random.Generator, height: int, width: int) -> list[float]:
    """A polygon x y x y … around a random centre, 4 to 400 px across."""
    points = int(rng.integers(3, 41))
    radius = np.exp(rng.uniform(np.log(2), np.log(200))) * rng.uniform(0.6, 1.0, points)
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    x = np.clip(rng.uniform(0, width) + radius * np.cos(angle), 0, width)
    y = np.clip(rng.uniform(0, height) + radius * np.sin(angle), 0, height)
    return [float(v) for v in np.stack((x, y), axis=1).ravel().round(2)]


def like(rng: np.random.Generator, polygon: list[float]) -> list[float]:
    """The polygon as a detector may see it."""
    points = np.array(polygon).reshape(-1, 2)
    centre = points.mean(axis=0)
    size = np.ptp(points, axis=0).mean()
    points = centre + (points - centre) * rng.normal(1, 0.05) + rng.normal(0, 0.04 * size, points.shape)
    return [float(v) for v in points.ravel().round(2)]


def generated(images: int, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations, and detections as compressed run lengths."""
    rng = np.random.default_rng(seed)
    table: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    table["categories"] = [{"id": i, "name": f"class {i}"} for i in range(1, CATEGORIES + 1)]
    detections = []
    for image in range(1, images + 1):
        height, width = (480, 640) if rng.random() < 0.75 else (640, 480)
        table["images"].append({"id": image, "height": height, "width": width})
        present = rng.integers(1, CATEGORIES + 1, 3)
        objects = []
        for _ in range(rng.poisson(OBJECTS_PER_IMAGE)):
            objects.append((int(rng.choice(present)), star(rng, height, width)))
            number = len(table["annotations"]) + 1
            table["annotations"].append(
                {"id": number, "image_id": image, "category_id": objects[-1][0], "segmentation": [objects[-1][1]]}
            )
        for _ in range(rng.poisson(DETECTIONS_PER_IMAGE)):
            found = bool(objects) and rng.random() < 0.75
            category, polygon = objects[rng.integers(len(objects))] if found else (int(rng.choice(present)), [])
            polygon = like(rng, polygon) if found else star(rng, height, width)
            runs = coco.merge(coco.frPyObjects([polygon], height, width))
            detections.append(
                {
                    "image_id": image,
                    "category_id": category,
                    "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                    "score": float(np.clip(rng.normal(0.6 if found else 0.3, 0.2), 0, 1).round(3)),
                }
            )
    return table, detections


def boundaries(repeats: int = 20) -> bool:
    """Time the boundary of a 2048² mask of the hardest kind: one that fills the picture, with holes."""
    rng = np.random.default_rng(0)
    mask = np.ones((2048, 2048), np.bool_)
    mask[rng.integers(0, 2048, 40), rng.integers(0, 2048, 40)] = False
    boundary(mask)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        boundary(mask)
        taken.append(1e3 * (time.perf_counter() - start))
    median = statistics.median(taken)
    print(
        f"boundary of 2048²: median {median:.1f} ms, worst {max(taken):.1f} ms (n={repeats}; target {TARGET_MS:g} ms)"
    )
    return median <= TARGET_MS


def evaluation(images: int) -> bool:
    """Time the whole of ``coco_evaluation`` for masks and boundaries, and the intervals."""
    annotations, detections = generated(images)
    objects = len(annotations["annotations"])
    print(f"{images} images, {objects} objects, {len(detections)} detections, {cores()} cores")
    total = 0.0
    for iou in ("segm", "boundary"):
        start = time.perf_counter()
        found = coco_evaluation(annotations, detections, iou)  # type: ignore[arg-type]
        taken = time.perf_counter() - start
        start = time.perf_counter()
        low, high = found.intervals(seed=0)["map"]
        spread = time.perf_counter() - start
        total += taken
        value = found.metrics()["map"]
        print(f"{iou:9}{taken:6.1f} s, map {value:.4f}; 200 resamples {spread:.1f} s: {low:.4f} to {high:.4f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"both     {total:6.1f} s (target {TARGET_S:g} s)")
    print(f"peak     {peak:6.2f} GB, annotations and detections included (target {TARGET_GB:g} GB)")
    return total <= TARGET_S and peak <= TARGET_GB


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    images = parser.parse_args().images
    reached = [boundaries(), evaluation(images)]
    raise SystemExit(0 if all(reached) else "a target is missed")

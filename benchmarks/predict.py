"""The price of more prompts on one picture: 64 boxes against the encoder once and eight times 8 boxes.

    python benchmarks/predict.py [model] [side in px]

A ratio near 1 says that a picture is encoded once; below 1 that a call has a price of its own. Masks are brought to
the size of the picture; no file is written.
"""

import sys

import numpy as np
import torch
from side_by_side import conditions, medians

from linbench.models.sam import Prompts
from linbench.models.segmenter import load_segmenter

DEFAULTS = ("rwkv-sam-s", "512")
TURNS = 5
BOUND = 2.0


def main() -> None:
    name, side = (*sys.argv[1:3], *DEFAULTS[len(sys.argv) - 1 :])
    segmenter = load_segmenter(name, None, image_size=int(side))
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    corners = torch.from_numpy(rng.uniform((0, 0), (560, 400), (64, 2)).astype(np.float32))
    boxes = torch.cat([corners, corners + 80], dim=1)
    image = segmenter.transform.image(picture)

    def encode() -> None:
        with torch.inference_mode():
            segmenter.sam.encode(image)

    def predict(count: int) -> None:
        for _ in segmenter.predict(picture, Prompts(boxes=boxes[:count])):
            pass

    contenders = {"encoder": encode, "8 boxes": lambda: predict(8), "64 boxes": lambda: predict(64)}
    times = medians(contenders, TURNS)
    expected = times["encoder"] + 64 / 8 * times["8 boxes"]
    decoding = times["encoder"] + 64 / 8 * (times["8 boxes"] - times["encoder"])
    print(f"{name} at {side} px, {conditions(TURNS)}")
    for label, ms in times.items():
        print(f"{label:40}{ms:10.1f} ms")
    print(f"{'encoder + 64/8 x (8 boxes)':40}{expected:10.1f} ms   ratio {times['64 boxes'] / expected:.2f}")
    print(
        f"{'encoder + 64/8 x (8 boxes - encoder)':40}{decoding:10.1f} ms   ratio {times['64 boxes'] / decoding:.2f}"
    )
    print(f"asked: at most {BOUND:g}")


if __name__ == "__main__":
    main()

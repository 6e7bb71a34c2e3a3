"""The price of masks of everything against its parts: the encoder, and one decoder call for each 64 prompts.

    python benchmarks/everything.py [model] [side in px] [points per side]

The image is as large as the input. Weights are random, so a threshold of the predicted IoU is chosen that a fraction
of the masks passes; those are brought to the size of the image, and their stability and boxes are computed. Another
number of points than the 1,024 of the bound makes the encoder weigh more: the excess over the parts is then also
given for 1,024, as (encoder + 1,024 / points x the rest) over (encoder + 1,024 / points x the decoder).
"""

import sys

import numpy as np
import torch
from side_by_side import conditions, medians

from linbench.models.everything import Everything, segment_everything
from linbench.models.sam import Prompts
from linbench.models.segmenter import load_segmenter

DEFAULTS = ("sam-vit-b", "1024", "16")
FRACTIONS = (0.0, 0.25, 1.0)  # of the masks that pass the threshold of the predicted IoU
TURNS = 3
BATCH = 64
BOUND = 1.3


def main() -> None:
    name, side, points = (*sys.argv[1:4], *DEFAULTS[len(sys.argv) - 1 :])
    segmenter = load_segmenter(name, None, image_size=int(side))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (int(side), int(side), 3), dtype=np.uint8)
    size, count = image.shape[:2], int(points) ** 2
    at = torch.from_numpy(rng.uniform(0, int(side), (BATCH, 1, 2)).astype(np.float32))
    prompts = Prompts(points=at, labels=torch.ones(BATCH, 1, dtype=torch.long))
    with torch.inference_mode():
        embedding = segmenter.embed(image)

    def decode() -> torch.Tensor:
        with torch.inference_mode():
            return segmenter.decode(embedding, prompts, size, multimask=True, prompt_chunk=BATCH)[1]

    def encode() -> None:
        with torch.inference_mode():
            segmenter.embed(image)

    scores = decode().flatten()

    def everything(fraction: float) -> None:
        threshold = float(scores.quantile(1 - fraction)) if fraction < 1 else 0.0
        least = min(1.0, max(threshold, 1e-9)) if 0 < fraction < 1 else 1.0 - fraction
        segment_everything(segmenter, image, Everything(points_per_side=int(points), min_iou=least))

    contenders = {"encoder": encode, f"decoder of {BATCH} prompts": decode}
    contenders |= {f"everything, {f:.0%} pass": lambda f=f: everything(f) for f in FRACTIONS}
    times = medians(contenders, TURNS)
    encoder, decoder, *wholes = times.values()
    print(f"{name} at {side} px, {count} points, {conditions(TURNS)}")
    for label, ms in times.items():
        print(f"{label:40}{ms:10.1f} ms")
    parts = encoder + count / BATCH * decoder
    print(f"{'encoder + points / 64 x decoder':40}{parts:10.1f} ms")
    scale = 1024 / count
    for fraction, whole in zip(FRACTIONS, wholes, strict=True):
        scaled = (encoder + scale * (whole - encoder)) / (encoder + scale * (parts - encoder))
        print(f"{fraction:.0%} pass: ratio {whole / parts:.2f}; for 1,024 points {scaled:.2f} (at most {BOUND:g})")


if __name__ == "__main__":
    main()

"""Images/s of the suite ``masks`` with a segmenter that costs nothing: reading, boxes, metrics and records alone.

    python benchmarks/masks.py [images]

Images are JPEG files with one soft-edged object each, masks PNG files, both of 1024 x 1024 px. The segmenter answers
with the interior of the box at a quarter of the input's size, as a decoder does. The CPU seconds of an image, of all
threads of this process, say what two cores give on a machine that does nothing else; the wall clock also holds what
others do.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from linbench.backbones import backbone
from linbench.suites import suite
from linbench.suites.accuracy.options import MaskOptions
from linbench.suites.runner.ranks import Ranks

IMAGES, SIDE = 60, 1024
CORES = 2
ASKED = 20.0  # images/s on two cores
STRIDE = 4  # of the logits


class Box(nn.Module):
    """A segmenter whose mask is the interior of the box."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, image: Tensor) -> tuple[int, int]:
        """Return the size of the input, px."""
        return image.shape[2], image.shape[3]

    def decode(self, size: tuple[int, int], prompts: Any) -> tuple[Tensor, Tensor]:
        """Return logits ``m 1 h/4 w/4`` and scores ``m 1``."""
        y, x = (torch.arange(side // STRIDE) * STRIDE + STRIDE / 2 for side in size)
        x0, y0, x1, y1 = (prompts.boxes[:, index, None] for index in range(4))
        inside = ((x >= x0) & (x <= x1))[:, None, :] & ((y >= y0) & (y <= y1))[:, :, None]
        return inside[:, None].float() * 2 - 1, torch.ones(len(inside), 1)


class Encoder(nn.Module):
    """A backbone that is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.strides, self.widths = (16,), (8,)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError


@backbone("box", paper="none", source="benchmarks/masks.py", segmenter=lambda name, **options: Box())
def box(image_size: tuple[int, int], impl: str) -> Encoder:
    """Return the backbone of the segmenter whose mask is the box."""
    return Encoder()


def write(folder: Path, images: int, side: int) -> None:
    """Write images and masks."""
    rng = np.random.default_rng(0)
    for kind in ("im", "gt"):
        (folder / kind).mkdir()
    x = np.arange(side)
    for number in range(images):
        noise = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        noise.resize((side, side)).save(folder / "im" / f"{number}.jpg", quality=90)
        centre, radius = rng.uniform(0.3, 0.7, 2) * side, rng.uniform(0.1, 0.3) * side
        disc = ((x - centre[0]) ** 2 + (x[:, None] - centre[1]) ** 2 < radius**2).astype(np.uint8) * 255
        Image.fromarray(disc).filter(ImageFilter.GaussianBlur(1)).save(folder / "gt" / f"{number}_mask.png")


def main() -> None:
    """Print the rate."""
    images, side = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES, SIDE
    masks = suite["masks"].build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, images, side)
        options = MaskOptions(
            image_folder=folder / "im",
            mask_folder=folder / "gt",
            backbones=("box",),
            random=True,
            device="cpu",
            threads=CORES,
            eval_batch=4,
        )
        (cell,) = masks.cells(options)
        wall, cpu = time.perf_counter(), time.process_time()
        *_, last = masks.evaluate(cell, options, folder / "record.json", Ranks())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert last.record is not None and len(last.record.rounds[0]["scores"]["id"]) == images, last.record
    print(f"{images} images of {side} x {side} px, {CORES} threads, torch {torch.__version__}")
    print(f"{images / wall:.1f} images/s by the wall clock, {1000 * cpu / images:.0f} ms of CPU an image")
    print(f"{CORES * images / cpu:.1f} images/s where two cores are idle otherwise; asked: at least {ASKED:g}")


if __name__ == "__main__":
    main()

"""Pictures per second of the embedded data set, in memory, with one process and with two.

    python benchmarks/shapes.py [task] [side in px]
    python benchmarks/shapes.py --sheet docs/shapes.png

The second form draws the contact sheet of the documentation.
"""

import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from linbench.data.shapes import CLASSES, THINGS, RenderedScene, make_scene, render_scene

DEFAULTS = ("objects", "512")
IMAGES = 100  # of each process
ASKED = 40.0  # images/s of two processes at 512 px
ROWS = (
    ("instances, as COCO, COCONut, EntitySeg and SA-1B", "objects", (1, 19, 3, 17)),
    ("classes of pixels, as ADE20K", "objects", (5, 7, 35, 11)),
    ("one intricate object, as DIS5K", "dis", (4, 3, 12, 1)),
    ("one object with thin parts, as COIFT; one of any class, as HRSOD", "coift", (22, 26, 30, 21)),
    ("classes of pictures, as ImageNet", "classes", (22, 23, 31, 28)),
)
TILE, TITLE = 144, 14


def draw(task: str, side: int, first: int) -> float:
    """Draw pictures, masks included; returns images/s."""
    render_scene(make_scene(0, 0, task), side)  # compiles
    begun = time.perf_counter()
    for index in range(first, first + IMAGES):
        found = render_scene(make_scene(0, index, task), side)
        for one in found.objects:
            found.mask(one)
    return IMAGES / (time.perf_counter() - begun)


def main() -> None:
    if sys.argv[1:2] == ["--sheet"]:
        sheet(Path(sys.argv[2]))
        return
    task, side = (*sys.argv[1:3], *DEFAULTS[len(sys.argv) - 1 :])
    alone = draw(task, int(side), 0)
    print(f"{task} at {side} px, {IMAGES} pictures a process")
    print(f"1 process {alone:10.1f} images/s {1000 / alone:10.1f} ms a picture")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        both = sum(pool.starmap(draw, [(task, int(side), IMAGES * n) for n in range(2)]))
    print(f"2 processes {both:8.1f} images/s")
    print(f"asked: at least {ASKED:g} images/s of two processes at 512 px")


def sheet(path: Path) -> None:
    """Five rows of four pictures, with their masks beside them, in 32 shades a channel so that the file is small."""
    whole = Image.new("RGB", (8 * TILE, len(ROWS) * (TILE + TITLE)), "white")
    pen = ImageDraw.Draw(whole)
    for row, (title, task, indices) in enumerate(ROWS):
        y = row * (TILE + TITLE)
        pen.text((3, y + 1), title, fill="black")
        for column, index in enumerate(indices):
            kind = "hrsod" if task == "coift" and column > 1 else task
            found = render_scene(make_scene(0, index, kind), 3 * TILE)
            beside = labels(found) if row == 1 else masks(found)
            for place, pixels in enumerate((found.image, beside)):
                tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BOX)
                whole.paste(tile, ((2 * column + place) * TILE, y + TITLE))
            if task == "classes":
                pen.text(((2 * column + 1) * TILE + 4, y + TITLE + 3), THINGS[found.label], fill="white")
    Image.fromarray(np.asarray(whole) & 0xF8 | 4).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def masks(found: RenderedScene) -> NDArray[np.uint8]:
    """The picture darkened, with each object in a colour of its own."""
    shown = found.image // 3
    for one in found.objects:
        mask = found.mask(one)
        shown[mask] = shown[mask] // 2 + colours(64)[one.number % 64] // 4 * 3
    return shown


def labels(found: RenderedScene) -> NDArray[np.uint8]:
    """A colour for each class."""
    return colours(len(CLASSES))[found.semantic]


def colours(count: int) -> NDArray[np.uint8]:
    """As many that can be told apart."""
    return np.random.default_rng(5).integers(40, 250, (count, 3), dtype=np.uint8)


if __name__ == "__main__":
    main()

"""Write the embedded dataset: into a folder, or once into the user's cache."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from linbench.data.contract import BadDataset
from linbench.data.shapes.coco_layouts import COCO_KIN
from linbench.data.shapes.layouts import FOLDERS, Layout
from linbench.data.shapes.render import render_scene, sides
from linbench.data.shapes.scene import VERSION, make_scene
from linbench.system.affinity import unbind
from linbench.system.files import cache_dir, locked
from linbench.system.threads import cores

LAYOUTS = FOLDERS | COCO_KIN
FORMAT = 1  # of the files around the images: raised when a layout is written otherwise
PROGRESS_S = 3.0  # between two lines of progress
WRITERS = 4

Size = int | tuple[int, int]


def layout_of(name: str, split: str) -> Layout:
    """Return the layout of a name; raises ValueError, with the names allowed, also for a split that it has not."""
    if name not in LAYOUTS:
        raise ValueError(f"layout {name!r}: allowed are {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    if split not in layout.shown_by:
        raise ValueError(f"split {split!r}: the layout {name} has {', '.join(layout.shown_by)} only")
    return layout


def write_dataset(
    name: str, split: str, images: int, size: Size, seed: int, out: Path, advance: Callable[[int], None] | None = None
) -> Path:
    """Write a split below ``out``, which may hold other datasets, and other splits of this one; returns ``out``.

    advance: Called with the number of images that were written since the last call.
    Raises ValueError where the split exists already. A killed write leaves nothing that looks like a dataset.
    """
    layout = layout_of(name, split)
    if images < 1:
        raise ValueError(f"{images} images: at least 1")
    if (marker := out / layout.shown_by[split]).exists():
        raise ValueError(f"{marker} exists already; name another folder, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".shapes-", suffix=".part", dir=out))
    try:
        _write(layout, split, images, sides(size), seed, part, advance or (lambda _: None))
        _move(part, out, marker)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _write(
    layout: Layout, split: str, images: int, size: Size, seed: int, root: Path, advance: Callable[[int], None]
) -> None:
    def write_image(number: int) -> object:
        rendered = render_scene(make_scene(seed, number - 1, layout.task, split), size)
        return layout.write(rendered, number, split, root)

    entries = []
    # Drawing and compressing free the GIL.
    pool = ThreadPoolExecutor(min(WRITERS, cores()), initializer=unbind)
    try:
        for entry in pool.map(write_image, range(1, images + 1)):
            entries.append(entry)
            advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
    if layout.close:
        layout.close(entries, split, root)


def _move(part: Path, out: Path, last: Path) -> None:
    """Move files and whole folders into ``out``; a file about the classes is the same in each split.

    last: The path that shows that the split exists.
    """
    for path in sorted(part.iterdir(), key=lambda path: last.is_relative_to(out / path.name)):
        target = out / path.name
        if path.is_dir() and target.is_dir():
            _move(path, target, last)
        else:
            path.replace(target)


def prepare_dataset(layout: str, split: str, images: int, size: Size, seed: int = 0) -> Path:
    """Return the root of the embedded dataset in a layout, in the user's cache; writes it where it is missing.

    size: Side of the square images, or height and width, px.
    If several processes need it, one writes and the others wait. A folder of the final name is complete.
    Raises ValueError for what cannot be drawn, and BadDataset where the cache cannot be written.
    """
    h, w = sides(size)
    layout_of(layout, split)
    cache = cache_dir("data")
    name = f"shapes-{VERSION}.{FORMAT}-{layout}-{split}-{images}-{h}x{w}-seed{seed}"
    root = cache / name
    if root.is_dir():
        return root
    part = cache / f".{name}.part"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / f".{name}.lock", wait=True):
            if not root.is_dir():
                shutil.rmtree(part, ignore_errors=True)  # a killed writer's
                write_dataset(layout, split, images, size, seed, part, _progress(layout, split, images))
                part.replace(root)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadDataset(
            f"{root}: the embedded dataset cannot be written there: {reason}; XDG_CACHE_HOME moves it"
        ) from error
    return root


def _progress(layout: str, split: str, images: int) -> Callable[[int], None]:
    """Return a function that reports progress on standard error, every few seconds."""
    start = last = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= PROGRESS_S:
            last = now
            left = (now - start) * (images - done) / done
            text = f"writing the embedded dataset as {layout}, {split}: {done} of {images}, {left:.0f} s left"
            sys.stderr.write(f"linbench: {text}\n")

    return advance

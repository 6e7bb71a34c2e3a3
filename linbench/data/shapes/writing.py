"""Writing the embedded set: into a folder that somebody names, or once and for all into the user's cache."""

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
from linbench.data.shapes.render import rendered, sides
from linbench.data.shapes.scene import VERSION, scene
from linbench.system.affinity import unbind
from linbench.system.files import cache_dir, locked
from linbench.system.threads import cores

LAYOUTS = FOLDERS | COCO_KIN
FORMAT = 1  # of the files around the pictures: raised when a layout is written otherwise
PATIENCE_S = 3.0  # without a word
WRITERS = 4

Size = int | tuple[int, int]


def layout_of(name: str, split: str) -> Layout:
    """The layout of a name; raises ValueError with those that there are, and for a split that it has not."""
    if name not in LAYOUTS:
        raise ValueError(f"layout {name!r}: allowed are {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    if split not in layout.shown_by:
        raise ValueError(f"split {split!r}: the layout {name} has {', '.join(layout.shown_by)} only")
    return layout


def write(
    name: str, split: str, images: int, size: Size, seed: int, out: Path, advance: Callable[[int], None] | None = None
) -> Path:
    """Write a split below ``out``, which may hold other sets, and other splits of this one, and return ``out``.

    advance: Is told how many pictures are done.
    What is there of this split is not written over: ValueError. Nothing of a killed write looks like a set.
    """
    layout = layout_of(name, split)
    if images < 1:
        raise ValueError(f"{images} pictures: at least 1")
    if (there := out / layout.shown_by[split]).exists():
        raise ValueError(f"{there} is there already; name another folder, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".shapes-", suffix=".part", dir=out))
    try:
        _write(layout, split, images, sides(size), seed, part, advance or (lambda _: None))
        _move(part, out, there)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _write(
    layout: Layout, split: str, images: int, size: Size, seed: int, root: Path, advance: Callable[[int], None]
) -> None:
    def one(number: int) -> object:
        found = rendered(scene(seed, number - 1, layout.task, split), size)
        return layout.write(found, number, split, root)

    entries = []
    # Drawing and compressing free the GIL.
    pool = ThreadPoolExecutor(min(WRITERS, cores()), initializer=unbind)
    try:
        for entry in pool.map(one, range(1, images + 1)):
            entries.append(entry)
            advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
    layout.close(entries, split, root)


def _move(part: Path, out: Path, last: Path) -> None:
    """Bring files and whole folders to their place; a file that speaks of the classes is the same in each split.

    What shows that the split is there comes last.
    """
    for path in sorted(part.iterdir(), key=lambda path: last.is_relative_to(out / path.name)):
        target = out / path.name
        if path.is_dir() and target.is_dir():
            _move(path, target, last)
        else:
            path.replace(target)


def prepared(layout: str, split: str, images: int, size: Size, seed: int = 0) -> Path:
    """The root of the embedded set in a layout, from the user's cache, where it is written first if need be.

    size: Side of the square pictures, or height and width, px.
    Several processes may ask at once: one writes, and the others wait. A folder of the final name is whole.
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
                write(layout, split, images, size, seed, part, _telling(layout, split, images))
                part.replace(root)
    except OSError as error:
        said = error.strerror or str(error)
        raise BadDataset(
            f"{root}: the embedded set cannot be written there: {said}; XDG_CACHE_HOME moves it"
        ) from error
    return root


def _telling(layout: str, split: str, images: int) -> Callable[[int], None]:
    """Says on standard error how far the writing is, every few seconds."""
    begun = said = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, said
        done += n
        now = time.monotonic()
        if now - said >= PATIENCE_S:
            said = now
            left = (now - begun) * (images - done) / done
            sys.stderr.write(
                f"linbench: writing the embedded set as {layout}, {split}: {done} of {images}, {left:.0f} s left\n"
            )

    return advance

"""Files that a command writes for images: names that stay in one folder, and contents that are whole or absent."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from linbench.atomic import replacing

LONGEST = 120  # bytes of a name; file systems take 255, suffixes included


def output_names(images: Sequence[Path]) -> list[str]:
    """Return a name for each image, its own without the ending; all differ, on case-insensitive file systems too.

    Characters other than letters, digits, ``_``, ``-`` and ``.`` become ``_``, so that no name leaves the folder.
    """
    taken: set[str] = set()
    names = []
    for image in images:
        stem = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", image.stem)).strip(".")
        stem = stem.encode()[:LONGEST].decode(errors="ignore") or "image"
        name, count = stem, 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        names.append(name)
    return names


def file_identities(files: Iterable[Path]) -> set[tuple[int, int]]:
    """Return device and inode of each file that exists: equal for all names and links of one file."""
    return {(stat.st_dev, stat.st_ino) for file in files if file.exists() for stat in [file.stat()]}


def write(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader sees all of it or none."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)

"""Files that a command writes for pictures: names that stay in one folder, and contents that are whole or absent."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from linbench.atomic import replacing

LONGEST = 120  # bytes of a name; file systems take 255 with what comes behind it


def names(pictures: Sequence[Path]) -> list[str]:
    """A name for each picture, from its own without its ending; no two are alike, whatever the file system.

    Characters other than letters, digits, ``_``, ``-`` and ``.`` become ``_``, so that no name leads elsewhere.
    """
    taken: set[str] = set()
    found = []
    for picture in pictures:
        stem = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", picture.stem)).strip(".")
        stem = stem.encode()[:LONGEST].decode(errors="ignore") or "picture"
        name, count = stem, 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        found.append(name)
    return found


def identities(files: Iterable[Path]) -> set[tuple[int, int]]:
    """What tells files apart, by whatever names; of those that are there."""
    return {(found.st_dev, found.st_ino) for file in files if file.exists() for found in [file.stat()]}


def write(path: Path, content: bytes) -> None:
    """Write a file; a reader sees the whole of it or none."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)

"""Files of a data set: their names below a folder, and nothing outside it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from linbench.data.contract import BadDataset, BadSample

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def inside(folder: Path, name: str) -> Path:
    """The file that an annotation calls ``name``; raises ValueError where the name leads out of the folder.

    What a user linked into the folder is followed: only names are judged.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(sign in name for sign in "\\:\0\n\r"):
        raise ValueError(f"the file name {name[:80]!r} leads out of {folder}, or is no plain relative path")
    return folder / name


def names_in(folder: Path, endings: Iterable[str] = PICTURES) -> list[str]:
    """The names of the files in a folder with one of these endings, sorted, hidden ones left out.

    Raises BadDataset where the folder cannot be read.
    """
    endings = tuple(endings)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(endings)]
    except OSError as error:
        raise BadDataset(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    return sorted(name for name in names if not name.startswith("."))


def checksum(parts: Iterable[bytes]) -> str:
    """SHA-256, in hexadecimal, of parts, each with its length, so that no two sequences of them look alike."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def content_of(file: Path) -> bytes:
    """What stands for a file's bytes in a checksum: their own SHA-256."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def sizes_of(root: Path, files: Iterable[Path]) -> Iterator[bytes]:
    """What stands for pictures and masks in a checksum: their name below ``root`` and their size in bytes."""
    for file in files:
        try:
            size = file.stat().st_size
        except OSError:
            size = -1  # missing: the same file later gives another checksum
        yield os.fsencode(file.relative_to(root).as_posix()) + f" {size}".encode()


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def bad(file: Path | str, reason: str) -> BadSample:
    """The error of a file that cannot be used."""
    return BadSample(f"{file}: {reason}")

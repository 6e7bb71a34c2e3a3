"""The files of a dataset: their names in a folder, their sizes, and the checksum over both."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from linbench.data.contract import BadDataset, BadSample
from linbench.system.untrusted import one_line, open_file

LONGEST_LIST = 2**28  # bytes of a list of names; ImageNet's of 1.3 million images has 50 MB
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def names_in(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return the names of the files in a folder with one of these suffixes, sorted, hidden ones left out.

    Raises BadDataset where the folder cannot be read.
    """
    suffixes = tuple(suffixes)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(suffixes)]
    except OSError as error:
        raise BadDataset(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    return sorted(name for name in names if not name.startswith("."))


def folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, hidden ones left out.

    A broken link without a suffix in its name is listed too: reading it then reports the fault, and the indices of
    other folders do not change. Raises BadDataset where the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_folder(entry)]
    except OSError as error:
        raise BadDataset(f"{folder}: the folder cannot be read: {one_line(error)}") from error
    return sorted(name for name in names if not name.startswith("."))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError:
        return "." not in entry.name


def lines_of(file: Path) -> list[str]:
    """Return the lines of a list that belongs to a dataset; raises BadDataset where it cannot be read."""
    try:
        with open_file(file) as stream:
            content = stream.read(LONGEST_LIST + 1)
    except OSError as error:
        raise BadDataset(f"{file}: it cannot be read: {one_line(error)}") from error
    if len(content) > LONGEST_LIST:
        raise BadDataset(f"{file}: it has more than the {LONGEST_LIST:,} bytes that are read")
    return content.decode("utf-8-sig", "surrogateescape").splitlines()


def checksum(parts: Iterable[bytes]) -> str:
    """Return the SHA-256, in hexadecimal, of parts, each preceded by its length so that parts cannot shift."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def sizes_of(root: Path, files: Iterable[Path]) -> Iterator[bytes]:
    """Yield what represents images and masks in a checksum: their name below ``root`` and their size in bytes."""
    for file in files:
        is_below = file.is_relative_to(root)  # an annotation file may name files elsewhere, which are not read
        name, size = (file.relative_to(root), size_in_bytes(file)) if is_below else (file, -1)
        yield os.fsencode(f"{name.as_posix()} {size}")


def size_in_bytes(file: Path) -> int:
    """Return the size of a file, -1 if it is missing: the checksum changes when the file appears."""
    try:
        status = file.stat()
    except (OSError, ValueError):  # no such file, no permission, a circle of links; a name that no file can have
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def bad(file: Path | str, reason: str) -> BadSample:
    """Return the error of a file that cannot be used."""
    return BadSample(f"{file}: {reason}")

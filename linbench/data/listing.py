"""Files of a data set: their names below a folder and nothing outside it, their sizes, and how they are opened.

Whatever lies in a folder is met here: links that lead nowhere or in a circle, folders and pipes named like images.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath

from linbench.data.contract import BadDataset, BadSample

LONGEST_LIST = 2**28  # bytes of a list of names; ImageNet's of 1.3 million images has 50 MB
#: A pipe without a writer would block; not every system has each flag.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
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


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, hidden ones left out.

    A link that leads nowhere is listed where its name has no ending, as a folder's: reading it then says what is
    wrong, and no other folder moves into its place. Raises BadDataset where the folder cannot be read.
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


def exists(path: Path) -> bool:
    """Whether there is something at a path; False also where nobody may look, or links go in a circle."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def open_file(file: Path | str) -> BufferedReader:
    """Open a file for reading; raises OSError, also for a folder, pipe, socket or device, without waiting for it."""
    number = os.open(file, _FLAGS)
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(number, "rb")
    os.close(number)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name the files in it", str(file))
    raise OSError(f"it is a {'pipe' if stat.S_ISFIFO(mode) else 'device'}, not a file")


def lines_of(file: Path) -> list[str]:
    """The lines of a list that goes with a set; raises BadDataset where it cannot be read."""
    try:
        with open_file(file) as stream:
            content = stream.read(LONGEST_LIST + 1)
    except OSError as error:
        raise BadDataset(f"{file}: it cannot be read: {one_line(error)}") from error
    if len(content) > LONGEST_LIST:
        raise BadDataset(f"{file}: it has more than the {LONGEST_LIST:,} bytes that are read")
    return content.decode("utf-8-sig", "surrogateescape").splitlines()


def checksum(parts: Iterable[bytes]) -> str:
    """SHA-256, in hexadecimal, of parts, each with its length, so that no two sequences of them look alike."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def content_of(file: Path) -> bytes:
    """What stands for a file's bytes in a checksum: their own SHA-256."""
    with open_file(file) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def sizes_of(root: Path, files: Iterable[Path]) -> Iterator[bytes]:
    """What stands for pictures and masks in a checksum: their name below ``root`` and their size in bytes."""
    for file in files:
        within = file.is_relative_to(root)  # an annotation file may name what lies elsewhere, which is not read
        name, size = (file.relative_to(root), size_in_bytes(file)) if within else (file, -1)
        yield os.fsencode(f"{name.as_posix()} {size}")


def size_in_bytes(file: Path) -> int:
    """The size of a file; -1 where there is none, or something else: the same file later gives another checksum."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # no such file, no right to look, a circle of links; a name that no file can have
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def bad(file: Path | str, reason: str) -> BadSample:
    """The error of a file that cannot be used."""
    return BadSample(f"{file}: {reason}")

"""Files that others wrote: opened without waiting, kept inside a folder, bounded, and named in one printable line.

Such a file may be a link that leads nowhere or in a circle, a folder or a pipe named like an image, or an annotation
whose file names lead elsewhere.
"""

import errno
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

#: Largest image or mask that is read, in px: 400 MB as RGB. A small file can claim any size.
MOST_PIXELS = 2**27
#: Characters that end a line, control a terminal, or cannot be written as UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: A pipe without a writer would block; not every system has each flag.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def plain(text: str) -> str:
    """Return text that any terminal and any UTF-8 file takes.

    Control characters, and bytes of a name that are no UTF-8, become escapes such as ``\\n`` and ``\\udcff``.
    """
    return UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


@dataclass(frozen=True)
class Fault:
    """What is wrong with one file or entry; its texts are plain.

    id: The sample's id, empty where it belongs to none.
    """

    id: str
    file: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("id", "file", "reason"):
            object.__setattr__(self, name, plain(getattr(self, name)))


def one_line(error: Exception) -> str:
    """Return an error's message in one line."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def inside(folder: Path, name: str) -> Path:
    """Return the file that an annotation calls ``name``; raises ValueError where the name leads out of the folder.

    Links that a user placed in the folder are followed: only names are judged.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(sign in name for sign in "\\:\0\n\r"):
        raise ValueError(f"the file name {name[:80]!r} leads out of {folder}, or is no plain relative path")
    return folder / name


def exists(path: Path) -> bool:
    """Return whether there is something at a path; False also without permission, or where links go in a circle."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def is_file(path: Path) -> bool:
    """Return whether there is a file at a path; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at a path; False also for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def open_file(path: Path | str) -> BufferedReader:
    """Open a file for reading; raises OSError, also for a folder, pipe, socket or device, without waiting for it."""
    number = os.open(path, _FLAGS)
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(number, "rb")
    os.close(number)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name the files in it", str(path))
    raise OSError(f"it is a {'pipe' if stat.S_ISFIFO(mode) else 'device'}, not a file")


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's content, 32 bytes; raises OSError as ``open_file`` does."""
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").digest()

"""Files that several processes share: locks, hashes, and the folder of caches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from linbench.system.untrusted import file_digest

#: The lock file in a folder that one process at a time may write to.
LOCK_NAME = ".linbench.lock"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    return file_digest(path).hex()


def cache_dir(*parts: str) -> Path:
    """Return linbench's folder below ``XDG_CACHE_HOME`` or ``~/.cache``, or a folder inside it; creates nothing."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root.joinpath("linbench", *parts)


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on the file at ``path``, which is created if it is missing and stays afterwards.

    The operating system releases the lock when the process ends, however it ends.
    wait: Wait until the lock is free. Otherwise raises BlockingIOError where another process holds it.
    Raises OSError where the file cannot be created.
    """
    try:
        lock = FileLock(path, timeout=-1 if wait else 0).acquire()
    except Timeout:
        raise BlockingIOError(f"{path}: another process holds the lock") from None
    with lock:
        yield

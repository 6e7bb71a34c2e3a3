"""Files that several processes share: atomic writes, locks, hashes, and the folder of caches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linbench.system.untrusted import file_digest

#: The lock file in a folder that one process at a time may write to.
LOCK_NAME = ".linbench.lock"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; sync it to disk and rename it to ``path`` afterwards."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


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
    from filelock import FileLock, Timeout  # imported late: it is slow, and few commands lock

    try:
        lock = FileLock(path, timeout=-1 if wait else 0).acquire()
    except Timeout:
        raise BlockingIOError(f"{path}: another process holds the lock") from None
    with lock:
        yield

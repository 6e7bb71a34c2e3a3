"""The cache of compiled CPU kernels: compiled once, stored on disk, never stale.

numba caches a function's machine code by the time stamp of the function's file, and would use it even after a change
in a file that this one imports. Here the name of the folder is a hash of all kernel sources. It is in the user's
cache, so that the installed package may be read-only; where the cache cannot be written either, each process compiles
into a temporary folder, which its records show as ``kernel_compile_s``.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba

OTHER_FOLDERS = 4  # of other checkouts and versions that are not removed


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return ``numba.njit`` that releases the GIL and caches its machine code in linbench's folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        previous = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder())  # numba reads it once, where it decorates
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = previous

    return decorate


@cache
def folder() -> Path:
    """Return the folder for the machine code of these sources; remove the oldest ones of other sources."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes() + b"\0")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linbench" / "kernels"
    current = root / digest.hexdigest()[:16]
    if not current.exists():
        with suppress(OSError):
            current.mkdir(parents=True)
        if not os.access(current, os.W_OK):
            return _folder_of_this_process()
        others = sorted((p for p in root.iterdir() if p != current), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[OTHER_FOLDERS:]:
            shutil.rmtree(old, ignore_errors=True)
    return current


def _folder_of_this_process() -> Path:
    """Return a new folder that only this user can write, removed at exit: numba runs the code in its files."""
    temporary = Path(tempfile.mkdtemp(prefix="linbench-kernels-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary

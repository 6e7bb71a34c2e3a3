"""Compiled once, kept on disk, never stale: how numba keeps linbench's CPU kernels.

numba keeps a function's machine code by the time stamp of the one file that the function stands in, and would go on
using it after a change in a file that it imports. Here the folder bears a hash of all kernel sources. It lies in the
user's cache, so an installed package that cannot be written is no obstacle; where the cache cannot be written
either, each process has a folder of its own and compiles anew, which its records show as ``kernel_compile_s``.
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

from linbench.system.files import cache_dir

KEPT = 4  # folders of other sources that stay: of other checkouts and versions


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` that frees the GIL and keeps its machine code in linbench's own folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder())  # numba reads it once, where it decorates
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


@cache
def folder() -> Path:
    """Where the machine code of the present sources is kept; the oldest of other sources are removed."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        digest.update(str(source.relative_to(here)).encode() + b"\0" + source.read_bytes() + b"\0")
    root = cache_dir("kernels")
    mine = root / digest.hexdigest()[:16]
    if not mine.exists():
        with suppress(OSError):
            mine.mkdir(parents=True)
        if not os.access(mine, os.W_OK):
            return _folder_of_this_process()
        others = sorted((p for p in root.iterdir() if p != mine), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    return mine


def _folder_of_this_process() -> Path:
    """A new folder that nobody else can write, removed at exit: numba's files are trusted code."""
    own = Path(tempfile.mkdtemp(prefix="linbench-kernels-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own

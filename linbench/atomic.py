"""Atomic files: whole or absent, even when the writer is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; sync it to disk and rename it to ``path`` afterwards."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    temporary.replace(path)

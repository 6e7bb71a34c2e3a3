"""Files that are whole or absent, whenever the writer is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; what was written is on the disk before it takes the path's place."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    temporary.replace(path)

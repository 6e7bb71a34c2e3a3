"""Text that a report writes: whole or absent, the same bytes on every system."""

from collections.abc import Mapping
from pathlib import Path

from linbench.atomic import replacing


def write_texts(texts: Mapping[Path, str]) -> list[Path]:
    """Write each text under its path; return the paths in their order. Folders are made."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)

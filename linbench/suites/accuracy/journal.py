"""What an evaluation has so far: a line for each image, beside the record to come.

    results/<device>/<suite>/<backbone>/<name of the record>.<process>.journal

Each line carries its own check, so that a line torn by a killed process is known and dropped. The first line says of
which key, code and torch the others are: a journal of anything else is not read. The record replaces its journals.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

#: What is known of one image, as JSON values; ``number`` is its place in the data set.
Row: TypeAlias = Mapping[str, Any]

LARGEST_LINE = 2**26  # bytes; the masks of a COCO image take far less than a thousandth


@dataclass(frozen=True)
class Journal:
    """The journals of one record: one for each process.

    record: Where the record will be.
    header: What must be the same for a line to count: hashes of key and code, versions.
    """

    record: Path
    header: Mapping[str, str]

    def rows(self) -> dict[int, Row]:
        """What processes of earlier runs have, each image once, by its number."""
        found: dict[int, Row] = {}
        for path in self._paths():
            for row in self._whole(path)[0]:
                found.setdefault(row["number"], row)
        return found

    @contextmanager
    def appending(self, process: int) -> Iterator[Callable[[Row], None]]:
        """Yield a function that appends a row to the journal of one process; on its return the system has the line.

        A torn end is cut off first, and a journal of another key or other code is begun anew.
        """
        path = self.record.with_name(f"{self.record.stem}.{process}.journal")
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._whole(path)[1] if path.exists() else 0
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(whole)
            file.seek(whole)

            def append(row: Row) -> None:
                file.write(_line(row))
                file.flush()

            if not whole:
                append(self.header)
            yield append

    def clear(self) -> None:
        """Remove them all."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.record.parent.glob(f"{self.record.stem}.*.journal"))

    def _whole(self, path: Path) -> tuple[list[Row], int]:
        """The rows up to the first line that is not whole, and how many bytes these take; none of another header."""
        rows: list[Row] = []
        size = 0
        with path.open("rb") as file:
            while line := file.readline(LARGEST_LINE):
                row = _read(line)
                if row is None or (size == 0 and row != self.header):
                    break
                if size and type(row.get("number")) is not int:  # well formed, and written by something else
                    break
                if size:
                    rows.append(row)
                size += len(line)
        return rows, size


def _line(row: Row) -> bytes:
    text = json.dumps(dict(row), separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(line: bytes) -> Row | None:
    """The row of a line, or None where the line is not whole or is no object."""
    check, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

"""The journal of an evaluation: a line for each image, beside the record to come.

    results/<device>/<suite>/<backbone>/<name of the record>.<process>.journal

Each line carries a checksum, so that a line torn by a killed process is dropped. The first line names the key, code
and torch of the others: a journal of anything else is not read. The record replaces its journals.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

#: The result of one image, as JSON values; ``number`` is its index in the dataset.
Row: TypeAlias = Mapping[str, Any]

LARGEST_LINE = 2**26  # bytes; the masks of a COCO image take far less than a thousandth


@dataclass(frozen=True)
class Journal:
    """The journals of one record, one for each process.

    record: Path of the record to come.
    header: What must be equal for a line to count: hashes of key and code, versions.
    """

    record: Path
    header: Mapping[str, str]

    def rows(self) -> dict[int, Row]:
        """Return the rows that earlier runs left, each image once, by its index."""
        rows: dict[int, Row] = {}
        for path in self._paths():
            for row in self._whole(path)[0]:
                rows.setdefault(row["number"], row)
        return rows

    @contextmanager
    def appending(self, rank: int) -> Iterator[Callable[[Row], None]]:
        """Yield a function that appends a row to the journal of one process, and flushes it to the system.

        A torn end is cut off first; a journal of another key or other code starts anew.
        """
        path = self.record.with_name(f"{self.record.stem}.{rank}.journal")
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
        """Remove the journals of all processes."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.record.parent.glob(f"{self.record.stem}.*.journal"))

    def _whole(self, path: Path) -> tuple[list[Row], int]:
        """Return the rows before the first torn line, and their size in bytes; none under another header."""
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
    """Return the row of a line, or None where the line is torn or no object."""
    check, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
        return None
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None

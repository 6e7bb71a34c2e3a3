"""The accuracy report: records in; a table for each standing and a long CSV out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from linbench.atomic import replacing
from linbench.records import Record
from linbench.reports import accuracy_table
from linbench.reports.accuracy_rows import rows
from linbench.reports.table import Table, frame_to_csv, to_markdown


def tables(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[Table]:
    """What compares with published numbers in one table, and each kind of what does not in one of its own."""
    frame = rows(records, code_hashes)
    if frame.empty:
        return []
    return [accuracy_table.build(group) for _, group in frame.groupby("standing", sort=True)]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every row as plain values; a missing number is None."""
    frame = rows(records, code_hashes)
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict(orient="records")]


def write(records: Iterable[Record], folder: Path, code_hashes: Mapping[str, str] | None = None) -> list[Path]:
    """Write accuracy.md and accuracy.csv; the paths. Raises ValueError where no record is of such a suite."""
    records = list(records)
    frame = rows(records, code_hashes)
    if frame.empty:
        raise ValueError("records: none is of accuracy; measure some with linbench run --suite dis")
    folder.mkdir(parents=True, exist_ok=True)
    shown = [to_markdown(table) for table in tables(records, code_hashes)]
    texts = {
        folder / "accuracy.md": "\n".join(["# Accuracy\n", *shown]),
        folder / "accuracy.csv": frame_to_csv(frame),
    }
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)

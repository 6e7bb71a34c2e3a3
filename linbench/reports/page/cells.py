"""Latency cells as columns of a page, each with some of its samples."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from linbench.records import Record
from linbench.reports.latency.rows import SEARCHED, VARIES, visible
from linbench.reports.latency.table import MOST_BY_OTHERS
from linbench.reports.page.columns import Texts, around, number, thinned

#: Columns of ``rows.rows`` that the page shows as numbers.
NUMBERS = (
    *("median_ms", "low_ms", "high_ms", "iqr_ms", "p5_ms", "p95_ms", "p99_ms", "n", "rounds"),
    *("parameters_m", "peak_mib", "reserved_mib", "tokens", "height", "width"),
    *("load_s", "first_forward_s", "kernel_compile_s", "compile_s", "kernel_error", "dtype_error"),
    *("joules_per_image", "others_share"),
)
WORDS = ("label", "backbone", "options", "fusion", "size", "status", "reason", "interval", "gflops")
FURTHER = ("peak_kind", "throttled", "flops_missing", "chosen", "code_hash")
LONGEST_LOG = 1500  # characters, from its end
OWN = tuple(name for name in (*VARIES, *SEARCHED, "tf32") if name not in ("backbone", "height", "width"))


def cells(
    groups: Sequence[pd.DataFrame], records: Mapping[str, Record], texts: Texts, samples: int
) -> Iterator[dict[str, Any]]:
    """Every cell of every comparison.

    records: By the hash of their key.
    samples: Of each round at most.
    """
    for column, group in enumerate(groups):
        names = [name for name in NUMBERS if name in group]
        for line in visible(group).to_dict(orient="records"):
            row = {str(name): value for name, value in line.items()}
            record = records[row["key_hash"]]
            own = {name: record.key[name] for name in OWN if record.key.get(name) not in (None, {})}
            yield {
                "column": column,
                **{name: texts.place(row[name]) for name in (*WORDS, *FURTHER)},
                **{name: number(row[name]) for name in names},
                "marks": _marks(row),
                "own": texts.pairs(own),
                "environment": texts.environment(record.environment),
                "started": texts.place(max((str(entry.get("started", "")) for entry in record.rounds), default="")),
                "log": texts.place(record.log[-LONGEST_LOG:]),
                "key": row["key_hash"][:8],
                **_samples(record, row, samples),
            }


def _marks(row: Mapping[str, Any]) -> str:
    """A letter for each mark: not (c)onverged, (d)isturbed, (f)ew rounds, (s)tale, (t)hrottled."""
    ok = row["status"] == "ok"
    said = {
        "c": ok and not row["converged"],
        "d": ok and row["others_share"] > MOST_BY_OTHERS,
        "f": ok and row["interval"] != "rounds",
        "s": row["stale"],
        "t": row["throttled"] != "",
    }
    return "".join(letter for letter, holds in said.items() if holds)


def _samples(record: Record, row: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Of each round its median, how many samples it had, and some of them around the cell's median."""
    if row["status"] != "ok":
        return {"medians": [], "counts": [], "samples": []}
    taken = [entry["samples_ms"] for entry in record.rounds]
    return {
        "medians": [number(float(np.median(found))) for found in taken],
        "counts": [len(found) for found in taken],
        "samples": [around(thinned(found, most), row["median_ms"]) for found in taken],
    }

"""Throughputs as columns of a page, and the comparisons in which they stand together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.latency.rows import conditions, visible
from linbench.reports.page.columns import TextPool, dictionaries, number
from linbench.reports.page.latency import settings_of
from linbench.reports.statistics.quality import STALE, quality
from linbench.reports.throughput.table import build, rate

NUMBERS = (
    *("images_per_s", "low_per_s", "high_per_s", "median_ms", "low_ms", "high_ms", "n", "rounds"),
    *("parameters_m", "peak_mib", "reserved_mib", "height", "width", "others_share"),
)
TEXTS = (
    *("label", "backbone", "options", "fusion", "size", "status", "reason", "interval", "batch", "stopped"),
    *("peak_kind", "throttled", "chosen", "code_hash"),
)
#: The conditions that name a comparison in a list, those first that people choose by.
NAMING = ("part", "preset", "dtype", "threads", "impl")


def comparison_data(groups: Sequence[pd.DataFrame], pool: TextPool) -> list[dict[str, Any]]:
    """Return name, device, conditions, warnings and notes of each comparison."""
    keys = [conditions(group) for group in groups]
    tables = [build(group) for group in groups]
    return [
        {
            "name": pool.index(_name(key)),
            "device": pool.index(key.get("device", "unknown device")),
            "conditions": pool.pairs(key),
            "warnings": [pool.index(warning) for warning in table.warnings],
            "notes": [pool.index(note) for note in table.notes],
        }
        for key, table in zip(keys, tables, strict=True)
    ]


def throughputs(
    groups: Sequence[pd.DataFrame], records: Mapping[str, Record], pool: TextPool
) -> Iterator[dict[str, Any]]:
    """Yield every throughput of every comparison.

    records: By the hash of their key.
    """
    for comparison, group in enumerate(groups):
        for row in dictionaries(visible(group)):
            record = records[row["key_hash"]]
            known, is_ok = quality(row), row["status"] == "ok"
            yield {
                "comparison": comparison,
                "text": pool.index(rate(row, " images/s")),
                **{name: pool.index(row[name]) for name in TEXTS},
                **{name: number(row[name]) for name in NUMBERS},
                "marks": known.prefix + known.suffix if is_ok else STALE * known.is_stale,
                "doubt": pool.index(known.doubt if is_ok else ""),
                "settings": settings_of(record, pool),
                "environment": pool.environment(record.environment),
                "key": row["key_hash"][:8],
            }


def _name(key: Mapping[str, Any]) -> str:
    """Return the conditions of a comparison in a few words: "backbone, best, float32, 2 threads, fast"."""
    is_on_gpu = key.get("device_type") == "cuda"
    words = {name: str(key[name]) for name in NAMING if name in key and not (name == "threads" and is_on_gpu)}
    if "threads" in words:
        words["threads"] += " thread" + "s" * (words["threads"] != "1")
    return ", ".join(words.values())

"""Throughput records as a table with one row each: the columns of a latency per image, and those below.

| column | contains |
|---|---|
| ``images_per_s``, ``low_per_s``, ``high_per_s`` | the estimate at the best batch, and its 95 % interval |
| ``batch`` | the best batch of each round, the distinct ones by comma: each round finds its own |
| ``stopped`` | why no larger batch was tried |
| ``median_ms``, ``low_ms``, ``high_ms`` | the same per image, ms |
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.latency.rows import key_digest
from linbench.reports.latency.rows import rows as latency_rows

SUITE = "throughput"


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return one row for each record of the suite, as ``latency.rows.rows`` does.

    Raises BadRecord where a key lacks a backbone, a height or a width.
    """
    reported = [record for record in records if record.key.get("suite") == SUITE]
    frame = latency_rows(reported, code_hashes, SUITE)
    if frame.empty:
        return frame
    rounds = {key_digest(record): record.rounds for record in reported}
    frame["images_per_s"] = 1e3 / frame["median_ms"]
    frame["low_per_s"], frame["high_per_s"] = 1e3 / frame["high_ms"], 1e3 / frame["low_ms"]
    frame["batch"] = [_distinct(rounds[digest], "batch") for digest in frame["key_hash"]]
    frame["stopped"] = [_distinct(rounds[digest], "stopped") for digest in frame["key_hash"]]
    return frame


def _distinct(entries: Iterable[Mapping[str, Any]], name: str) -> str:
    """Return the distinct values of the rounds, by comma."""
    return ", ".join(dict.fromkeys(str(entry[name]) for entry in entries if name in entry))

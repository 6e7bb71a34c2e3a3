"""Accuracies as columns of a page, and the measures by which they may be compared."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.accuracy.rows import COLUMN
from linbench.reports.page.columns import Texts, number, thinned

#: What one measure is, beside the suite's metric: all but the size of the input.
MEASURE = ("standing", "metric", *(name for name in COLUMN if name != "size"))
WORDS = ("label", "backbone", "options", "fusion", "size", "status", "reason", "weights", "device", "recipe_hash")
NUMBERS = ("value", "low", "high", "n", "skipped")
MOST_SCORES = 200  # of one record


def scores(
    frame: pd.DataFrame, records: Mapping[str, Record], texts: Texts, samples: int
) -> tuple[list[dict[str, Any]], Iterator[dict[str, Any]]]:
    """The measures, and every row of ``accuracy_rows.rows`` with the place of its measure.

    samples: Scores of single images, of each row at most.
    """
    if frame.empty:
        return [], iter(())
    names = [name for name in MEASURE if name in frame]
    lines: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict(orient="records")]
    keys = [json.dumps([str(row[name]) for name in names]) for row in lines]
    firsts = {key: place for place, key in reversed(list(enumerate(keys)))}
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    measures = [_measure(lines[firsts[key]], texts) for key in order]
    return measures, _rows(lines, [order[key] for key in keys], records, texts, samples)


def _measure(row: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    return {
        **{name: texts.place(row.get(name, "")) for name in ("suite", "metric", "standing", "dataset", "protocol")},
        "facts": texts.pairs({name: row[name] for name in MEASURE if name in row and row[name] != ""}),
    }


def _rows(
    lines: list[dict[str, Any]], measures: list[int], records: Mapping[str, Record], texts: Texts, samples: int
) -> Iterator[dict[str, Any]]:
    for row, measure in zip(lines, measures, strict=True):
        record = records[row["key_hash"]]
        yield {
            "measure": measure,
            **{name: texts.place(row.get(name, "")) for name in WORDS},
            **{name: number(row[name]) for name in NUMBERS},
            "height": number(record.key.get("height")),
            "width": number(record.key.get("width")),
            "stale": int(bool(row["stale"])),
            "own": texts.pairs({k: v for k, v in record.key.items() if k not in MEASURE and v not in ({}, "")}),
            "environment": texts.environment(record.environment),
            "key": row["key_hash"][:8],
            "images": _images(record, str(row["metric"]), samples),
        }


def _images(record: Record, metric: str, samples: int) -> list[int]:
    """Some of the images' scores behind a metric in tenths of a percent; none where it is no mean of scores."""
    found: Any = record.rounds[0].get("scores") if record.rounds else None
    column = found.get(metric.removeprefix("m"), found.get(metric)) if isinstance(found, dict) else None
    if not isinstance(column, list) or not all(isinstance(score, int | float) for score in column):
        return []
    return [round(1000 * float(score)) for score in thinned(column, samples) if -1e3 < score < 1e3]

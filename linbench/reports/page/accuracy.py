"""Accuracies as columns of a page, and the measures by which they may be compared."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.accuracy.rows import COLUMN
from linbench.reports.accuracy.table import SHOWN
from linbench.reports.page.columns import TextPool, dictionaries, number, thin
from linbench.reports.statistics.quality import STALE

#: What two accuracies of one measure share: all but the size of the input.
MEASURE = ("standing", "metric", *(name for name in COLUMN if name != "size"))
TEXTS = ("label", "backbone", "options", "fusion", "size", "status", "reason", "weights", "device", "recipe_hash")
NUMBERS = ("value", "low", "high", "n", "skipped")
MOST_SCORES = 200  # of one record
FEWEST_IMAGES = 30  # below, the interval of a score is marked
FEW_IMAGES, SKIPPED = "ᵇ", "ᶜ"


def measure_groups(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each measure, in the order in which the measures come."""
    if frame.empty:
        return []
    names = [name for name in MEASURE if name in frame]
    keys = [json.dumps([str(value) for value in row]) for row in frame[names].itertuples(index=False, name=None)]
    return [group for _, group in frame.groupby(pd.Series(keys, index=frame.index), sort=False)]


def measures(groups: list[pd.DataFrame], pool: TextPool) -> list[dict[str, Any]]:
    """Return what each measure is, with the name of its metric as in tables."""
    rows = [group.iloc[0].to_dict() for group in groups]
    return [
        {
            **{
                name: pool.index(row.get(name, "")) for name in ("suite", "metric", "standing", "dataset", "protocol")
            },
            "name": pool.index(SHOWN.get(row["suite"], {}).get(row["metric"], row["metric"])),
            "facts": pool.pairs({name: row[name] for name in MEASURE if name in row and row[name] != ""}),
        }
        for row in rows
    ]


def scores(
    groups: list[pd.DataFrame], records: Mapping[str, Record], pool: TextPool, samples: int
) -> Iterator[dict[str, Any]]:
    """Yield every row of every measure.

    records: By the hash of their key.
    samples: Scores of single images, of each row at most.
    """
    for measure, group in enumerate(groups):
        for row in dictionaries(group):
            record = records[row["key_hash"]]
            settings = {k: v for k, v in record.key.items() if k not in MEASURE and v not in ({}, "")}
            yield {
                "measure": measure,
                **{name: pool.index(row.get(name, "")) for name in TEXTS},
                **{name: number(row[name]) for name in NUMBERS},
                "height": number(record.key.get("height")),
                "width": number(record.key.get("width")),
                "marks": _marks(row),
                "settings": pool.setting(settings),
                "environment": pool.environment(record.environment),
                "key": row["key_hash"][:8],
                "images": _images(record, str(row["metric"]), samples),
            }


def _marks(row: Mapping[str, Any]) -> str:
    """Return the signs of a score: of few images, of skipped images, and of code that has changed."""
    signs = {FEW_IMAGES: row["n"] < FEWEST_IMAGES, SKIPPED: row["skipped"] > 0, STALE: bool(row["stale"])}
    return "".join(sign for sign, applies in signs.items() if applies)


def _images(record: Record, metric: str, samples: int) -> list[int]:
    """Return some images' scores behind a metric in tenths of a percent; none where it is no mean of scores."""
    columns: Any = record.rounds[0].get("scores") if record.rounds else None
    column = columns.get(metric.removeprefix("m"), columns.get(metric)) if isinstance(columns, dict) else None
    if not isinstance(column, list) or not all(isinstance(score, int | float) for score in column):
        return []
    return [round(1000 * float(score)) for score in thin(column, samples) if -1e3 < score < 1e3]

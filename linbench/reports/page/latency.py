"""Latency cells as columns of a page, and the scenes in which they are looked at together.

A scene is one device, one part and one set of conditions; its columns are the presets, side by side. A column is one
comparison of ``rows.comparisons``. Two of them share a scene where their conditions agree in all but the preset and
what a preset may choose.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.latency.rows import SEARCHED, VARIES, conditions, visible
from linbench.reports.latency.table import Scaling, latency, timed
from linbench.reports.page.columns import TextPool, dictionaries, number, relative_steps, thin
from linbench.reports.render.table import Table
from linbench.reports.statistics.doubts import doubts
from linbench.reports.statistics.quality import STALE, quality

#: Columns of ``rows.rows`` that the page shows as numbers.
NUMBERS = (
    *("median_ms", "low_ms", "high_ms", "iqr_ms", "p5_ms", "p95_ms", "p99_ms", "n", "rounds"),
    *("parameters_m", "peak_mib", "reserved_mib", "tokens", "height", "width"),
    *("load_s", "first_forward_s", "kernel_compile_s", "compile_s", "kernel_error", "dtype_error"),
    *("joules_per_image", "others_share"),
)
TEXTS = (
    *("label", "backbone", "options", "fusion", "size", "status", "reason", "interval", "gflops"),
    *("peak_kind", "throttled", "flops_missing", "chosen", "code_hash"),
)
LONGEST_LOG = 1500  # characters, from its end
#: Settings of a cell that the conditions of its comparison do not name.
SETTINGS = tuple(name for name in (*VARIES, *SEARCHED, "tf32") if name not in ("backbone", "height", "width"))
#: What a preset may choose beside what the search chooses.
CHOSEN = ("preset", "tf32", *SEARCHED)
SCENE = ("suite", "device", "device_type", "part", "prompts")
PRESETS = ("paper", "best")  # in this order, before all others


def scenes(
    groups: Sequence[pd.DataFrame],
    tables: Sequence[Table],
    scaling: Sequence[Mapping[str, Scaling]],
    pool: TextPool,
) -> dict[str, Any]:
    """Return the scenes of all comparisons, and their columns in the order of ``groups``.

    tables: The latency table of each comparison: its warnings and notes stand beside the curves.
    scaling: What the curves of each comparison support, by model.
    """
    keys = [conditions(group) for group in groups]
    names = _column_names(keys)
    by_conditions: dict[str, dict[str, Any]] = {}
    columns: list[dict[str, Any]] = []
    for group, table, models, key, name in zip(groups, tables, scaling, keys, names, strict=True):
        scene: dict[str, Any] = {
            "device": pool.index(key.get("device", "unknown device")),
            "part": pool.index(timed(group)),
            "conditions": pool.index(_describe(key)),
            "columns": [],
        }
        by_conditions.setdefault(_shared(key), scene)["columns"].append(len(columns))
        columns.append(
            {
                "name": pool.index(name),
                "conditions": pool.pairs(key),
                "fits": [[pool.index(label), pool.index(fit)] for label, fit in fits(group, models).items()],
                "notes": [pool.index(note) for note in table.notes],
                "warnings": [pool.index(warning) for warning in table.warnings],
            }
        )
    for scene in by_conditions.values():
        scene["columns"].sort(key=lambda column: _preset_order(names[column]))
    return {"scenes": list(by_conditions.values()), "columns": columns}


def fits(rows: pd.DataFrame, scaling: Mapping[str, Scaling]) -> dict[str, str]:
    """Describe how the latency of each model of one comparison grows, or why that is not stated.

    scaling: From ``latency.table.scalings``.
    """
    reasons = {doubt.label: f"nothing derived: {doubt.reason}" for doubt in doubts(rows)}
    is_curve = rows["size"].nunique() > 1
    texts = {}
    for label, model in scaling.items():
        power, _, crossing = model.texts()
        parts = [f"exponent of tokens {power}"] if model.exponent else []
        if is_curve and model.crossover:
            parts.append(f"crossover with {model.crossover.reference}: {crossing} px")
        texts[label] = reasons.get(label) or "; ".join(parts)
    return texts


def cells(
    groups: Sequence[pd.DataFrame], records: Mapping[str, Record], pool: TextPool, samples: int
) -> Iterator[dict[str, Any]]:
    """Yield every cell of every comparison.

    records: By the hash of their key.
    samples: Of each round at most.
    """
    for column, group in enumerate(groups):
        numbers = [name for name in NUMBERS if name in group]
        for row in dictionaries(visible(group)):
            record = records[row["key_hash"]]
            known, is_ok = quality(row), row["status"] == "ok"
            yield {
                "column": column,
                "text": pool.index(latency(row)),
                **{name: pool.index(row[name]) for name in TEXTS},
                **{name: number(row[name]) for name in numbers},
                "marks": known.prefix + known.suffix if is_ok else STALE * known.is_stale,
                "doubt": pool.index(known.doubt if is_ok else ""),
                "settings": settings_of(record, pool),
                "environment": pool.environment(record.environment),
                "started": pool.index(max((str(entry.get("started", "")) for entry in record.rounds), default="")),
                "log": pool.index(record.log[-LONGEST_LOG:]),
                "key": row["key_hash"][:8],
                **_samples(record, row, samples),
            }


def settings_of(record: Record, pool: TextPool) -> int:
    """Return the index of the settings that the conditions of a record's comparison do not name."""
    return pool.setting({name: record.key[name] for name in SETTINGS if record.key.get(name) not in (None, {})})


def _samples(record: Record, row: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return each round's median, its count of samples, and some of them around the cell's median."""
    rounds = [entry["samples_ms"] for entry in record.rounds] if row["status"] == "ok" else []
    return {
        "medians": [number(median(samples)) for samples in rounds],
        "counts": [len(samples) for samples in rounds],
        "samples": [relative_steps(thin(samples, most), row["median_ms"]) for samples in rounds],
    }


def _column_names(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the preset of each comparison, with what it chose where one scene has several of a preset."""
    names = []
    for key in keys:
        alike = [
            other for other in keys if _shared(other) == _shared(key) and other.get("preset") == key.get("preset")
        ]
        telling = [k for k in CHOSEN if len({str(other.get(k)) for other in alike}) > 1]
        names.append(", ".join([str(key.get("preset", "unknown")), *(f"{k} {key.get(k)}" for k in telling)]))
    return names


def _shared(key: Mapping[str, Any]) -> str:
    """Return the conditions that all columns of a scene share, as text."""
    return json.dumps({k: v for k, v in key.items() if k not in CHOSEN}, sort_keys=True)


def _describe(key: Mapping[str, Any]) -> str:
    """Describe the conditions, those first that people choose by."""
    threads = [f"{key['threads']} threads"] if "threads" in key and key.get("device_type") == "cpu" else []
    first = [str(key[name]) for name in ("dtype", "impl") if name in key]
    named = ("dtype", "impl", "threads", *SCENE, *CHOSEN)
    return ", ".join([*first, *threads, *(f"{k.replace('_', ' ')} {v}" for k, v in key.items() if k not in named)])


def _preset_order(name: str) -> tuple[int, str]:
    preset = name.split(",")[0]
    return (PRESETS.index(preset) if preset in PRESETS else len(PRESETS), name)

"""What may be looked at together: one device, one part, one set of conditions; its presets are columns side by side.

A column is one comparison of ``rows.comparisons``. Two of them share a scene where their conditions agree in all but
the preset and what a preset may choose.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from linbench.reports.latency.rows import SEARCHED, conditions
from linbench.reports.latency.table import timed
from linbench.reports.page.columns import Texts
from linbench.reports.render.table import Table

#: What a preset may choose beside what the search does.
CHOSEN = ("preset", "tf32", *SEARCHED)
APART = ("suite", "device", "device_type", "part", "prompts")
FIRST = ("paper", "best")


def scenes(groups: Sequence[pd.DataFrame], tables: Sequence[Table], texts: Texts) -> dict[str, Any]:
    """The scenes of all comparisons, and their columns in the order of ``groups``.

    tables: The latency table of each comparison: its last three columns and its notes are shown with the curves.
    """
    keys = [conditions(group) for group in groups]
    names = _names(keys)
    found: dict[str, dict[str, Any]] = {}
    columns: list[dict[str, Any]] = []
    for group, table, key, name in zip(groups, tables, keys, names, strict=True):
        shared = {k: v for k, v in key.items() if k not in CHOSEN}
        scene = found.setdefault(
            json.dumps(shared, sort_keys=True),
            {
                "device": texts.place(key.get("device", "unknown device")),
                "part": texts.place(timed(group)),
                "rest": texts.place(_said(key)),
                "columns": [],
            },
        )
        scene["columns"].append(len(columns))
        columns.append(
            {
                "name": texts.place(name),
                "conditions": texts.pairs(key),
                "models": [[texts.place(cell) for cell in (row[0], *row[-3:])] for row in table.rows],
                "notes": [texts.place(note) for note in table.notes],
            }
        )
    for scene in found.values():
        scene["columns"].sort(key=lambda place: _order(names[place]))
    return {"scenes": list(found.values()), "columns": columns}


def _names(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """The preset of each comparison, with what it chose where one scene has several of a preset."""
    named = []
    for key in keys:
        alike = [
            other for other in keys if _shared(other) == _shared(key) and other.get("preset") == key.get("preset")
        ]
        telling = [k for k in CHOSEN if len({str(other.get(k)) for other in alike}) > 1]
        named.append(", ".join([str(key.get("preset", "unknown")), *(f"{k} {key.get(k)}" for k in telling)]))
    return named


def _shared(key: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in key.items() if k not in CHOSEN}


def _said(key: Mapping[str, Any]) -> str:
    """The conditions in words, those first that people choose by."""
    threads = [f"{key['threads']} threads"] if "threads" in key and key.get("device_type") == "cpu" else []
    own = [str(key[name]) for name in ("dtype", "impl") if name in key]
    named = ("dtype", "impl", "threads", *APART, *CHOSEN)
    return ", ".join([*own, *threads, *(f"{k.replace('_', ' ')} {v}" for k, v in key.items() if k not in named)])


def _order(name: str) -> tuple[int, str]:
    preset = name.split(",")[0]
    return (FIRST.index(preset) if preset in FIRST else len(FIRST), name)

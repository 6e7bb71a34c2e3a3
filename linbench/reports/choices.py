"""What the preset ``best`` chose, in words."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from linbench.records import BadRecord, Record

WORDS = {
    ("attention", "naive"): "naive attention",
    ("attention", "sdpa"): "fused attention",
    ("attention", "chunked"): "attention in blocks of queries",
    ("matmul", "medium"): "oneDNN products",
    ("allocator", "keep"): "freed memory kept",
    ("fused", True): "fused chains",
    ("memory_format", "channels_last"): "channels last",
    ("sdpa_backend", "flash"): "flash backend",
    ("sdpa_backend", "efficient"): "efficient backend",
    ("sdpa_backend", "cudnn"): "cuDNN backend",
    ("sdpa_backend", "math"): "math backend",
    ("cuda_graph", True): "CUDA graph",
    ("compile", True): "torch.compile",
}


def check(search: Mapping[str, Any]) -> None:
    """Raise BadRecord where a record's ``search`` is not what the search writes; an empty one is none."""
    kinds = {"candidates": list, "untried": list, "start": dict, "margin": int | float}
    for name, kind in kinds.items():
        if search and name in search and not isinstance(search[name], kind):
            raise BadRecord(f"search: {name} is {search[name]!r:.60}")
    if not isinstance(search.get("kept") or {}, dict):
        raise BadRecord(f"search: what was kept is {search['kept']!r:.60}")
    if not all(isinstance(each, dict) for each in search.get("candidates", ())):
        raise BadRecord("search: a candidate is no object")


def words(settings: Mapping[str, Any]) -> str:
    """Settings as a list for a person: what differs from torch as it is, or that nothing does."""
    found = [word for (name, value), word in WORDS.items() if settings.get(name) == value]
    return ", ".join(found) or "nothing beyond torch as it is"


def sentence(search: Mapping[str, Any]) -> str:
    """One search in a sentence: what it kept, at which size, out of how many, and which were wrong."""
    kept, tried = search.get("kept"), search.get("candidates") or []
    wrong = [str(each.get("reason")) for each in tried if each.get("status") == "wrong"]
    at = f"{search.get('height')}x{search.get('width')}"
    found = words(kept or search.get("start") or {}) + ("" if kept else ", unproven: no candidate ran and was right")
    left = len(search.get("untried") or [])
    return (
        f"{found} ({len(tried)} tried at {at}"
        + (f"; {left} left out for want of time" if left else "")
        + (f"; {len(wrong)} wrong: {wrong[0]}" if wrong else "")
        + ")"
    )


def best_of(record: Record) -> str:
    """A line about a record of the suite ``search``."""
    key = record.key
    part = " ".join(str(key[name]) for name in ("part", "fusion") if key.get(name, "none") != "none")
    named = (str(key.get("device", "")), f"{key.get('threads', '?')} threads", str(key.get("dtype", "")))
    conditions = ", ".join(filter(None, (part, *named)))
    return f"{conditions}: {sentence(record.search)}"


def notes(rows: pd.DataFrame) -> list[str]:
    """For a comparison of the preset ``best``: what was chosen for each backbone, and how."""
    if "preset" not in rows or not (rows["preset"] == "best").all():
        return []
    searched = rows[rows["search"].map(bool)]
    if searched.empty:
        return []
    chosen = [
        f"best: {label}: {' or '.join(dict.fromkeys(sentence(search) for search in group['search']))}."
        for label, group in searched.groupby("label", sort=False)
    ]
    margins = {search["margin"] for search in searched["search"] if "margin" in search}
    margin = f" by {100 * margins.pop():g} %" if len(margins) == 1 else ""
    return [
        *chosen,
        f"best: of the settings that give the plain forward's output, those that won{margin}, each tried in a fresh "
        "process; the sizes above run under the choice made at the one named.",
    ]

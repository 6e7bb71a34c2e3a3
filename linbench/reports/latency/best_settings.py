"""The settings that the preset ``best`` chose, described for a reader."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from linbench.records import BadRecord, Record

DESCRIPTIONS = {
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
    ("engine", "compile"): "torch.compile",
}


DEPLOYED = (
    "deployed: of all engines that are installed; error: max|diff| / max|eager float32| on drawn weights. Engines "
    "have other kernels than PyTorch: compare backbones within one engine too (--engine)."
)


def check_search(search: Mapping[str, Any]) -> None:
    """Raise BadRecord where a record's ``search`` is not what the search writes; an empty one is allowed."""
    kinds = {"candidates": list, "untried": list, "start": dict, "margin": int | float}
    for name, kind in kinds.items():
        if search and name in search and not isinstance(search[name], kind):
            raise BadRecord(f"search: {name} is {search[name]!r:.60}")
    if not isinstance(search.get("kept") or {}, dict):
        raise BadRecord(f"search: kept is {search['kept']!r:.60}")
    if not all(isinstance(candidate, dict) for candidate in search.get("candidates", ())):
        raise BadRecord("search: a candidate is not an object")


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Describe how settings differ from torch's defaults, or say that they do not."""
    texts = [text for (name, value), text in DESCRIPTIONS.items() if settings.get(name) == value]
    engine = settings.get("engine", "eager")
    if engine not in ("eager", "compile"):
        texts.insert(0, f"{engine} {settings.get('engine_version', '')}".strip())
    return ", ".join(texts) or "torch's defaults"


def describe_search(search: Mapping[str, Any]) -> str:
    """Describe one search: what it chose, out of how many settings at which size, and which were wrong."""
    chosen, candidates = search.get("kept"), search.get("candidates") or []
    wrong = [str(candidate.get("reason")) for candidate in candidates if candidate.get("status") == "wrong"]
    settings = describe_settings(chosen or search.get("start") or {})
    unproven = "" if chosen else ", unproven: no candidate ran and was right"
    error = next((c["error"] for c in candidates if c.get("kept") is True and _is_number(c.get("error"))), None)
    proven = "" if error is None or search.get("preset") != "deployed" else f", error {error:.0e}"
    untried = len(search.get("untried") or [])
    return (
        f"{settings}{unproven}{proven} ({describe_tried(len(candidates), f' at {_size(search)}')}"
        + (f"; {untried} untried for lack of time" if untried else "")
        + (f"; {len(wrong)} wrong: {wrong[0]}" if wrong else "")
        + ")"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def describe_tried(count: int, where: str = "") -> str:
    """Describe how many settings a search tried; a single one is where it starts.

    where: Such as " at 1024²".
    """
    return f"1 setting tried{where}: the starting point" if count == 1 else f"{count} settings tried{where}"


def _size(search: Mapping[str, Any]) -> str:
    height, width = search.get("height"), search.get("width")
    return f"{height}²" if height == width else f"{height}×{width}"


def describe_search_record(record: Record) -> str:
    """Describe a record of the suite ``search`` in one line."""
    key = record.key
    part = " ".join(str(key[name]) for name in ("part", "fusion") if key.get(name, "none") != "none")
    names = (str(key.get("device", "")), f"{key.get('threads', '?')} threads", str(key.get("dtype", "")))
    conditions = ", ".join(filter(None, (part, *names)))
    return f"{conditions}: {describe_search(record.search)}"


def notes(rows: pd.DataFrame) -> list[str]:
    """Return what was chosen for each backbone, and how; empty unless all rows are of one preset with a search."""
    if "preset" not in rows or (not set(rows["preset"]) <= {"best"} and not set(rows["preset"]) <= {"deployed"}):
        return []
    preset = str(rows["preset"].iloc[0])
    searched = rows[rows["search"].map(bool)]
    if searched.empty:
        return []
    chosen = [
        f"{preset}: {label}: {' or '.join(dict.fromkeys(describe_search(search) for search in group['search']))}."
        for label, group in searched.groupby("label", sort=False)
    ]
    margins = {search["margin"] for search in searched["search"] if "margin" in search}
    margin = f" by {100 * margins.pop():g} %" if len(margins) == 1 else ""
    return [
        *chosen,
        f"{preset}: each setting is tried in a fresh process at the size named above; the search adopts those that "
        f"give the plain forward's output and are faster{margin}. All sizes run with the result.",
        *([DEPLOYED] if preset == "deployed" else []),
    ]

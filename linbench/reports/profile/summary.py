"""What a reader must know beside the numbers of a profile: what was measured, its overhead, and what disturbed it."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from linbench.reports.statistics.quality import Quality

#: Settings that every title would repeat, by the value that goes without saying.
SILENT = {"impl": "fast", "attention": "none"}


def title(document: Mapping[str, Any]) -> str:
    """Return what was profiled, in one line."""
    subject = document["subject"]
    height, width = subject["size"]
    part = "" if subject["part"] in ("backbone", "module") else f" {subject['part']}"
    batch = f", batch {subject['batch']}" if subject["batch"] > 1 else ""
    preset = subject["settings"].get("preset", "")
    words = [f"{height}x{width}{batch}", subject["dtype"], preset, f"{subject['threads']} threads", subject["device"]]
    return f"{subject['model']}{part}: where the time goes at {', '.join(word for word in words if word)}"


def notes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the notes below a table of a profile."""
    return tuple(note for note in (_overhead(document), _roof(document), _missing(document), doubt(document)) if note)


def _overhead(document: Mapping[str, Any]) -> str:
    plain, whole = median(document["plain_ms"]), document["whole_ms"]
    return (
        f"Plain forward {plain:.4g} ms, profiled {median(document['profiled_ms']):.4g} ms (medians of "
        f"{len(document['plain_ms'])} each, in turn): the profiler adds {100 * document['overhead']:.1f} %. "
        f"The parts sum to {whole:.4g} ms, {100 * whole / plain:.1f} % of the plain forward."
    )


def _roof(document: Mapping[str, Any]) -> str:
    rates = document["rates"]
    return (
        f"roof: the least time at this machine's rates, {rates['flops_per_s'] / 1e9:.4g} GFLOP/s in a matrix product "
        f"and {rates['bytes_per_s'] / 1e9:.3g} GB/s in a copy, measured in this run, as % of the time; above 100 "
        "where data stays in caches."
    )


def _missing(document: Mapping[str, Any]) -> str:
    names = document["flops"]["missing"]
    return f"FLOPs are at least these; without a formula: {', '.join(names)}." if names else ""


def doubt(document: Mapping[str, Any]) -> str:
    """Return why the times are doubtful; empty where they are not."""
    share = document["conditions"].get("others_share")
    quality = Quality(rounds=1, others_share=math.nan if share is None else share)
    if not quality.is_disturbed:
        return ""
    return f"‡ Other programs used {100 * quality.others_share:.0f} % of the cores: times and overhead are doubtful."

"""What a reader must know beside the numbers of a profile: what was measured, its overhead, and what disturbed it."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from linbench.reports.render.plain_text import clip
from linbench.reports.statistics.quality import Quality

LONGEST_NAME = 32  # characters of a model's name
PARTS_UNNAMED = ("backbone", "module")


def title(document: Mapping[str, Any]) -> str:
    """Return what was profiled, in one line that fits 80 columns."""
    subject = document["subject"]
    height, width = subject["size"]
    part = "" if subject["part"] in PARTS_UNNAMED else f" {subject['part']}"
    batch = f", batch {subject['batch']}" if subject["batch"] > 1 else ""
    return f"{clip(subject['model'], LONGEST_NAME)}{part}: where the time goes at {height}x{width}{batch}"


def conditions(document: Mapping[str, Any]) -> str:
    """Return how and on what the forward ran."""
    subject = document["subject"]
    preset = subject["settings"].get("preset", "")
    threads = f"{subject['threads']} thread" + "s" * (subject["threads"] != 1)
    process = "a fresh process" if subject["process"] == "fresh" else "this process"
    words = (subject["dtype"], preset and f"preset {preset}", threads, subject["device"], process)
    return ", ".join(word for word in words if word)


def notes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the notes below a table of a profile."""
    lines = (
        f"{conditions(document)}.",
        _overhead(document),
        _roof(document),
        _missing(document),
        doubt(document),
    )
    return tuple(line for line in lines if line)


def in_ms(ms: float) -> str:
    """Return a time with as many digits as matter, without unit."""
    return f"{ms:.0f}" if ms >= 1000 else f"{ms:.1f}" if ms >= 100 else f"{ms:.2f}"


def _overhead(document: Mapping[str, Any]) -> str:
    plain, whole = median(document["plain_ms"]), document["whole_ms"]
    return (
        f"Plain forward {in_ms(plain)} ms, profiled {in_ms(median(document['profiled_ms']))} ms (medians of "
        f"{len(document['plain_ms'])} each, in turn): the profiler adds {100 * document['overhead']:.1f} %. "
        f"The parts sum to {in_ms(whole)} ms, {100 * whole / plain:.1f} % of the plain forward."
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

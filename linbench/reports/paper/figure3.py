"""Figure 3: latency against resolution on any device, beside the rates that the paper states for an A100."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from linbench.reports.paper import commands, faults
from linbench.reports.paper.evidence import PRESETS, Evidence
from linbench.reports.paper.layout import Entry, PaperTable, columns
from linbench.reports.paper.methods import RATES
from linbench.reports.paper.quantities import FPS
from linbench.reports.paper.quoted import Quoted, lines
from linbench.reports.rows import SEARCHED, comparisons, conditions

TITLE = "Figure 3"
BACKBONES = {"ViT-S": "vit-s", "RWKV-SAM-S": "rwkv-sam-s"}
SWEEP = "linbench run --suite latency --backbone vit-s,vim-s,vmamba-s,vrwkv-s,rwkv-sam-s --res 512..2048"


def build(evidence: Evidence) -> PaperTable:
    """The four rates that the text states."""
    entries = []
    for line in lines("figure 3"):
        backbone, size = BACKBONES[line["backbone"]], int(line["resolution"])
        found = evidence.rates(backbone, size)
        entries.append(Entry(_row(line), Quoted(line["fps"], TITLE), found, commands.rate(backbone, size)))
    return PaperTable(
        "figure-3",
        "Figure 3: latency of the backbone against resolution",
        tuple(entry.row for entry in entries),
        tuple(columns(FPS, entries, RATES)),
        faults=(faults.UNSAID_RATE, faults.OTHER_DEVICE, faults.VIT_OF_FIGURE_3),
        notes=("The picture needs a sweep of resolutions: " + SWEEP,),
        device=evidence.device,
    )


def panels(evidence: Evidence) -> list[pd.DataFrame]:
    """The comparisons that the picture shows: backbones alone, one after another, ``paper`` and ``best`` in turn."""
    frame = evidence.latency
    if frame.empty:
        return []
    found = [group for group in comparisons(frame) if _shown(conditions(group)) and (group["status"] == "ok").any()]
    return sorted(found, key=lambda group: [_rest(conditions(group)), PRESETS.index(conditions(group)["preset"])])


def quoted_points() -> dict[str, list[tuple[int, float]]]:
    """The paper's points: resolution in px and milliseconds, by linbench's names."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines("figure 3"):
        point = (int(line["resolution"]), 1000 / float(line["fps"]))
        found.setdefault(BACKBONES[line["backbone"]], []).append(point)
    return found


def heads(groups: Sequence[pd.DataFrame]) -> list[str]:
    """What each panel is: its preset and dtype, and what else tells it from the others."""
    keys = [conditions(group) for group in groups]
    telling = [name for name in keys[0] if len({str(key.get(name)) for key in keys}) > 1] if keys else []
    plain = ("preset", "dtype")
    more = [name for name in telling if name not in (*plain, *SEARCHED, "tf32")]
    return [
        ", ".join(
            [f"preset {key['preset']}", str(key.get("dtype", "")), *(f"{name} {key.get(name)}" for name in more)]
        )
        for key in keys
    ]


def _row(line: Mapping[str, str]) -> str:
    return f"{line['backbone']} at {line['resolution']}²"


def _shown(key: Mapping[str, Any]) -> bool:
    alone = key.get("part", "backbone") == "backbone" and key.get("mode", "latency") == "latency"
    return alone and key.get("preset") in PRESETS


def _rest(key: Mapping[str, Any]) -> str:
    return ", ".join(str(key.get(name, "")) for name in ("dtype", "threads", "impl"))

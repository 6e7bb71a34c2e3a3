"""Figure 3: latency against resolution on any device, beside the rates that the paper states for an A100."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from linbench.published.numbers import Quoted, lines
from linbench.records import slug
from linbench.reports.latency.rows import SEARCHED, comparisons, conditions
from linbench.reports.paper import commands, faults
from linbench.reports.paper.evidence import PRESETS, Evidence
from linbench.reports.paper.layout import Entry, PaperTable, columns
from linbench.reports.paper.methods import RATES
from linbench.reports.paper.quantities import FPS

TITLE = "Figure 3"
BACKBONES = {"ViT-S": "vit-s", "RWKV-SAM-S": "rwkv-sam-s"}
#: What belongs to one picture beside the preset.
REST = ("dtype", "threads", "impl")
FAMILIES = ("vit-", "vim-", "vmamba-", "vrwkv-", "rwkv-sam-", "efficientsam-", "sam-vit-")
MOST = 16  # models in a picture
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


def pages(evidence: Evidence) -> dict[str, list[pd.DataFrame]]:
    """The comparisons of backbones alone that the pictures show, those of ``paper`` and ``best`` of a kind together.

    By what tells the pictures apart, as part of a file's name: nothing where there is one.
    """
    frame = evidence.latency
    if frame.empty:
        return {}
    found = [group for group in comparisons(frame) if _shown(conditions(group)) and (group["status"] == "ok").any()]
    found.sort(key=lambda group: PRESETS.index(conditions(group)["preset"]))
    rests = [{name: str(conditions(group).get(name)) for name in REST} for group in found]
    telling = [name for name in REST if len({rest[name] for rest in rests}) > 1]
    made: dict[str, list[pd.DataFrame]] = {}
    for group, rest in zip(found, rests, strict=True):
        words = "".join(f"-{slug(f'{name} {rest[name]}' if name == 'threads' else rest[name])}" for name in telling)
        made.setdefault(words, []).append(group)
    return made


def chosen(groups: Sequence[pd.DataFrame]) -> tuple[list[str], int]:
    """The labels that a picture has room for, those of the paper's methods first, and how many are left out."""
    labels = list(dict.fromkeys(label for group in groups for label in group["label"]))
    labels.sort(key=lambda label: not label.startswith(FAMILIES))
    return labels[:MOST], len(labels[MOST:])


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

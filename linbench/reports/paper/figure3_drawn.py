"""The picture of Figure 3: a panel for each preset, one scale of milliseconds, the paper's points hollow."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from linbench.reports.latency.figure import curves
from linbench.reports.paper.figure3 import chosen, heads, quoted_points
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import Look, looks_of

PANEL = (7.4, 4.9)  # inches, of the curves with their legend
PER_MODEL = 0.52  # inches of the legend
CLOSEST = 0.13  # of the width of the axes, as in ``curves``
ACROSS = 2
NOTE = (
    "p: latency ∝ tokens$^p$, its 95 % interval; bands: 95 %; rings and bars: crossover with ViT and its 95 % "
    "interval; crosses on top: failed; hollow: quoted from the paper, on an A100; ¹ fewer than 3 rounds"
)


def draw(groups: Sequence[pd.DataFrame], device: str) -> Figure:
    """The picture of one of ``figure3.pages``."""
    labels, left_out = chosen(groups)
    groups = [group[group["label"].isin(labels)] for group in groups]
    looks = looks_of([*labels, *(name for name in quoted_points() if name not in labels)])
    down, across = math.ceil(len(groups) / ACROSS), min(len(groups), ACROSS)
    tall = max(PANEL[1], PER_MODEL * (len(labels) + 2) + 0.8)
    with style():
        figure = Figure(figsize=(PANEL[0] * across, tall * down + 0.5), layout="constrained")
        drawn = [
            _panel(figure.add_subplot(down, across, i), group, looks, head, quotes=i == 1)
            for i, (group, head) in enumerate(zip(groups, heads(groups), strict=True), start=1)
        ]
        _one_scale(drawn)
        wide = 80 * across
        title = "\n".join(textwrap.wrap(_title(groups, device), wide))
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        note = NOTE + (f"; {left_out} more models are in the records" if left_out else "")
        figure.supxlabel("\n".join(textwrap.wrap(note, wide + 14)), fontsize=8.5, x=0.01, ha="left")
    return figure


def _panel(axes: Any, rows: pd.DataFrame, looks: dict[str, Look], head: str, quotes: bool) -> Any:
    curves(axes, rows, looks, closest=CLOSEST)
    axes.set_title(literal(head, 90))
    axes.set_xlabel("resolution, px")
    axes.set_ylabel("latency, ms")
    if quotes:
        _quoted(axes, looks)
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.01), frameon=False, fontsize=8.5, labelspacing=0.8, handlelength=2.6
    )
    return axes


def _quoted(axes: Any, looks: dict[str, Look]) -> None:
    """The paper's points, hollow, and both scales widened to hold them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for name, points in quoted_points().items():
        sides, times = zip(*points, strict=True)
        look = looks[name]
        axes.plot(
            *(sides, times, ":"),
            **{"marker": look.marker, "color": look.colour, "mfc": "white", "ms": 7, "mew": 1.4, "lw": 1.0},
            label=f"{name}\nquoted, A100",
            zorder=4,
        )
        left, right = min(left, min(sides) / 1.07), max(right, max(sides) * 1.07)
        bottom, top = min(bottom, min(times) / 1.5), max(top, max(times) * 1.5)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _one_scale(drawn: Sequence[Any]) -> None:
    ends = [axes.get_ylim() for axes in drawn]
    for axes in drawn:
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _title(groups: Sequence[pd.DataFrame], device: str) -> str:
    torch = sorted({str(version) for group in groups for version in group["torch"] if version})
    return literal(f"Latency of the backbone against resolution: {device}, batch 1, torch {', '.join(torch)}", 200)

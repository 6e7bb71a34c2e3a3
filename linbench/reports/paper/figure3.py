"""Draw Figure 3: latency against resolution on any device, beside the rates that the paper states for an A100.

A page has a panel for each preset on one scale of milliseconds; the published points are hollow.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from linbench.records import slug
from linbench.reports.latency.figure import curves
from linbench.reports.latency.rows import SEARCHED, comparisons, conditions
from linbench.reports.paper.evidence import PRESETS
from linbench.reports.paper.spec import table_specs
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import Look, looks_of
from linbench.reports.statistics.quality import headline, quality

#: Conditions, beside the preset, that all curves of one page share.
PAGE_CONDITIONS = ("dtype", "threads", "impl")
FAMILIES = ("vit-", "vim-", "vmamba-", "vrwkv-", "rwkv-sam-", "efficientsam-", "sam-vit-")
MAX_MODELS = 16  # in a panel
PANEL_SIZE = (7.4, 4.9)  # inches, of the curves with their legend
LEGEND_HEIGHT = 0.52  # inches for each model
CLOSEST = 0.13  # of the width of the axes, as in ``curves``
MAX_ACROSS = 2
NOTE = (
    "p: latency ∝ tokens$^p$, its 95 % interval; bands: 95 %; rings and bars: crossover with ViT and its 95 % "
    "interval; crosses on top: failed; "
    "ᵃ\N{NO-BREAK SPACE}fewer than 3 rounds"
)
HOLLOW = "; hollow: quoted from the paper, on an A100"


def pages(latency: pd.DataFrame) -> dict[str, list[pd.DataFrame]]:
    """Return the comparisons that the figure shows, by what tells its pages apart as part of a file's name.

    Only comparisons of backbones alone are shown, those of ``paper`` and ``best`` under the same conditions on one
    page; the name is empty where there is one page.

    latency: From ``latency.rows.rows``.
    """
    if latency.empty:
        return {}
    groups = [group for group in comparisons(latency) if _is_shown(group)]
    groups.sort(key=lambda group: PRESETS.index(conditions(group)["preset"]))
    keys = [{name: str(conditions(group).get(name)) for name in PAGE_CONDITIONS} for group in groups]
    distinguishing = [name for name in PAGE_CONDITIONS if len({key[name] for key in keys}) > 1]
    result: dict[str, list[pd.DataFrame]] = {}
    for group, key in zip(groups, keys, strict=True):
        texts = [f"threads {key[name]}" if name == "threads" else key[name] for name in distinguishing]
        result.setdefault("".join(f"-{slug(text)}" for text in texts), []).append(group)
    return result


def choose_models(groups: Sequence[pd.DataFrame]) -> tuple[list[str], int]:
    """Return the labels that a panel has room for, the paper's methods first, and how many are left out."""
    labels = list(dict.fromkeys(label for group in groups for label in group["label"]))
    labels.sort(key=lambda label: not label.startswith(FAMILIES))
    return labels[:MAX_MODELS], len(labels[MAX_MODELS:])


def published_points() -> dict[str, list[tuple[int, float]]]:
    """Return the paper's points, resolution in px and milliseconds, by backbone."""
    spec = table_specs()["figure-3"]
    points: dict[str, list[tuple[int, float]]] = {}
    for row in spec.rows:
        milliseconds = 1000 / spec.published.number(row.where, "fps").value
        points.setdefault(row.backbone, []).append((row.size, milliseconds))
    return points


def comparable_points(labels: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Return the paper's points where all measured models are of their variant: none of S beside curves of T.

    labels: Of the measured models.
    """
    variants = {_variant(label) for label in labels}
    return {name: points for name, points in published_points().items() if variants == {_variant(name)}}


def _variant(label: str) -> str:
    """Return the size that ends a backbone's name: ``s`` of ``vit-s, naive``."""
    return label.partition(",")[0].split()[0].rsplit("-", 1)[-1]


def draw(groups: Sequence[pd.DataFrame], device: str) -> Figure:
    """Draw one of ``pages``."""
    labels, left_out = choose_models(groups)
    groups = [group[group["label"].isin(labels)] for group in groups]
    looks = looks_of([*labels, *(name for name in published_points() if name not in labels)])
    down, across = math.ceil(len(groups) / MAX_ACROSS), min(len(groups), MAX_ACROSS)
    height = max(PANEL_SIZE[1], LEGEND_HEIGHT * (len(labels) + 2) + 0.8)
    with style():
        figure = Figure(figsize=(PANEL_SIZE[0] * across, height * down + 0.5), layout="constrained")
        panels = [figure.add_subplot(down, across, i) for i in range(1, len(groups) + 1)]
        for axes, group, title in zip(panels, groups, _titles(groups), strict=True):
            curves(axes, group, looks, closest=CLOSEST)
            axes.set(xlabel="resolution, px", ylabel="latency, ms")
            axes.set_title(literal(title, 90))
        quoted = comparable_points(labels)
        _draw_published(panels[0], looks, quoted)
        for axes in panels:
            position = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.01), "frameon": False}
            axes.legend(fontsize=8.5, labelspacing=0.8, handlelength=2.6, **position)
        _share_scale(panels)
        width = 80 * across
        figure.suptitle(
            "\n".join([*textwrap.wrap(_title(groups, device), width), *textwrap.wrap(_headline(groups), width)]),
            x=0.01,
            ha="left",
            fontsize=11,
        )
        note = (
            NOTE + (HOLLOW if quoted else "") + (f"; {left_out} more models are in the records" if left_out else "")
        )
        figure.supxlabel("\n".join(textwrap.wrap(note, width + 14)), fontsize=8.5, x=0.01, ha="left")
    return figure


def _is_shown(group: pd.DataFrame) -> bool:
    key: Mapping[str, Any] = conditions(group)
    is_backbone = key.get("part", "backbone") == "backbone" and key.get("mode", "latency") == "latency"
    return is_backbone and key.get("preset") in PRESETS and bool((group["status"] == "ok").any())


def _titles(groups: Sequence[pd.DataFrame]) -> list[str]:
    """Title each panel with its preset and dtype, and with what else tells it from the others."""
    keys = [conditions(group) for group in groups]
    names = [name for name in keys[0] if len({str(key.get(name)) for key in keys}) > 1]
    names = [name for name in names if name not in ("preset", "dtype", *SEARCHED, "tf32")]
    return [
        ", ".join(
            [f"preset {key['preset']}", str(key.get("dtype", "")), *(f"{name} {key.get(name)}" for name in names)]
        )
        for key in keys
    ]


def _draw_published(axes: Any, looks: dict[str, Look], quoted: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Draw the paper's points hollow, and widen both scales to hold them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for name, points in quoted.items():
        sides, times = zip(*points, strict=True)
        hollow = {"marker": looks[name].marker, "color": looks[name].colour, "mfc": "white", "ms": 7, "mew": 1.4}
        axes.plot(sides, times, ":", lw=1.0, label=f"{name}\nquoted, A100", zorder=4, **hollow)
        left, right = min(left, min(sides) / 1.07), max(right, max(sides) * 1.07)
        bottom, top = min(bottom, min(times) / 1.5), max(top, max(times) * 1.5)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _headline(groups: Sequence[pd.DataFrame]) -> str:
    """Return the warning about disturbed latencies; empty without any."""
    rows = [row for group in groups for row in group[group["status"] == "ok"].to_dict("records")]
    return headline(quality({str(name): value for name, value in row.items()}) for row in rows)


def _share_scale(panels: Sequence[Any]) -> None:
    limits = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _title(groups: Sequence[pd.DataFrame], device: str) -> str:
    torch = sorted({str(version) for group in groups for version in group["torch"] if version})
    return literal(f"Latency of the backbone against resolution: {device}, batch 1, torch {', '.join(torch)}", 200)

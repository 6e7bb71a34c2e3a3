"""A segmenter's parts side by side: encoder, decoder, their sum and the whole, a line for each model and size."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.latency.notes import PARTS, disturbed, doubt_notes, falling_curves, marks
from linbench.reports.latency.rows import comparisons, conditions
from linbench.reports.latency.table import Row, boxes, latency, subject
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.latency_summary import contrast

HEADS = {"encoder": "encoder", "decoder": "decoder", "sum": "encoder\n+ decoder", "end-to-end": "end to end"}
#: The columns that a part has in common with the whole; an encoder serves each fusion.
SEGMENTER = ("backbone", "options", "fusion", "height", "width")
SUM_NOTE = (
    "encoder + decoder: the sum of the two medians, measured apart, with its own interval; end to end is measured as "
    "a whole."
)


@dataclass(frozen=True)
class Combined:
    """A table of parts, and the ``comparison`` of each that it holds."""

    table: Table
    comparisons: frozenset[str]


def combine(frame: pd.DataFrame) -> list[Combined]:
    """Return a table for each set of conditions and number of prompts under which several parts were measured."""
    groups = [group for group in comparisons(frame) if str(group["part"].iloc[0]) in PARTS]
    shared = [json.dumps({**conditions(group), "part": "", "prompts": 0}, sort_keys=True) for group in groups]
    result = []
    for key in dict.fromkeys(shared):
        alike = [group for group, other in zip(groups, shared, strict=True) if other == key]
        for prompts in sorted({int(group["prompts"].iloc[0]) for group in alike} - {0}):
            parts = [group for group in alike if group["prompts"].iloc[0] in (0, prompts)]
            if len(parts) > 1 and not pd.concat(parts).duplicated(["part", *SEGMENTER]).any():
                names = frozenset(str(group["comparison"].iloc[0]) for group in parts)
                result.append(Combined(_build(parts, prompts), names))
    return result


def _build(parts: list[pd.DataFrame], prompts: int) -> Table:
    """Return the table of comparisons that differ in their part alone."""
    rows = pd.concat(parts, ignore_index=True)
    measured = [str(group["part"].iloc[0]) for group in parts]
    shown = [
        part for part in HEADS if part in measured or (part == "sum" and {"encoder", "decoder"} <= set(measured))
    ]
    lines = tuple((name, *(_text(cells, part) for part in shown)) for name, cells in _segmenters(rows).items())
    notes = [*(PARTS[part] for part in shown if part in PARTS), *([SUM_NOTE] if "sum" in shown else [])]
    notes += ["latency.md has a table of each part too: parameters, FLOPs, memory, scaling, and what starting costs."]
    notes += [*marks(rows), *(note for group in parts for note in doubt_notes(group))]
    title = f"Latency of a segmenter's parts for {boxes(prompts)}: {subject(parts[0])}"
    columns = ("backbone, size", *(HEADS[part] for part in shown))
    falling = [text for group in parts for text in falling_curves(group)]
    return Table(title, columns, lines, tuple(notes), (*disturbed(rows), *falling))


def _segmenters(rows: pd.DataFrame) -> dict[str, dict[str, Row]]:
    """Return the cells of each segmenter and size by their part, under its name; an encoder serves each fusion."""
    cells = [{str(k): v for k, v in row.items()} for row in rows.to_dict(orient="records")]
    order = {name: i for i, name in enumerate(rows["backbone"].unique())}
    cells.sort(
        key=lambda cell: (order[cell["backbone"]], cell["options"], cell["fusion"], cell["pixels"], cell["height"])
    )
    segmenters: dict[tuple[object, ...], dict[str, Row]] = {}
    for cell in cells:
        if cell["part"] != "encoder":
            segmenters.setdefault(tuple(cell[name] for name in SEGMENTER), {})[cell["part"]] = cell
    encoders = {
        tuple(cell[name] for name in SEGMENTER if name != "fusion"): cell
        for cell in cells
        if cell["part"] == "encoder"
    }
    for (backbone, options, _, *size), parts in segmenters.items():
        encoder = encoders.get((backbone, options, *size))
        parts.update({"encoder": encoder} if encoder is not None else {})
    return {_name(parts): parts for parts in segmenters.values()}


def _name(parts: Mapping[str, Row]) -> str:
    """Return the most telling label of a segmenter's parts, and its size."""
    cells = list(parts.values())
    return f"{max((str(cell['label']) for cell in cells), key=len)} {cells[0]['size']}"


def _text(cells: Mapping[str, Row], part: str) -> str:
    return _sum(cells.get("encoder"), cells.get("decoder")) if part == "sum" else latency(cells.get(part))


def _sum(first: Row | None, second: Row | None) -> str:
    """Return the sum of two latencies with the marks of both; a dash where one was not measured.

    The interval is that of the logarithm of the sum to first order: each logarithm weighs as its part of the sum.
    """
    cells = [cell for cell in (first, second) if cell is not None and cell["status"] == "ok"]
    if len(cells) < 2:
        return MISSING
    medians, mean, error, freedom = (
        np.array([cell[name] for cell in cells]) for name in ("median_ms", "log_mean", "log_error", "freedom")
    )
    total = float(medians.sum())
    low, high = contrast(mean, error, freedom, medians / total).interval()
    centre = float((medians / total) @ mean)
    kinds = {cell["interval"] for cell in cells}
    interval = next((kind for kind in ("none", "samples") if kind in kinds), "rounds")
    return latency(
        {
            "status": "ok",
            "median_ms": total,
            "low_ms": total * math.exp(low - centre),
            "high_ms": total * math.exp(high - centre),
            "interval": interval,
            "rounds": min(cell["rounds"] for cell in cells),
            "others_share": np.fmax(*(cell["others_share"] for cell in cells)),
            "converged": all(cell["converged"] for cell in cells),
            "throttled": any(cell["throttled"] for cell in cells),
            "stale": any(cell["stale"] for cell in cells),
        }
    )

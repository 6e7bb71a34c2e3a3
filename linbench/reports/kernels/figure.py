"""A figure of each op's distance from the roofline of its device: a dot for each direction."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from linbench.reports.kernels.table import title
from linbench.reports.latency.rows import conditions
from linbench.reports.render.figure import BEHIND_TEXT, literal, style
from linbench.reports.render.palette import SERIES

WIDTH = 9.0  # inches
LINE = 0.3  # inches of height for each op, case and implementation
MARKERS = {"forward": ("o", SERIES[2]), "backward": ("D", SERIES[1])}
OFFSETS = {"forward": -0.14, "backward": 0.14}  # of the two directions, in lines


def figure(rows: pd.DataFrame) -> Figure | None:
    """Return the figure of one comparison's rows; None where nothing was measured."""
    ok = rows[rows["of_roofline"].notna()]
    if ok.empty:
        return None
    names = list(dict.fromkeys(map(_name, rows.to_dict("records"))))
    with style():
        result = Figure(figsize=(WIDTH, 1.9 + LINE * len(names)), layout="constrained")
        axes = result.add_subplot()
        axes.set(xscale="log")
        for row in rows.to_dict("records"):
            _mark(axes, row, names.index(_name(row)))
        _axes(axes, names)
        _label(axes, rows)
    return result


def _name(row: Any) -> str:
    impl = "" if row["impl"] == "fast" else f", {row['impl']}"
    return f"{row['op']}, {row['case']}{impl}"


def _mark(axes: Any, row: Any, line: int) -> None:
    """Draw a dot with a bar from the lowest to the highest round and a tick for the copy, or a failure's status."""
    marker, colour = MARKERS.get(row["direction"], ("s", "black"))
    y = line + OFFSETS.get(row["direction"], 0.0)
    if row["status"] != "ok":
        style = {"ha": "right", "va": "center", "color": colour, "fontsize": 8, "bbox": BEHIND_TEXT}
        text = f"{row['direction']}: {row['status']}"
        axes.text(0.995, y, text, transform=axes.get_yaxis_transform(), **style)
        return
    axes.plot([row["of_roofline_low"], row["of_roofline_high"]], [y, y], "-", color=colour, lw=1.4)
    axes.plot([row["of_roofline"]], [y], marker, color=colour, ms=6)
    axes.plot([row["copy_ms"] / row["roofline_ms"]], [y], "|", color="#777777", ms=8, mew=1.3)


def _axes(axes: Any, names: list[str]) -> None:
    axes.axvline(1, color="black", lw=1)
    axes.set_yticks(range(len(names)), [literal(name, 60) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    low, high = axes.get_xlim()
    low, high = min(low, 0.7), max(high, 3.0)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)


def _label(axes: Any, rows: pd.DataFrame) -> None:
    torch = ", ".join(sorted({str(version) for version in rows["torch"] if version})) or "unknown"
    lines = textwrap.wrap(literal(title(rows), 140), 90)
    axes.set_title("\n".join([*lines, f"torch {literal(torch, 60)}"]))
    flushed = "L2 flushed before each sample" if conditions(rows).get("l2_flushed") else "no cache flushed"
    axes.set_xlabel(
        "time as a multiple of the roofline (1: as fast as bytes and FLOPs allow)\n"
        f"bars: lowest to highest round; {flushed}"
    )
    for direction, (marker, colour) in MARKERS.items():
        axes.plot([], [], marker, color=colour, label=direction)
    axes.plot([], [], "|", color="#777777", ms=8, mew=1.3, label="a copy of the same bytes")
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)

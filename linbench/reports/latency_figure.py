"""Latency against resolution as a picture, after Figure 3 of the paper; both axes logarithmic."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from linbench.atomic import replacing
from linbench.reports.crossover import Crossover, crossover
from linbench.reports.latency_table import ONE_PROCESS, exponent_text, timed, title
from linbench.reports.plain_text import clip, plain
from linbench.reports.rows import comparisons
from linbench.reports.scaling import exponent
from linbench.reports.statistics import FEWEST_ROUNDS

# Okabe and Ito's colours without the yellow, which is too pale for a line on white
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX*h<>"
DASHES = ("-", "--", ":", "-.")
INCHES = (9.0, 5.2)
DPI = 150
CLOSEST = 0.075  # of the width of the axes: labels of ticks nearer than this go one line down
HEADROOM = 0.055  # of the height of the axes, for each model that failed
ROOM = 0.4  # of the width of the axes, for the words beside a failure
BEHIND_WORDS = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
STYLE = {
    "svg.hashsalt": "linbench",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
}


@dataclass(frozen=True)
class Look:
    """How one model is drawn, the same in all figures of a report."""

    colour: str
    marker: str
    dash: str


def figures(frame: pd.DataFrame, reference: str | None = None) -> list[Figure | None]:
    """One figure for each comparison, in their order; None for one in which nothing was measured."""
    looks = looks_of(dict.fromkeys(frame["label"]) if len(frame) else ())
    return [figure(rows, looks, reference) for rows in comparisons(frame)]


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label; colour and marker both tell them apart."""
    return {
        label: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i // len(COLOURS) % len(DASHES)])
        for i, label in enumerate(labels)
    }


def figure(rows: pd.DataFrame, looks: dict[str, Look], reference: str | None = None) -> Figure | None:
    """The figure of one comparison's rows."""
    if not (rows["status"] == "ok").any():
        return None
    with style():
        result = Figure(figsize=INCHES, layout="constrained")
        axes = result.add_subplot()
        curves(axes, rows, looks, reference)
        _words(axes, rows)
    return result


def curves(
    axes: Any, rows: pd.DataFrame, looks: dict[str, Look], reference: str | None = None, closest: float = CLOSEST
) -> None:
    """Draw one comparison's rows: a line for each model with its legend, crossovers, failures, both scales.

    closest: How near labels of ticks may be, as a share of the width of the axes.
    """
    axes.set(xscale="log", yscale="log")
    crossings = {label: crossover(rows, label, reference) for label in looks if label in set(rows["label"])}
    for label in _from_the_top(rows):
        mine = rows[rows["label"] == label].sort_values("pixels")
        _line(axes, mine, looks[label], _legend(label, mine, crossings[label]))
    for label, found in crossings.items():
        _crossing(axes, rows, found, looks[label])
    _y_axis(axes, rows)
    _failures(axes, rows, looks)
    _x_axis(axes, rows, closest)


def save(drawn: Figure, path: Path) -> list[Path]:
    """Write ``path`` as .png and as .svg, the same bytes for the same figure, each whole or absent."""
    with style():
        with replacing(path.with_suffix(".png")) as temporary:
            drawn.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
        with replacing(path.with_suffix(".svg")) as temporary:
            drawn.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    return [path.with_suffix(".png"), path.with_suffix(".svg")]


def style() -> Any:
    return matplotlib.style.context(["default", STYLE])


def _from_the_top(rows: pd.DataFrame) -> list[str]:
    """Models by their last measured point, the slowest first: the legend reads as the lines end."""
    ok = rows[rows["status"] == "ok"].sort_values(["pixels", "median_ms"])
    ends = ok.groupby("label")[["pixels", "median_ms"]].last()
    measured = list(ends.sort_values(["median_ms", "pixels"], ascending=False).index)
    return measured + [label for label in dict.fromkeys(rows["label"]) if label not in measured]


def _line(axes: Any, mine: pd.DataFrame, look: Look, text: str) -> None:
    ok = mine[mine["status"] == "ok"]
    side = np.sqrt(ok["pixels"])
    axes.plot(side, ok["median_ms"], look.dash, marker=look.marker, color=look.colour, ms=6, lw=1.7, label=text)
    axes.fill_between(side, ok["low_ms"], ok["high_ms"], color=look.colour, alpha=0.22, lw=0)


def _legend(label: str, mine: pd.DataFrame, found: Crossover | None) -> str:
    fitted = exponent(mine)
    lines = [drawn_text(label, 28)]
    if fitted is not None:
        lines.append(f"p = {exponent_text(fitted)}")
    if found is not None and math.isfinite(found.px):
        between = "" if math.isnan(found.low) or found.low == found.high else f" ({found.between()})"
        lines.append(f"{found.becomes} than {drawn_text(found.reference, 20)} from {found.px:.0f}²{between}")
    return "\n".join(lines)


def _crossing(axes: Any, rows: pd.DataFrame, found: Crossover | None, look: Look) -> None:
    """A ring on the reference's line in the colour of the backbone that crosses it, and a bar: its interval."""
    if found is None or not math.isfinite(found.px):
        return
    line = rows[(rows["label"] == found.reference) & (rows["status"] == "ok")].sort_values("pixels")
    y = np.exp(np.interp(2 * math.log(found.px), np.log(line["pixels"]), np.log(line["median_ms"])))
    axes.plot([found.px], [y], "o", ms=13, mfc="none", mec=look.colour, mew=1.6, zorder=5)
    if not math.isnan(found.low):
        ends = np.clip([found.low, found.high], found.first, found.last)
        axes.plot(ends, [y, y], "|-", color=look.colour, ms=11, mew=1.6, lw=1.6, zorder=5)


def _failures(axes: Any, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    """At the top, clear of the curves, a line for each model that failed: a cross at each resolution, and words."""
    failed = rows[rows["status"] != "ok"].sort_values("pixels", kind="stable")
    low, high = (math.log(end) / 2 for end in (rows["pixels"].min(), rows["pixels"].max()))
    level = 0.5
    for label in failed["label"].unique():
        mine = failed[failed["label"] == label]
        sides = np.sqrt(mine["pixels"].to_numpy(dtype=np.float64))
        first, last = ((math.log(side) - low) / (high - low or 1.0) for side in (sides[0], sides[-1]))
        word = {"color": looks[label].colour, "va": "center", "fontsize": 9, "zorder": 6, "bbox": BEHIND_WORDS}
        word |= {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
        if first > ROOM:
            axes.annotate(_failure(mine), (sides[0], 1 - HEADROOM * level), (-8, 0), ha="right", **word)
        else:  # no room on the left: to the right of the last cross, or where that is too far, above all
            far = last > 1 - ROOM
            axes.annotate(_failure(mine), (sides[0 if far else -1], 1 - HEADROOM * level), (8, 0), ha="left", **word)
            level += far
        at = [1 - HEADROOM * level] * len(sides)
        style = {"color": looks[label].colour, "ms": 7, "mew": 1.8, "zorder": 7}
        axes.plot(sides, at, "x", transform=axes.get_xaxis_transform(), **style)
        level += 1
    bottom, top = axes.get_ylim()
    share = min(HEADROOM * (level + 0.3), 0.6) if len(failed) else 0.0
    axes.set_ylim(bottom, bottom * (top / bottom) ** (1 / (1 - share)))


def _failure(mine: pd.DataFrame) -> str:
    """A model's failed cells in words; the resolutions only where they failed in different ways."""
    label, kinds = drawn_text(mine["label"].iloc[0], 28), mine["status"].unique()
    if len(kinds) == 1:
        return f"{label}: {kinds[0]}"
    return f"{label}: " + ", ".join(f"{kind} {' '.join(mine.loc[mine['status'] == kind, 'size'])}" for kind in kinds)


def _x_axis(axes: Any, rows: pd.DataFrame, closest: float) -> None:
    """A tick at each measured resolution; labels that would touch go one line down."""
    sizes = rows.drop_duplicates("size").sort_values(["pixels", "height"])
    sides = np.sqrt(sizes["pixels"].to_numpy(dtype=np.float64))
    margin = 1.07
    axes.set_xlim(sides.min() / margin, sides.max() * margin)
    width = math.log(sides.max() / sides.min() * margin**2)
    ends: list[float] = []  # the last tick of each line of labels
    labels = []
    for side, size in zip(sides, sizes["size"], strict=True):
        at = math.log(side) / width
        level = next((i for i, end in enumerate(ends) if at - end >= closest), len(ends))
        ends[level : level + 1] = [at]
        labels.append("\n" * level + str(size))
    axes.set_xticks(sides, labels)
    axes.xaxis.set_minor_locator(NullLocator())


def _y_axis(axes: Any, rows: pd.DataFrame) -> None:
    """Ticks that can be read as ms; more of them where the range is small."""
    span = rows["median_ms"].max() / rows["median_ms"].min()
    low, high = axes.get_ylim()
    if high / low < 2:
        axes.set_ylim(low / 1.4, high * 1.4)
    steps = (1, 1.5, 2, 3, 5, 7) if span < 10 else (1, 2, 5)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)


def _words(axes: Any, rows: pd.DataFrame) -> None:
    batch = rows["batch"].iloc[0] if "batch" in rows else "?"
    torch = ", ".join(sorted({str(version) for version in rows["torch"] if version})) or "unknown"
    lines = textwrap.wrap(drawn_text(title(rows), 140), 72)
    axes.set_title("\n".join([*lines, f"batch {drawn_text(str(batch), 12)}, torch {drawn_text(torch, 60)}"]))
    axes.set_ylabel(f"latency of the {drawn_text(timed(rows), 40)}, ms")
    oblong = " (height × width)" if any("×" in size for size in rows["size"]) else ""
    few = (rows.loc[rows["status"] == "ok", "interval"] != "rounds").any()
    legend = ["p: latency ∝ tokens$^p$", "bands and ±: 95 %", "rings and bars: crossover with ViT"]
    note = "; ".join([*legend, f"{ONE_PROCESS} fewer than {FEWEST_ROUNDS} rounds"] if few else legend)
    axes.set_xlabel(f"resolution, px{oblong}")
    axes.figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    axes.figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelspacing=0.9, handlelength=2.4)


def drawn_text(text: str, longest: int) -> str:
    """Text from a record, harmless and without formulas."""
    return clip(plain(text), longest).replace("$", r"\$")

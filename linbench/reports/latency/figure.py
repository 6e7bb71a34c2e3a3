"""Latency against resolution as a figure, after Figure 3 of the paper; memory and accuracy likewise for the page.

Resolution is logarithmic, and so are latency and memory. Each artist of a model carries a ``tag``.
"""

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from linbench.reports.latency.notes import warnings
from linbench.reports.latency.rows import comparisons
from linbench.reports.latency.table import exponent_text, timed, title
from linbench.reports.render.figure import BEHIND_TEXT, FAILED, literal, style, tag
from linbench.reports.render.palette import Look, looks_of
from linbench.reports.statistics.crossover import Crossover
from linbench.reports.statistics.doubts import SUPPORTED, doubts, supported_crossover, supported_exponent

INCHES = (9.0, 5.2)
CLOSEST = 0.075  # of the width of the axes: tick labels nearer than this go one line down
HEADROOM = 0.055  # of the height of the axes, for each model that failed
WARNING, WARNING_LINE = "#B3261E", 74  # its colour, and its characters in a line: the legend is on the right
LANES = 10  # models that failed, named on lines of their own; the marks of more share these lines
TEXT_WIDTH = 0.4  # of the width of the axes, for the text beside a failure


#: Makes a legend's text of a model's label, its rows and its crossover.
Legend = Callable[[str, pd.DataFrame, Crossover | None], str]


@dataclass(frozen=True)
class Quantity:
    """What a figure shows against resolution: the columns of its value and interval."""

    name: str
    unit: str
    value: str
    low: str = ""
    high: str = ""
    is_log: bool = True

    def columns(self) -> list[str]:
        """Return the columns that a figure reads; a frame of sixty is slow to cut."""
        names = ("label", "status", "pixels", "size", self.value, *filter(None, (self.low, self.high)))
        return list(dict.fromkeys((*names, *(SUPPORTED if self is LATENCY else ()))))

    def measured(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that have a value, from the smallest resolution to the largest."""
        return rows[(rows["status"] == "ok") & (rows[self.value] > 0)].sort_values("pixels", kind="stable")


LATENCY = Quantity("latency", "ms", "median_ms", "low_ms", "high_ms")
MEMORY = Quantity("peak memory", "MiB", "peak_mib")
ACCURACY = Quantity("accuracy", "%", "value", "low", "high", is_log=False)


def figures(frame: pd.DataFrame) -> list[Figure | None]:
    """Draw one figure for each comparison, in their order; None for one in which nothing was measured."""
    looks = looks_of(dict.fromkeys(frame["label"]) if len(frame) else ())
    return [figure(rows, looks) for rows in comparisons(frame)]


def figure(rows: pd.DataFrame, looks: Mapping[str, Look]) -> Figure | None:
    """Draw one comparison's latencies with title, legend and notes; None where nothing was measured."""
    if LATENCY.measured(rows).empty:
        return None
    with style():
        result = Figure(figsize=INCHES, layout="constrained")
        axes = result.add_subplot()
        curves(axes, rows, looks)
        _hollow(axes, rows, looks)
        _texts(axes, rows)
    return result


def curves(
    axes: Any,
    rows: pd.DataFrame,
    looks: Mapping[str, Look],
    closest: float = CLOSEST,
    quantity: Quantity = LATENCY,
    legend: Legend | None = None,
    crossings: Mapping[str, Crossover | None] | None = None,
) -> None:
    """Draw one comparison's rows: a line for each model, failures, both scales; of latencies also the crossovers.

    No exponent, ring or interval of a curve with a doubtful cell is drawn.

    closest: The smallest distance of tick labels on one line, as a fraction of the width of the axes.
    legend: Describes a model; by default by its fit and its crossover.
    crossings: Of each model; computed where None.
    """
    axes.set(xscale="log", yscale="log" if quantity.is_log else "linear")
    rows = rows[quantity.columns()]
    models = {str(label): group for label, group in rows.groupby("label", sort=False)}
    if crossings is None:
        crossings = {label: supported_crossover(rows, label) for label in models}
    measured = quantity.measured(rows)
    lines = {str(label): group for label, group in measured.groupby("label", sort=False)}
    for label in dict.fromkeys([*_slowest_first(measured, quantity), *models]):  # those that only failed come last
        text = (legend or fit_text)(label, models[label], crossings.get(label))
        _line(axes, lines.get(label, measured.iloc[:0]), looks[label], quantity, text)
    for label, crossing in crossings.items():
        if crossing is not None and math.isfinite(crossing.px):
            _crossing(axes, lines[crossing.reference], crossing, looks[label])
    _y_axis(axes, measured, quantity)
    _failures(axes, rows, looks)
    _x_axis(axes, rows, closest)


def _slowest_first(measured: pd.DataFrame, quantity: Quantity) -> list[str]:
    """Return the measured models by their last point, the highest first: the legend reads as the lines end."""
    ends = measured.groupby("label")[["pixels", quantity.value]].last()
    return list(ends.sort_values([quantity.value, "pixels"], ascending=False).index)


def _line(axes: Any, measured: pd.DataFrame, look: Look, quantity: Quantity, text: str) -> None:
    """Draw one model's line and the band of its intervals; a bar where only one resolution has an interval."""
    side, value = np.sqrt(measured["pixels"]).to_numpy(), measured[quantity.value].to_numpy()
    marks = {"marker": look.marker, "ms": 6, "gid": tag("line", look)}
    axes.plot(side, value, look.dash, color=look.colour, lw=1.7, label=text, **marks)
    if not quantity.low:
        return
    low, high = measured[quantity.low].to_numpy(), measured[quantity.high].to_numpy()
    side, low, high = (values[~np.isnan(low)] for values in (side, low, high))
    edge = np.concatenate([side, side[::-1]]), np.concatenate([high, low[::-1]])
    if len(side) > 1:
        axes.fill(*edge, color=look.colour, alpha=0.22, lw=0, gid=tag("band", look))
    elif len(side):
        axes.plot(*edge, color=look.colour, lw=1.1, zorder=1.5, gid=tag("band", look))


def fit_text(label: str, rows: pd.DataFrame, crossing: Crossover | None) -> str:
    """Describe a model in a legend: its name, its exponent, and from where on it is faster or slower than ViT."""
    fit = supported_exponent(rows)
    lines = [literal(label, 28)]
    if fit is not None:
        lines.append(f"p = {exponent_text(fit)}")
    if crossing is not None and math.isfinite(crossing.px):
        interval = "" if math.isnan(crossing.low) or crossing.low == crossing.high else f" ({crossing.between()})"
        lines.append(f"{crossing.becomes} than {literal(crossing.reference, 20)} from {crossing.px:.0f}²{interval}")
    return "\n".join(lines)


def _hollow(axes: Any, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw the marks of doubtful cells hollow, over those of ``curves``."""
    doubtful = {(doubt.label, size) for doubt in doubts(rows) for size in doubt.sizes}
    for row in LATENCY.measured(rows).to_dict(orient="records"):
        if (row["label"], row["size"]) in doubtful:
            look = looks[row["label"]]
            marks = {"color": look.colour, "mfc": "white", "ms": 6, "mew": 1.4, "zorder": 4}
            axes.plot([math.sqrt(row["pixels"])], [row["median_ms"]], look.marker, **marks)


def _crossing(axes: Any, line: pd.DataFrame, crossing: Crossover, look: Look) -> None:
    """Draw a ring on the reference's ``line`` in the colour of the crossing model, and its interval as a bar."""
    y = np.exp(np.interp(2 * math.log(crossing.px), np.log(line["pixels"]), np.log(line["median_ms"])))
    axes.plot([crossing.px], [y], "o", ms=13, mfc="none", mec=look.colour, mew=1.6, zorder=5, gid=tag("ring", look))
    if not math.isnan(crossing.low):
        ends = np.clip([crossing.low, crossing.high], crossing.first, crossing.last)
        marks = {"marker": "|", "ms": 11, "mew": 1.6, "gid": tag("interval", look)}
        axes.plot(ends, [y, y], "-", color=look.colour, lw=1.6, zorder=5, **marks)


def _failures(axes: Any, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw a line of text above the curves for each model that failed, and a cross at each resolution."""
    failed = rows[rows["status"] != "ok"].sort_values("pixels", kind="stable")
    low, high = (math.log(end) / 2 for end in (rows["pixels"].min(), rows["pixels"].max()))
    lane = 0.5
    for i, (label, group) in enumerate(failed.groupby("label", sort=False)):
        look = looks[str(label)]
        sides = np.sqrt(group["pixels"].to_numpy(dtype=np.float64))
        first, last = ((math.log(side) - low) / (high - low or 1.0) for side in (sides[0], sides[-1]))
        y = 1 - HEADROOM * (0.5 + (lane - 0.5) % LANES)
        text = {"color": look.colour, "va": "center", "fontsize": 9, "zorder": 6, "bbox": BEHIND_TEXT}
        text |= {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "gid": tag("note", look)}
        message = _failure(group) if i < LANES else ""
        if first > TEXT_WIDTH:
            axes.annotate(message, (sides[0], y), (-8, 0), ha="right", **text)
        else:  # no room on the left: to the right of the last cross, or where that is too far, above all
            is_far = last > 1 - TEXT_WIDTH
            axes.annotate(message, (sides[0 if is_far else -1], y), (8, 0), ha="left", **text)
            lane += is_far
            y = 1 - HEADROOM * (0.5 + (lane - 0.5) % LANES)
        marks = {"color": look.colour, "ms": 7, "mew": 1.8, "zorder": 7, "gid": tag("failed", look)}
        axes.plot(sides, [y] * len(sides), FAILED, transform=axes.get_xaxis_transform(), **marks)
        lane += 1
    bottom, top = axes.get_ylim()
    fraction = min(HEADROOM * (lane + 0.3), 0.6) if len(failed) else 0.0
    axes.set_ylim(bottom, bottom * (top / bottom) ** (1 / (1 - fraction)))


def _failure(rows: pd.DataFrame) -> str:
    """Describe a model's failed cells; the resolutions only where they failed in different ways."""
    label, kinds = literal(rows["label"].iloc[0], 28), rows["status"].unique()
    if len(kinds) == 1:
        return f"{label}: {kinds[0]}"
    return f"{label}: " + ", ".join(f"{kind} {' '.join(rows.loc[rows['status'] == kind, 'size'])}" for kind in kinds)


def _x_axis(axes: Any, rows: pd.DataFrame, closest: float) -> None:
    """Set a tick at each measured resolution; labels that would touch go one line down."""
    sizes = rows.drop_duplicates("size").sort_values("pixels", kind="stable")
    sides = np.sqrt(sizes["pixels"].to_numpy(dtype=np.float64))
    margin = 1.07
    axes.set_xlim(sides.min() / margin, sides.max() * margin)
    width = math.log(sides.max() / sides.min() * margin**2)
    ends: list[float] = []  # the last tick of each line of labels
    labels = []
    for side, size in zip(sides, sizes["size"], strict=True):
        x = math.log(side) / width
        level = next((i for i, end in enumerate(ends) if x - end >= closest), len(ends))
        ends[level : level + 1] = [x]
        labels.append("\n" * level + str(size))
    axes.set_xticks(sides, labels)
    axes.xaxis.set_minor_locator(NullLocator())


def _y_axis(axes: Any, measured: pd.DataFrame, quantity: Quantity) -> None:
    """Set ticks that can be read in the unit; more of them where the range is small."""
    axes.grid()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if not quantity.is_log:
        axes.yaxis.set_major_locator(MaxNLocator(8))
        return
    span = measured[quantity.value].max() / measured[quantity.value].min()
    low, high = axes.get_ylim()
    if high / low < 2:
        axes.set_ylim(low / 1.4, high * 1.4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if span < 10 else (1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _texts(axes: Any, rows: pd.DataFrame) -> None:
    batch = rows["batch"].iloc[0] if "batch" in rows else "?"
    torch = ", ".join(sorted({str(version) for version in rows["torch"] if version})) or "unknown"
    lines = textwrap.wrap(literal(title(rows), 140), 66)
    axes.set_title("\n".join([*lines, f"batch {literal(str(batch), 12)}, torch {literal(torch, 60)}"]))
    axes.set_ylabel(f"latency of the {literal(timed(rows), 40)}, ms")
    axes.set_xlabel("resolution, px" + (" (height × width)" if any("×" in size for size in rows["size"]) else ""))
    if heading := warnings(rows):
        text = "\n".join(line for warning in heading for line in textwrap.wrap(literal(warning, 200), WARNING_LINE))
        axes.figure.suptitle(text, x=0.01, ha="left", fontsize=9, fontweight="bold", color=WARNING)
    axes.figure.supxlabel("; ".join(_footer(axes, rows)), fontsize=9, x=0.01, ha="left")
    axes.figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelspacing=0.9, handlelength=2.4)


def _footer(axes: Any, rows: pd.DataFrame) -> list[str]:
    """Explain what the figure has, and nothing else."""
    _, texts = axes.get_legend_handles_labels()
    parts = {str(artist.get_gid()).partition(" ")[0] for artist in (*axes.lines, *axes.patches)}
    has_exponents = any("\np = " in text for text in texts)
    notes = ["p: latency ∝ tokens$^p$"] if has_exponents else []
    notes += [f"bands{', bars and ±' if has_exponents else ' and bars'}: 95 %"] if "band" in parts else []
    notes += ["rings: crossover with ViT"] if "ring" in parts else []
    reasons = dict.fromkeys(doubt.reason.partition(" (")[0] for doubt in doubts(rows))
    return [*notes, *([f"hollow: {' or '.join(reasons)}"] if reasons else [])]

"""The picture of Figure 1: the paper's points hollow and grey, ours filled beside them on the same scales."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from linbench.reports.paper.evidence import Evidence
from linbench.reports.paper.figure1 import ACCURACY, Panel, Point, panels
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import Look, looks_of

PANEL = (5.6, 4.8)  # inches
ACROSS = 3
AREA_PER_M = 4.0  # points² for a million parameters
LEAST_AREA = 30.0  # points²
GREY = "#767676"


def draw(evidence: Evidence) -> Figure:
    """A panel of the quoted points, and one for each rate that was measured."""
    found = panels(evidence)
    looks = looks_of([point.method for point in found[0].points])
    with style():
        across, down = min(len(found), ACROSS), math.ceil(len(found) / ACROSS)
        figure = Figure(figsize=(PANEL[0] * across, PANEL[1] * down), layout="constrained")
        first = None
        for i, panel in enumerate(found, start=1):
            first = axes = figure.add_subplot(down, across, i, sharey=first)
            _panel(axes, panel, looks)
            axes.set_ylabel(f"{ACCURACY}, %")
        _y_range(first, found)
        figure.suptitle(
            "Rate against accuracy at 1024²; area: parameters of the backbone", x=0.01, ha="left", fontsize=11
        )
    return figure


def _panel(axes: Any, panel: Panel, looks: dict[str, Look]) -> None:
    axes.set_xscale("log")
    axes.set_title("\n".join(textwrap.wrap(literal(panel.head, 120), 60)))
    axes.set_xlabel("images/s (log)")
    axes.grid(color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    _x_range(axes, panel.points)
    for point in sorted(panel.points, key=lambda point: -point.parameters):
        look = looks[point.method]
        colour = GREY if panel.quoted else look.colour
        face = "none" if panel.quoted else colour
        area = max(AREA_PER_M * point.parameters, LEAST_AREA)
        axes.scatter(point.fps, point.accuracy, s=area, marker="o", fc=face, ec=colour, lw=1.4, alpha=0.75, zorder=3)
        if not panel.quoted:
            axes.errorbar(point.fps, point.accuracy, xerr=_bars(point.fps, point.fps_interval), **_bar(point, colour))
    _names(axes, panel)
    if panel.lacking:
        text = "\n".join(textwrap.wrap("no point: " + "; ".join(panel.lacking), 62))
        axes.annotate(text, (0.02, 0.02), xycoords="axes fraction", fontsize=8, color="#444444", va="bottom")


def _bar(point: Point, colour: str) -> dict[str, Any]:
    return {
        "yerr": _bars(point.accuracy, point.accuracy_interval),
        "color": colour,
        "lw": 1.2,
        "capsize": 2.5,
        "zorder": 4,
    }


def _bars(value: float, interval: tuple[float, float]) -> list[list[float]] | None:
    low, high = interval
    return None if math.isnan(low) else [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def _names(axes: Any, panel: Panel) -> None:
    """A name beside each point, on the side away from its nearest neighbour."""
    for point in panel.points:
        radius = math.sqrt(max(AREA_PER_M * point.parameters, LEAST_AREA) / math.pi)
        dx, dy, ha = _side(point, panel.points, radius)
        words = f"{point.method}\n{point.parameters:.3g} M"
        above = {"va": "center"} if panel.quoted else {"va": "bottom"}  # clear of the bars
        place = {"xytext": (dx, dy if panel.quoted else 3.0), "textcoords": "offset points", "ha": ha, **above}
        axes.annotate(words, (point.fps, point.accuracy), fontsize=8.5, zorder=6, **place)


def _side(point: Point, others: Sequence[Point], radius: float) -> tuple[float, float, str]:
    """Where a name goes: left of a point that has another close on its right, right of it otherwise."""
    right = any(
        0 < math.log(other.fps / point.fps) < 0.45 and abs(other.accuracy - point.accuracy) < 4 for other in others
    )
    return (-radius - 4, 0.0, "right") if right else (radius + 4, 0.0, "left")


def _x_range(axes: Any, points: Sequence[Point]) -> None:
    if not points:
        axes.set_xlim(1, 100)
        return
    rates = [point.fps for point in points]
    axes.set_xlim(min(rates) / 2.6, max(rates) * 4.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _y_range(axes: Any, found: Sequence[Panel]) -> None:
    values = [point.accuracy for panel in found for point in panel.points]
    low, high = math.floor(min(values) / 5) * 5 - 5, math.ceil(max(values) / 5) * 5 + 5
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(list(range(low, high + 1, 5))))

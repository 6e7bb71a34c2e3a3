"""Draw Figure 1: rate against accuracy, parameters as area; published points hollow and grey, measured ones filled.

Published and measured points stand in panels of their own, on the same scales.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from linbench.reports.paper.cell import Measurement, PaperCell
from linbench.reports.paper.layout import PaperColumn, PaperTable
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import Look, looks_of

ACCURACY = "DIS mIoU"
MAX_MEASURED_PANELS = 5
PANEL_SIZE = (5.6, 4.8)  # inches
MAX_ACROSS = 3
AREA_PER_MILLION = 4.0  # points² for a million parameters
MIN_AREA = 30.0  # points²
PUBLISHED_COLOUR = "#767676"
UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True)
class Point:
    """A method: its rate, accuracy and parameters in millions, with the intervals that are known."""

    method: str
    fps: float
    accuracy: float
    parameters: float
    fps_interval: tuple[float, float] = UNKNOWN
    accuracy_interval: tuple[float, float] = UNKNOWN

    @property
    def area(self) -> float:
        """Return the area of its circle, points²."""
        return max(AREA_PER_MILLION * self.parameters, MIN_AREA)


@dataclass(frozen=True)
class Panel:
    """Points that may be compared.

    omitted: Methods that have no point, and what they lack.
    """

    title: str
    is_published: bool
    points: tuple[Point, ...]
    omitted: tuple[str, ...] = ()


def panels(table: PaperTable) -> list[Panel]:
    """Return the paper's points, and a panel for each rate that was measured under its own conditions.

    Panels without a point are left out where others have some; as many are shown as fit.

    table: The numbers of Figure 1.
    """
    accuracy, parameters = _column(table, ACCURACY), _column(table, "#Param")
    rates = [column for column in table.columns if column.label.startswith("FPS")]
    published = [
        Point(
            row,
            fps=_published(rates[0].cells[row]),
            accuracy=_published(accuracy.cells[row]),
            parameters=_published(parameters.cells[row]),
        )
        for row in table.rows
    ]
    known = [rate for rate in rates if any(_measurement(cell) for cell in rate.cells.values())]
    measured = [_measured_panel(table, rate, accuracy) for rate in known]
    shown = [panel for panel in measured if panel.points] or measured
    return [Panel("quoted, A100", True, tuple(published)), *shown[:MAX_MEASURED_PANELS]]


def draw(table: PaperTable) -> Figure:
    """Draw a panel of the published points and one for each rate that was measured."""
    parts = panels(table)
    looks = looks_of([point.method for point in parts[0].points])
    with style():
        across, down = min(len(parts), MAX_ACROSS), math.ceil(len(parts) / MAX_ACROSS)
        figure = Figure(figsize=(PANEL_SIZE[0] * across, PANEL_SIZE[1] * down), layout="constrained")
        first = None
        for i, panel in enumerate(parts, start=1):
            first = axes = figure.add_subplot(down, across, i, sharey=first)
            _draw_panel(axes, panel, looks)
        _set_y_range(first, [point.accuracy for panel in parts for point in panel.points])
        title = "Rate against accuracy at 1024²; area: parameters of the backbone"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _measured_panel(table: PaperTable, rate: PaperColumn, accuracy: PaperColumn) -> Panel:
    parameters = _column(table, "#Param alike")
    points, omitted = [], []
    for row in table.rows:
        cells = {"rate": rate.cells[row], "accuracy": accuracy.cells[row], "parameters": parameters.cells[row]}
        numbers = [measured for cell in cells.values() if (measured := _measurement(cell))]
        if len(numbers) < len(cells):
            missing = [name for name, cell in cells.items() if not _measurement(cell)]
            omitted.append(f"{row} ({', '.join(missing)})")
            continue
        fps, score, count = numbers
        points.append(Point(row, fps.value, score.value, count.value, (fps.low, fps.high), (score.low, score.high)))
    conditions = ", ".join(rate.heading.split("\n")[1:])
    return Panel(f"measured, {table.device}, {conditions}", False, tuple(points), tuple(omitted))


def _column(table: PaperTable, label: str) -> PaperColumn:
    return next(column for column in table.columns if column.label.startswith(label))


def _measurement(cell: PaperCell) -> Measurement | None:
    return cell.measured if cell.measured and cell.measured.is_ok else None


def _published(cell: PaperCell) -> float:
    assert cell.published is not None, "Table 3 has no gaps"
    return cell.published.value


def _draw_panel(axes: Any, panel: Panel, looks: dict[str, Look]) -> None:
    axes.set_xscale("log")
    axes.set_title("\n".join(textwrap.wrap(literal(panel.title, 120), 60)))
    axes.set_xlabel("images/s (log)")
    axes.set_ylabel(f"{ACCURACY}, %")
    axes.grid(color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    _set_x_range(axes, [point.fps for point in panel.points])
    for point in sorted(panel.points, key=lambda point: -point.parameters):
        colour = PUBLISHED_COLOUR if panel.is_published else looks[point.method].colour
        circle: dict[str, Any] = {"fc": "none" if panel.is_published else colour, "ec": colour, "marker": "o"}
        axes.scatter(point.fps, point.accuracy, s=point.area, lw=1.4, alpha=0.75, zorder=3, **circle)
        if not panel.is_published:
            bars = {"xerr": _errors(point.fps, point.fps_interval)}
            bars["yerr"] = _errors(point.accuracy, point.accuracy_interval)
            axes.errorbar(point.fps, point.accuracy, color=colour, lw=1.2, capsize=2.5, zorder=4, **bars)
        _draw_name(axes, point, panel)
    if panel.omitted:
        text = "\n".join(textwrap.wrap("not shown, with what is missing: " + "; ".join(panel.omitted), 62))
        axes.annotate(text, (0.02, 0.02), xycoords="axes fraction", fontsize=8, color="#444444", va="bottom")


def _errors(value: float, interval: tuple[float, float]) -> list[list[float]] | None:
    low, high = interval
    return None if math.isnan(low) else [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def _draw_name(axes: Any, point: Point, panel: Panel) -> None:
    """Write the name left of a point that has a close neighbour on its right, and right of it otherwise."""
    has_neighbour = any(
        0 < math.log(other.fps / point.fps) < 0.45 and abs(other.accuracy - point.accuracy) < 4
        for other in panel.points
    )
    distance = math.sqrt(point.area / math.pi) + 4
    dx, ha = (-distance, "right") if has_neighbour else (distance, "left")
    dy, va = (0.0, "center") if panel.is_published else (3.0, "bottom")  # clear of the bars
    text = f"{point.method}\n{point.parameters:.3g} M"
    placement = {"xytext": (dx, dy), "textcoords": "offset points", "ha": ha, "va": va}
    axes.annotate(text, (point.fps, point.accuracy), fontsize=8.5, zorder=6, **placement)


def _set_x_range(axes: Any, rates: Sequence[float]) -> None:
    if not rates:
        axes.set_xlim(1, 100)
        return
    axes.set_xlim(min(rates) / 2.6, max(rates) * 4.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _set_y_range(axes: Any, accuracies: Sequence[float]) -> None:
    low, high = math.floor(min(accuracies) / 5) * 5 - 5, math.ceil(max(accuracies) / 5) * 5 + 5
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(list(range(low, high + 1, 5))))

"""The figures of a page: the curves of ``latency.figure``, written as SVG without matplotlib.

A page has up to hundreds of figures, and matplotlib takes a sixth of a second for each. ``SvgAxes`` has those methods
of matplotlib's Axes that ``curves`` calls. An artist with a ``tag`` becomes a group with ``class`` and ``data-model``
that the page's script finds and the page's style paints, in light and dark. The script draws a mark at each point of
a line. The SVG has no style and no script of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike

from linbench.reports.latency.figure import LATENCY, Quantity, curves
from linbench.reports.latency.rows import FEWEST_MS_IN_SECONDS
from linbench.reports.render.figure import FAILED
from linbench.reports.render.palette import MARKERS, Look
from linbench.reports.statistics.crossover import Crossover
from linbench.reports.statistics.latency_summary import Floats

WIDTH, HEIGHT = 620, 328
LEFT, RIGHT, TOP, BOTTOM = 71.0, 611.0, 22.0, 309.0  # of the axes
TITLE_Y, LABEL_Y = 15.0, 321.0
MARGIN = 0.05  # of the range of the data, on both sides of a scale
SPREAD = 2.0  # of a linear scale around a single value
MARK_PX, RING_PX, CAP_PX = 9.0, 13.0, 5.5


class Axis:
    """A scale of ``SvgAxes``, with the methods of matplotlib's Axis that ``curves`` calls.

    start, end: Where the lowest and the highest value lie, in px.
    """

    def __init__(self, start: float, end: float) -> None:
        """Start linear and without values."""
        self.is_log = False
        self.limits: tuple[float, float] | None = None
        self.values: list[float] = []
        self.locator: Any = None
        self.formatter: Callable[[float, int | None], str] = lambda value, _: f"{value:g}"
        self._span = start, end

    def set_major_locator(self, locator: Any) -> None:
        """Set what finds the ticks."""
        self.locator = locator

    def set_major_formatter(self, formatter: Callable[[float, int | None], str]) -> None:
        """Set what labels a tick."""
        self.formatter = formatter

    def set_minor_locator(self, locator: Any) -> None:
        """Do nothing: a page has no minor ticks."""

    def set_minor_formatter(self, formatter: Any) -> None:
        """Do nothing: a page has no minor ticks."""

    def range(self) -> tuple[float, float]:
        """Return the limits: those set, else the range of the values with a margin."""
        if self.limits is not None:
            return self.limits
        low, high = min(self.values), max(self.values)
        if self.is_log:
            factor = (high / low) ** MARGIN if high > low else 1 + MARGIN
            return low / factor, high * factor
        room = MARGIN * (high - low) or SPREAD
        return low - room, high + room

    def px(self, values: ArrayLike) -> Floats:
        """Return where values lie, in px."""
        low, high = self.range()
        numbers = np.asarray(values, dtype=np.float64)
        if self.is_log:
            low, high, numbers = math.log(low), math.log(high), np.log(numbers)
        start, end = self._span
        return start + (numbers - low) / (high - low) * (end - start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield place and label of each tick within the limits."""
        low, high = self.range()
        ticks = [float(value) for value in self.locator.tick_values(low, high) if low <= value <= high]
        yield from zip(self.px(ticks), [self.formatter(value, None) for value in ticks], strict=True)


class SvgAxes:
    """The methods of matplotlib's Axes that ``curves`` calls; what they draw becomes the SVG of a page."""

    def __init__(self, title: str) -> None:
        """Start empty.

        title: Of the figure, on one line.
        """
        self.xaxis, self.yaxis = Axis(LEFT, RIGHT), Axis(BOTTOM, TOP)
        self._title = title
        self._x_labels: tuple[Sequence[float], Sequence[str]] = ([], [])
        self._artists: list[tuple[float, Callable[[], str]]] = []  # by their order, the lowest first

    def set(self, *, xscale: str, yscale: str) -> None:
        """Set both scales: "log" or "linear"."""
        self.xaxis.is_log, self.yaxis.is_log = xscale == "log", yscale == "log"

    def get_xaxis_transform(self) -> str:
        """Return the transform in which y is a fraction of the height of the axes."""
        return "x"

    def get_ylim(self) -> tuple[float, float]:
        """Return the limits of y."""
        return self.yaxis.range()

    def set_ylim(self, low: float, high: float) -> None:
        """Set the limits of y."""
        self.yaxis.limits = low, high

    def set_xlim(self, low: float, high: float) -> None:
        """Set the limits of x."""
        self.xaxis.limits = low, high

    def set_xticks(self, ticks: Sequence[float], labels: Sequence[str]) -> None:
        """Set the ticks of x and their labels."""
        self._x_labels = ticks, labels

    def grid(self) -> None:
        """Do nothing: a page always has a grid."""

    def plot(self, x: ArrayLike, y: ArrayLike, *_: str, gid: str, transform: Any = None, **kwargs: Any) -> None:
        """Draw a line, a bar, or marks alone, by the part of the curve that ``gid`` names."""
        self._add(gid, x, y, kwargs.get("zorder", 2.0), is_fraction=transform is not None)

    def fill(self, x: ArrayLike, y: ArrayLike, *, gid: str, **_: Any) -> None:
        """Fill an area."""
        self._add(gid.replace("band", "area"), x, y, 1.0)

    def annotate(
        self, text: str, xy: tuple[float, float], offset: tuple[float, float], *, ha: str, gid: str, **_: Any
    ) -> None:
        """Write a text beside a point; y is a fraction of the height of the axes."""
        anchor = "end" if ha == "right" else "start"

        def draw() -> str:
            x, y = float(self.xaxis.px(xy[0])) + offset[0], BOTTOM + xy[1] * (TOP - BOTTOM) + 3.5
            return _group(gid, _text(text.replace(r"\$", "$"), x, y, anchor)) if text else ""

        self._artists.append((6.0, draw))

    def svg(self) -> str:
        """Return the figure as an element."""
        y_ticks = list(self.yaxis.ticks())
        x_ticks, x_labels = self._x_labels
        places = [float(x) for x in self.xaxis.px(x_ticks)]
        grid = "".join(f"M{LEFT:g} {_short(y)}H{RIGHT:g}" for y, _ in y_ticks)
        grid += "".join(f"M{_short(x)} {TOP:g}V{BOTTOM:g}" for x in places)
        texts = [_text(self._title, LEFT, TITLE_Y, "start")]
        texts += [_text(label, LEFT - 4, y + 3.5, "end") for y, label in y_ticks]
        texts += [_text(label, x, LABEL_Y, "middle") for x, label in zip(places, x_labels, strict=True)]
        drawn = [draw() for _, draw in sorted(self._artists, key=lambda artist: artist[0])]
        axis = f'<path class="axis" d="M{LEFT:g} {BOTTOM:g}H{RIGHT:g}"/>'
        return "".join(
            [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"><path class="grid" d="{grid}"/>{axis}', *texts, *drawn, "</svg>"]
        )

    def _add(self, gid: str, x: ArrayLike, y: ArrayLike, order: float, is_fraction: bool = False) -> None:
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if not is_fraction:
            self.yaxis.values += ys[np.isfinite(ys)].tolist()

        def draw() -> str:
            y_px = BOTTOM + ys * (TOP - BOTTOM) if is_fraction else self.yaxis.px(ys)
            return _shape(gid, [f"{_short(px)} {_short(py)}" for px, py in zip(self.xaxis.px(xs), y_px, strict=True)])

        self._artists.append((order, draw))


def figures(
    groups: Sequence[pd.DataFrame],
    looks: Mapping[str, Look],
    quantity: Quantity,
    crossings: Sequence[Mapping[str, Crossover | None]] | None = None,
    prefix: str = "",
) -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG of the figure of each group in which something was measured.

    A name is the quantity and the index of the comparison or measure: ``latency-0``, ``memory-0``, ``accuracy-2``.
    The points of a model stand in the order of its measured rows, from the smallest resolution to the largest.

    crossings: Of the models of each group, where the quantity has some.  prefix: Of each name.
    """
    for i, (rows, crossed) in enumerate(zip(groups, crossings or [{}] * len(groups), strict=True)):
        if not quantity.measured(rows).empty:
            axes = SvgAxes(f"{quantity.name}, {quantity.unit}, against resolution, px")
            curves(
                axes, rows, looks, closest=0.0, quantity=quantity, crossings=crossed, legend=lambda label, *_: label
            )
            if quantity is LATENCY:
                axes.yaxis.set_major_formatter(_tick)
            yield f"{prefix}{quantity.name.split()[-1]}-{i}", axes.svg()


def mark_paths() -> dict[str, str]:
    """Return the id and the SVG path, around 0 0 in px, of each mark: of a model, a failed cell and a crossover."""
    paths = {f"mark-{i}": _path_of(marker) for i, marker in enumerate(MARKERS)}
    return {**paths, "mark-failed": _path_of(FAILED), "mark-ring": _path_of("o", RING_PX)}


def _shape(gid: str, points: Sequence[str]) -> str:
    """Return the elements of one artist; a line without points is none."""
    part, _, index = gid.partition(" ")
    look = Look(int(index))
    line = f'd="M{"L".join(points)}"'
    if part == "line":
        dash = f' stroke-dasharray="{look.dash_array}"' if look.dash_array else ""
        return _group(gid, f"<path{dash} {line}/>") if points else ""
    if part == "ring":
        x, y = points[0].split()
        return _group(gid, f'<use href="#mark-ring" x="{x}" y="{y}"/>')
    if part == "interval":
        caps = "".join(f"M{point}m0 {-CAP_PX}v{2 * CAP_PX}" for point in points)
        return _group("bar" + gid.removeprefix(part), f'<path {line[:-1]}{caps}"/>')
    kind = "bar" if part == "band" else part
    return _group(f"{kind} {index}", f"<path {line}/>") if points else ""


def _group(gid: str, content: str) -> str:
    part, _, index = gid.partition(" ")
    return f'<g class="model series-{Look(int(index)).series} {part}" data-model="{index}">{content}</g>'


def _tick(milliseconds: float, _: int | None) -> str:
    """Return the label of a latency: the number of ms, or seconds where a person would write them."""
    is_long = milliseconds >= FEWEST_MS_IN_SECONDS
    return f"{milliseconds / 1000:g} s" if is_long else f"{milliseconds:g}"


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{_short(x)}" y="{_short(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _path_of(marker: str, px: float = MARK_PX) -> str:
    """Return matplotlib's marker as an SVG path."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform() + Affine2D().scale(px, -px))
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE4: "C", path.CLOSEPOLY: "z"}
    steps = path.iter_segments(simplify=False, curves=True)
    return "".join(
        letters[code] + ("" if code == path.CLOSEPOLY else " ".join(f"{value:.2f}" for value in values))
        for values, code in steps
    )

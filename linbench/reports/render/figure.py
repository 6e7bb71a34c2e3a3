"""What all figures share: style, files, text as text, and the SVG that the page embeds.

The page takes a figure's own SVG. A browser that forbids inline styles must show it in light and dark, so styles
become attributes, colours become the page's variables, and each artist that carries a ``tag`` becomes an element with
``class`` and ``data-model`` that the page's script finds. Marks become references to the page's one set of marks.
"""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D

from linbench.reports.render.palette import MARKERS, Look
from linbench.reports.render.plain_text import clip, plain
from linbench.system.files import replacing

DPI = 150
GRID = "#dddddd"
BEHIND_TEXT = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
STYLE = {
    "svg.hashsalt": "linbench",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}
SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
#: Colours of what belongs to no model, as variables of the page.
VARIABLES = {"#000000": "var(--quiet)", GRID: "var(--line)", "#ffffff": "var(--raised)"}
FAILED = "x"  # the mark of a failed cell
#: The parts of a curve whose marks are the page's own; None stands for the mark of the model.
MARKS = {"line": None, "failed": "mark-failed", "ring": "mark-ring"}
MARK_PX, RING_PX = 9.0, 13.0
PAINT = ("fill", "stroke")
KEPT = (*PAINT, "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "text-anchor")


def style() -> Any:
    """Return a context in which figures are made and saved."""
    return matplotlib.style.context(["default", STYLE])


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` as .png and as .svg, the same bytes for the same figure, each whole or absent."""
    with style():
        with replacing(path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
        with replacing(path.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    return [path.with_suffix(".png"), path.with_suffix(".svg")]


def literal(text: str, longest: int) -> str:
    """Return ``text`` so that no part of it becomes a formula, in at most ``longest`` characters."""
    return clip(plain(text), longest).replace("$", r"\$")


def tag(part: str, look: Look) -> str:
    """Return the gid of an artist that is a ``part`` (``line``, ``band``, ``failed`` …) of a model's curve."""
    return f"{part} {look.index}"


def embedded_svg(figure: Figure) -> str:
    """Return the SVG of a figure made in ``style`` as an element for a page; see the module's text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ET.fromstring(buffer.getvalue())
    shapes = {path.attrib["id"]: path.attrib["d"] for path in root.iter(f"{SVG}path") if "id" in path.attrib}
    _, _, width, height = root.attrib["viewBox"].split()
    result = ET.Element("svg", {"viewBox": f"0 0 {_short(width)} {_short(height)}"})
    result.extend(part for child in root for part in _embedded(child, shapes, "", None))
    return ET.tostring(result, encoding="unicode").replace(" />", "/>")


def mark_paths() -> dict[str, str]:
    """Return the id and the SVG path, around 0 0 in px, of each mark: of a model, a failed cell and a crossover."""
    paths = {f"mark-{i}": _path_of(marker) for i, marker in enumerate(MARKERS)}
    return {**paths, "mark-failed": _path_of(FAILED), "mark-ring": _path_of("o", RING_PX)}


def _embedded(element: ET.Element, shapes: Mapping[str, str], part: str, look: Look | None) -> list[ET.Element]:
    """Translate an element of matplotlib's SVG; groups that say nothing dissolve into their children."""
    name = element.tag.removeprefix(SVG)
    if name == "g":
        new_part, _, index = element.get("id", "").partition(" ")
        if index:
            part, look = new_part, Look(int(index))
        children = [new for child in element for new in _embedded(child, shapes, part, look)]
        if not index or look is None:
            return children
        group = ET.Element("g", {"class": f"model series-{look.series} {part}", "data-model": index})
        group.extend(children)
        return [group]
    at = {axis: _short(element.attrib[axis]) for axis in "xy" if axis in element.attrib}
    style = dict(entry.split(": ", 1) for entry in element.get("style", "").split("; ") if entry)
    if name == "text":
        text = ET.Element("text", {**at, "text-anchor": style.get("text-anchor", "start")})
        text.text = element.text
        return [text]
    if name == "use" and look is not None and part in MARKS:
        return [ET.Element("use", {"href": f"#{MARKS[part] or look.mark}", **at})]
    if name == "use":
        shape = shapes[element.attrib[HREF].removeprefix("#")]
        offset = {"transform": f"translate({at['x']} {at['y']})"}
        return [ET.Element("path", {"d": _short(shape), **offset, **_paint(style, look)})]
    if name == "path":
        return [ET.Element("path", {"d": _short(element.attrib["d"]), **_paint(style, look)})]
    return []


def _paint(style: Mapping[str, str], look: Look | None) -> dict[str, str]:
    """Return a style as attributes, its colours as variables of the page."""
    colours = {**VARIABLES, **({look.colour.lower(): "var(--model)"} if look else {})}
    paint = {name: value for name, value in style.items() if name in KEPT}
    fill, stroke = paint.get("fill", "#000000"), paint.get("stroke", "none")
    return {**paint, "fill": colours.get(fill, fill), "stroke": colours.get(stroke, stroke)}


def _short(numbers: str) -> str:
    """Return a path or a number with one decimal and on one line."""
    short = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), numbers)
    return re.sub(r"\s*([A-Za-z])\s*|\s+", lambda match: match[1] or " ", short).strip()


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

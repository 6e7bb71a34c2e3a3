"""The icicle of a profile: one row for each depth of the module tree, width in proportion to time.

A module that has parts is a pale box, in the hue of the kind that takes most of its time; below it stand its modules,
in the order of the model, then its own operators by kind. What has no parts is in full colour.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from linbench.reports.profile.kinds import Kind, kind_of
from linbench.reports.profile.summary import conditions, doubt, in_ms, title
from linbench.reports.profile.tree import Node, Work, grouped, joined, read_tree
from linbench.reports.render.figure import DPI, literal, style
from linbench.reports.render.plain_text import clip
from linbench.system.files import replacing

WIDTH, ROW, MARGINS = 11.0, 0.36, 1.25  # inches: the figure, a row, title with axis and legend
LETTER = 0.0066  # of the figure's width: a letter of a label
LABEL_SIZE = 8
SHORTEST = 2  # letters of a label
PALE = 0.28
DARK = 0.45  # luminance of a box, 0 to 1, below which its label is white
PURE = 0.9  # of a module's own time: what one kind must take for the module to be one box
OWN_LABELS = {Kind.OVERHEAD: "Python"}


@dataclass(frozen=True)
class Box:
    """A rectangle: a module or, at a leaf, operators of one kind.

    start, width: Fractions of the whole time.  path: Labels from the root, for the SVG.
    """

    path: str
    label: str
    depth: int
    start: float
    width: float
    kind: Kind
    is_leaf: bool


def icicle(document: Mapping[str, Any]) -> Figure:
    """Return the figure of a profile; repeated blocks are one box."""
    root = grouped(read_tree(document))
    drawn = list(boxes(root, document["whole_ms"]))
    rows = 1 + max(box.depth for box in drawn)
    with style():
        figure = Figure(figsize=(WIDTH, MARGINS + ROW * rows), layout="constrained")
        axes = figure.subplots()
        for box in drawn:
            _draw(axes, box)
        _finish(axes, document, rows, [kind for kind in Kind if any(b.is_leaf and b.kind is kind for b in drawn)])
    return figure


def boxes(node: Node, whole: float, start: float = 0.0, depth: int = 0, above: str = "") -> Iterator[Box]:
    """Yield the boxes of a node and of all below it, parents first."""
    path = f"{above}.{node.label}" if above else node.label
    times = kind_times(node)
    main = max(times, key=lambda kind: times[kind])
    is_leaf = not node.children and times[main] >= PURE * node.total.ms
    yield Box(path, node.label, depth, start, node.total.ms / whole, main, is_leaf)
    for child in node.children:
        yield from boxes(child, whole, start, depth + 1, path)
        start += child.total.ms / whole
    for kind, (label, ms) in () if is_leaf else own_kinds(node).items():
        yield Box(f"{path}.{kind}", label, depth + 1, start, ms / whole, kind, True)
        start += ms / whole


def own_kinds(node: Node) -> Mapping[Kind, tuple[str, float]]:
    """Return the own time of a node by kind, with the name of the longest operator of each."""
    by_kind: dict[Kind, dict[str, Work]] = {}
    for name, work in node.operators.items():
        by_kind.setdefault(kind_of(name), {})[name] = work
    rest = node.own.ms - sum(work.ms for work in node.operators.values())
    kinds: dict[Kind, tuple[str, float]] = {}
    for kind in Kind:
        if kind is Kind.OVERHEAD and rest > 0:
            kinds[kind] = (OWN_LABELS[kind], rest)
        elif works := by_kind.get(kind):
            longest = max(sorted(works), key=lambda name: works[name].ms)
            kinds[kind] = (longest.partition("::")[2], sum(work.ms for work in works.values()))
    return {kind: entry for kind, entry in kinds.items() if entry[1] > 0}


def kind_times(node: Node) -> Mapping[Kind, float]:
    """Return the time of a node and all below it by kind."""
    times = dict.fromkeys(Kind, 0.0)
    for name, work in joined(part.operators for _, part in node.walk()).items():
        times[kind_of(name)] += work.ms
    times[Kind.OVERHEAD] = node.total.ms - sum(times.values())
    return times


def _draw(axes: Axes, box: Box) -> None:
    if box.width <= 0:
        return
    face = box.kind.colour if box.is_leaf else _pale(box.kind.colour)
    rectangle = Rectangle((100 * box.start, box.depth), 100 * box.width, 1, facecolor=face, edgecolor="white")
    rectangle.set_linewidth(0.6 if box.width > 0.002 else 0.0)
    rectangle.set_gid(f"profile-{box.path}".replace(" ", "_"))
    axes.add_patch(rectangle)
    letters = int(box.width / LETTER) - 1
    if letters >= min(len(box.label), SHORTEST + 1):
        centre = (100 * (box.start + box.width / 2), box.depth + 0.5)
        text = literal(clip(box.label, letters), letters)
        ink = "white" if luminance(face) < DARK else "black"
        axes.text(*centre, text, ha="center", va="center", size=LABEL_SIZE, color=ink, clip_on=True)


def _pale(colour: str) -> str:
    """Return a colour mixed with white."""
    return "#" + "".join(f"{round(255 - PALE * (255 - part)):02x}" for part in _channels(colour))


def luminance(colour: str) -> float:
    """Return how light a colour ``#rrggbb`` is, 0 to 1."""
    red, green, blue = _channels(colour)
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _finish(axes: Axes, document: Mapping[str, Any], rows: int, kinds: list[Kind]) -> None:
    """Add title, axis and legend."""
    axes.set(xlim=(0, 100), ylim=(rows, 0), yticks=[])
    axes.spines["left"].set_visible(False)
    whole = f"% of the forward, {in_ms(document['whole_ms'])} ms with the profiler"
    overhead = f"which adds {100 * document['overhead']:.1f} %"
    axes.set_xlabel(f"{whole}, {overhead}" + ("  ‡ disturbed by other programs" if doubt(document) else ""))
    axes.set_title(literal(f"{title(document)}, {conditions(document)}", 120))
    handles = [Patch(facecolor=kind.colour, label=str(kind)) for kind in kinds]
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def write(figure: Figure, path: Path) -> None:
    """Write the figure as its ending says, .svg or .png: the same bytes for the same profile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with style(), replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=metadata)

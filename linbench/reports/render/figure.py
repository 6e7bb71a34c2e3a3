"""What all figures share: style, files, and text as text."""

from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from linbench.reports.render.palette import Look
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
FAILED = "x"  # the mark of a failed cell


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

"""Profiles on a page: the icicle as an SVG that the page's style paints, and the table of modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from linbench.reports.profile.figure import DARK, Box, boxes, luminance
from linbench.reports.profile.kinds import Kind
from linbench.reports.profile.summary import conditions, doubt, in_ms, title
from linbench.reports.profile.table import module_table
from linbench.reports.profile.tree import grouped, read_tree
from linbench.reports.render.plain_text import clip, plain
from linbench.reports.render.table import Table

MOST_PROFILES = 24  # on one page
LEVELS = 3  # of the table
WIDTH, ROW = 1000.0, 26.0  # px of the drawing
LETTER = 6.4  # px of a label's letter
SHORTEST = 2  # letters of a label
LEAST = 0.0005  # of the whole: narrower boxes are not drawn
KINDS = tuple(Kind)


@dataclass(frozen=True)
class ProfileView:
    """One profile as a page shows it.

    kinds: Index and name of those in the figure.  doubt: Why its times are doubtful; empty where they are not.
    """

    title: str
    conditions: str
    icicle: Markup
    kinds: Sequence[tuple[int, str]]
    table: Table
    doubt: str


def views(documents: Sequence[Mapping[str, Any]]) -> list[ProfileView]:
    """Return the profiles that a page shows."""
    return [_view(document) for document in documents[:MOST_PROFILES]]


def _view(document: Mapping[str, Any]) -> ProfileView:
    drawn = [box for box in boxes(grouped(read_tree(document)), document["whole_ms"]) if box.width >= LEAST]
    leaves = {box.kind for box in drawn if box.is_leaf}
    return ProfileView(
        title=plain(title(document)),
        conditions=plain(conditions(document)),
        icicle=Markup(_icicle(drawn, document)),
        kinds=[(i, str(kind)) for i, kind in enumerate(KINDS) if kind in leaves],
        table=module_table(document, LEVELS, False),
        doubt=doubt(document),
    )


def _icicle(drawn: Sequence[Box], document: Mapping[str, Any]) -> str:
    """Return the figure: a row for each level of modules, width in proportion to time."""
    rows = 1 + max((box.depth for box in drawn), default=0)
    label = escape(plain(title(document)))
    whole = document["whole_ms"]
    shapes = "".join(_shape(box, whole) for box in drawn)
    return (
        f'<svg class="icicle" viewBox="0 0 {WIDTH:g} {rows * ROW:g}" role="img" aria-label="{label}">{shapes}</svg>'
    )


def _shape(box: Box, whole: float) -> str:
    x, y, width = WIDTH * box.start, ROW * box.depth, WIDTH * box.width
    hint = escape(plain(f"{box.path}: {in_ms(box.width * whole)} ms, {100 * box.width:.1f} %"))
    kind = f"kind-{KINDS.index(box.kind)}"
    rectangle = f'<rect class="{kind}{"" if box.is_leaf else " pale"}" x="{x:.2f}" y="{y:g}" width="{width:.2f}" '
    return f'<g><title>{hint}</title>{rectangle}height="{ROW:g}"/>{_label(box, x + width / 2, y, width)}</g>'


def _label(box: Box, centre: float, y: float, width: float) -> str:
    letters = int(width / LETTER) - 1
    if letters < min(len(box.label), SHORTEST + 1):
        return ""
    ink = "on-pale" if not box.is_leaf else "on-dark" if luminance(box.kind.colour) < DARK else "on-light"
    text = escape(clip(plain(box.label), letters))
    return f'<text class="{ink}" x="{centre:.2f}" y="{y + ROW / 2 + 4:g}" text-anchor="middle">{text}</text>'

r"""Render a table of text as LaTeX: pandas' Styler sets the tabular, booktabs its rules, the notes stand below.

A document needs ``\usepackage[T1]{fontenc}`` and ``\usepackage{booktabs,graphicx,longtable}``. Cells and notes may
hold text from records that somebody else wrote: every character that LaTeX would act on is escaped, and a character
that pdfLaTeX has no glyph for becomes ``?``.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import pandas as pd
from tabulate import LATEX_ESCAPE_RULES

from linbench.reports.render.plain_text import plain
from linbench.reports.render.table import Table, blocks

SIGNS = {
    "~": r"$\sim$",  # the text symbol is an accent, high above the line
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
    "¹": r"\textsuperscript{1}",
    "ᵃ": r"\textsuperscript{a}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "∝": r"$\propto$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "µ": r"$\mu$",
    "Δ": r"$\Delta$",
    "✓": r"$\surd$",
    "✗": r"$\mathbf{\times}$",
    "◇": r"$\diamond$",
}
#: Characters that LaTeX reads as an argument of the line break before them (``\\*``, ``\\[``) or joins with the next
#: one (``--``).
INERT = {letter: f"{{{letter}}}" for letter in "[]*-`"}
#: What pdfLaTeX prints as it is beside ASCII, in the encodings T1 and TS1: Latin-1 and some punctuation.
PRINTABLE = {*map(chr, range(0xA1, 0x100)), *"–—…†‡‘’“”"} - {"\xad"}
ESCAPES = {**LATEX_ESCAPE_RULES, **INERT, **SIGNS}
MAX_NOTE_LENGTH = 1000  # characters
MAX_FLOAT_NOTES = 2000  # characters of all notes that stand in one float with their table
MAX_FLOAT_ROWS = 45
MAX_WIDTH = 110  # characters side by side
SHRINK_TO_LINE = r"\par\medskip\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
#: Small type, and the table in the middle of the line also where it is wider.
LONG_TABLE_STYLE = (
    r"\scriptsize\setlength{\tabcolsep}{2pt}"
    r"\setlength{\LTleft}{0pt plus 1fill minus 1fill}\setlength{\LTright}{\LTleft}"
)


def escape(text: str) -> str:
    """Escape one line of text so that LaTeX prints it as it is."""
    return "".join(_escape_letter(letter) for letter in unicodedata.normalize("NFC", plain(text)))


def to_latex(table: Table, label: str = "") -> str:
    r"""Render the table as a ``table`` environment, or as a ``longtable`` where it is longer than a page.

    What is too wide continues in a second part under the first column; notes that fill a page stand after the table.
    label: For ``\ref``.
    """
    label = re.sub(r"[^a-z0-9:-]", "-", label.lower())
    caption = escape(table.title)
    warnings = [rf"\par \textbf{{{escape(text[:MAX_NOTE_LENGTH])}}}" for text in table.warnings]
    notes = [*warnings, *(rf"\par {escape(note[:MAX_NOTE_LENGTH])}" for note in table.notes)]
    notes_after = [r"{\footnotesize", *notes, r"\par}"] if notes else []
    columns = range(len(table.columns))
    if len(table.rows) > MAX_FLOAT_ROWS:
        long_table = _tabular(table, columns, environment="longtable", caption=caption, label=label)
        return "\n".join([f"{{{LONG_TABLE_STYLE}", f"{long_table}}}", *notes_after, ""])
    headings = ["\n".join(map(plain, heading.split("\n"))) for heading in table.columns]
    parts = blocks(headings, [[plain(cell) for cell in row] for row in table.rows], MAX_WIDTH)
    tabulars = [f"{SHRINK_TO_LINE}\n{_tabular(table, part)}}}" for part in parts]
    named = rf"\label{{{label}}}" if label else ""
    lines = [r"\begin{table}[htbp]", r"\centering\footnotesize", rf"\caption{{{caption}}}{named}", *tabulars]
    if sum(map(len, notes)) > MAX_FLOAT_NOTES:  # a float ends with its page
        return "\n".join([*lines, r"\end{table}", *notes_after, ""])
    notes_below = [r"\par\medskip\begin{minipage}{\linewidth}", *notes, r"\end{minipage}"] if notes else []
    return "\n".join([*lines, *notes_below, r"\end{table}", ""])


def document(*tables: str) -> str:
    """Return a whole document of tables, ready to compile."""
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage[utf8]{inputenc}",
            r"\usepackage{textcomp}",
            r"\usepackage{booktabs,graphicx,longtable}",
            r"\begin{document}",
            *tables,
            r"\end{document}",
            "",
        ]
    )


def _tabular(table: Table, columns: Sequence[int], **environment: Any) -> str:
    """Set some columns, the first flush left and the others flush right.

    environment: Its name, caption and label, as ``Styler.to_latex`` takes them; none for a bare ``tabular``.
    """
    frame = pd.DataFrame([[row[i] for i in columns] for row in table.rows], columns=list(columns), dtype=object)
    headings: dict[object, str] = {i: _heading(table.columns[i]) for i in columns}
    styler = frame.style.hide(axis="index").format(lambda cell: escape(str(cell)))
    styler = styler.format_index(lambda i: headings[i], axis="columns")
    text = styler.to_latex(column_format=f"l{'r' * (len(columns) - 1)}", hrules=True, **environment)
    return str(text).rstrip("\n")


def _heading(heading: str) -> str:
    """Escape a heading; stack its lines where it has several."""
    lines = [escape(line) for line in heading.split("\n")]
    stacked = r" \\ ".join(lines)
    return lines[0] if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"


def _escape_letter(letter: str) -> str:
    if letter in ESCAPES:
        return ESCAPES[letter]
    return letter if letter.isascii() or letter in PRINTABLE else "?"

r"""A table of text as LaTeX: booktabs, narrowed to the line where it is too wide, its notes below.

It needs ``\usepackage{booktabs,graphicx,longtable}``. Cells and notes may hold text from records that somebody else
wrote: every character that LaTeX would act on is escaped, and one that pdfLaTeX has no letter for becomes ``?``.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from linbench.reports.plain_text import plain
from linbench.reports.table import Table, blocks

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # after a line break it would begin an option
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",  # two of them would become a dash
}
SIGNS = {
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
    "¹": r"\textsuperscript{1}",
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
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
}
LONGEST_NOTE = 1000  # characters
LONGEST_NOTES = 2000  # characters of all notes that stand in one float with their table
LONGEST_PAGE = 45  # rows
WIDEST = 110  # characters side by side


def escape(text: str) -> str:
    """One line of text that LaTeX prints as it is."""
    return "".join(_letter(c) for c in unicodedata.normalize("NFC", plain(text)))


def to_latex(table: Table, label: str = "") -> str:
    r"""The table as a ``table`` environment, or as a ``longtable`` where it is longer than a page.

    What is too wide continues in a second part under the first column; notes that fill a page stand after the table.
    label: For ``\ref``.
    """
    named = rf"\label{{{re.sub(r'[^a-z0-9:-]', '-', label.lower())}}}" if label else ""
    caption = rf"\caption{{{escape(table.title)}}}{named}"
    notes = [rf"\par {escape(note[:LONGEST_NOTE])}" for note in table.notes]
    apart = [r"{\footnotesize", *notes, r"\par}"] if notes else []
    if len(table.rows) > LONGEST_PAGE:
        return "\n".join([*_long(table, caption), *apart, ""])
    heads = ["\n".join(plain(line) for line in head.split("\n")) for head in table.columns]
    parts = blocks(heads, [[plain(cell) for cell in row] for row in table.rows], WIDEST)
    tabulars = [line for columns in parts for line in _tabular(table, columns)]
    whole = [r"\begin{table}[htbp]", r"\centering\footnotesize", caption, *tabulars]
    if sum(map(len, notes)) > LONGEST_NOTES:  # a float ends with its page
        return "\n".join([*whole, r"\end{table}", *apart, ""])
    below = [r"\par\medskip\begin{minipage}{\linewidth}", *notes, r"\end{minipage}"] if notes else []
    return "\n".join([*whole, *below, r"\end{table}", ""])


def _tabular(table: Table, columns: Sequence[int]) -> list[str]:
    """Some columns, narrowed to the line where they are too wide."""
    return [
        r"\par\medskip\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        _line(_head(table.columns[i]) for i in columns),
        r"\midrule",
        *(_line(escape(row[i]) for i in columns) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def _long(table: Table, caption: str) -> list[str]:
    """All columns, over as many pages as they need."""
    return [
        r"{\scriptsize\setlength{\tabcolsep}{2pt}",
        # in the middle of the line, also where it is wider
        r"\setlength{\LTleft}{0pt plus 1fill minus 1fill}\setlength{\LTright}{\LTleft}",
        rf"\begin{{longtable}}{{l{'r' * (len(table.columns) - 1)}}}",
        caption + r" \\",
        r"\toprule",
        _line(_head(head) for head in table.columns),
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *(_line(escape(cell) for cell in row) for row in table.rows),
        r"\end{longtable}}",
    ]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def document(*tables: str) -> str:
    """A whole document of tables, to be compiled."""
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


def _head(head: str) -> str:
    """A head of several lines, stacked."""
    lines = [escape(line) for line in head.split("\n")]
    stacked = r" \\ ".join(lines)
    return lines[0] if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"


def _letter(c: str) -> str:
    if c in SPECIAL:
        return SPECIAL[c]
    if c in SIGNS:
        return SIGNS[c]
    return c if c.isascii() or ("À" <= c <= "ÿ") else "?"

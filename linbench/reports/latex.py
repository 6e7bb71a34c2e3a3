r"""A table of text as LaTeX: booktabs, narrowed to the line where it is too wide, its notes below.

It needs ``\usepackage{booktabs,graphicx}``. Cells and notes may hold text from records that somebody else wrote:
every character that LaTeX would act on is escaped, and one that pdfLaTeX has no letter for becomes ``?``.
"""

import re
import unicodedata

from linbench.reports.table import Table, plain

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


def escape(text: str) -> str:
    """One line of text that LaTeX prints as it is."""
    return "".join(_letter(c) for c in unicodedata.normalize("NFC", plain(text)))


def to_latex(table: Table, label: str = "") -> str:
    r"""The table as a ``table`` environment.

    label: For ``\ref``.
    """
    heads = [_head(head) for head in table.columns]
    lines = [" & ".join(escape(cell) for cell in row) + r" \\" for row in table.rows]
    notes = [rf"\par {escape(note[:LONGEST_NOTE])}" for note in table.notes]
    named = [rf"\label{{{re.sub(r'[^a-z0-9:-]', '-', label.lower())}}}"] if label else []
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(table.title)}}}",
            *named,
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            *([r"\par\medskip\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"] if notes else []),
            r"\end{table}",
            "",
        ]
    )


def document(*tables: str) -> str:
    """A whole document of tables, to be compiled."""
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage[utf8]{inputenc}",
            r"\usepackage{textcomp}",
            r"\usepackage{booktabs,graphicx}",
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

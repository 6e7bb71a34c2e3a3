"""LaTeX of a table: what it escapes, and that pdfLaTeX takes it."""

import shutil
import subprocess

import pytest

from linbench.reports.paper import excluded
from linbench.reports.paper.export import latex
from linbench.reports.paper.spec import table_specs
from linbench.reports.render.latex import PRINTABLE, SIGNS, document, escape, to_latex
from linbench.reports.render.table import Table
from tests.reports.paper.cases import build_table, evidence, some

HOSTILE = r"\input{x} $x$ 50% a_b^c~ #1 & {} [x] <b> |y| `q' " "-- ² ± × ∞ ✓ ◇ 中 é * \\"


def test_what_latex_acts_on_is_escaped():
    assert escape("50 % of a_b & c") == r"50 \% of a\_b \& c"
    assert escape(r"\input{x}") == r"\textbackslash{}input\{x\}"
    assert escape("±2 × ² ✓ 中") == r"$\pm$2 $\times$ \textsuperscript{2} $\surd$ ?"


def test_a_table_has_rules_a_caption_and_its_notes():
    text = to_latex(Table("A & B", ("x", "y\nms"), (("a", "1"), ("b", "2")), ("note 1 %",)), "Table A")
    assert r"\caption{A \& B}" in text and r"\label{table-a}" in text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert "a & 1 \\\\\nb & 2 \\\\" in text
    assert r"x & \shortstack[r]{y \\ ms} \\" in text
    assert r"\par note 1 \%" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_pdflatex_takes_all_tables_and_hostile_text(tmp_path):
    known = evidence(some())
    tables = [latex(build_table(name, known), name) for name in table_specs()]
    tables += [to_latex(table) for table in excluded.build(known.scores)]
    tables.append(to_latex(Table(HOSTILE, (HOSTILE, HOSTILE), ((HOSTILE, HOSTILE),), (HOSTILE,))))
    letters = [*map(chr, range(0x20, 0x7F)), *sorted(PRINTABLE), *SIGNS, "\x1b", "\u200b", "𝄞"]
    tables.append(to_latex(Table("letters", ("alone", "twice"), tuple((letter, 2 * letter) for letter in letters))))
    (tmp_path / "all.tex").write_text(document(*tables), encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000

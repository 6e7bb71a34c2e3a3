"""The latency report as people see it."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from linbench.records import Status
from linbench.reports.latency.figure import figures
from linbench.reports.latency.rows import comparisons, rows
from linbench.reports.latency.table import build, title
from linbench.reports.render.table import Table, to_csv, to_markdown, to_terminal
from tests.reports.cases import five_backbones, power_law, record, tables, write

GOLDEN = Path(__file__).parents[1] / "golden"
HOSTILE = "a|b\n=1 <b>`x`</b> \x1b[31m\u202e_*["


def cells(records, codes=None):
    """Of the only comparison: model → column → text."""
    (group,) = comparisons(rows(records, codes))
    table = build(group)
    return {line[0]: dict(zip(table.columns, line, strict=True)) for line in table.rows}, "\n".join(table.notes)


def test_the_markdown_of_a_report_is_the_golden_one(tmp_path):
    write(five_backbones(), tmp_path, {"rwkv-sam-t": "other"})
    assert (tmp_path / "latency.md").read_text(encoding="utf-8") == (GOLDEN / "report_latency.md").read_text(
        encoding="utf-8"
    )


def test_failed_and_missing_cells_are_shown_as_such():
    found, notes = cells(five_backbones())
    assert found["vit-t"]["2048²"] == "oom" == found["vit-t"]["peak MiB\n2048²"]
    assert found["vmamba-t"]["1024²"] == "timeout"
    assert found["vmamba-t"]["2048²"] == "–" == found["rwkv-sam-t"]["2048²"]
    assert "vit-t at 2048²: oom, 9.1 GB asked for, 6.0 GB free" in notes


def test_an_interval_from_one_process_is_marked_and_one_from_rounds_is_not():
    found, notes = cells([record("vim-t", 512, 50.0), record("vim-s", 512, 50.0, rounds=1)])
    assert found["vim-t"]["512²"].endswith("%")
    assert found["vim-s"]["512²"].endswith("%ᵃ")
    assert "ᵃ 1 round:" in notes
    _, notes = cells([record("vim-t", 512, 50.0)])
    assert "ᵃ" not in notes


def test_one_sample_has_no_interval():
    found, _ = cells([record("vim-t", 512, 50.0, rounds=1, samples=1, noise=0.0)])
    assert found["vim-t"]["512²"] == "50.0 msᵃ"


def test_the_half_width_is_the_wider_side_in_percent():
    made = record("vim-t", 512, 50.0)
    for entry, ms in zip(made.rounds, (49.0, 50.0, 56.0), strict=True):
        entry["samples_ms"][:] = [ms] * 25
    found, notes = cells([made])
    assert found["vim-t"]["512²"] == "50.0 ms ±23 %"  # 51.58 · exp(4.303 · 0.0416) is 61.7
    assert "Student's t over the logarithms of the rounds' medians" in notes


def test_not_converged_and_stale_cells_are_marked():
    records = [record("vim-t", 512, 50.0, converged=False, noise=0.0), record("vim-t", 1024, status=Status.OOM)]
    found, notes = cells(records, {"vim-t": "other"})
    assert found["vim-t"]["512²"] == "~50.0 ms ±0 %†"
    assert found["vim-t"]["1024²"] == "oom†"
    assert "~ not converged" in notes and "† stale" in notes
    _, notes = cells([record("vim-t", 512, 50.0)], {"vim-t": "present"})
    assert "~" not in notes and "†" not in notes


def test_devices_are_never_mixed():
    records = [record("vit-t", 512, 10.0), record("vim-t", 512, 1.0, device="NVIDIA H200", device_type="cuda")]
    xeon, _, gpu, _ = tables(records)
    assert ([line[0] for line in xeon.rows], [line[0] for line in gpu.rows]) == (["vit-t"], ["vim-t"])
    assert not any("crossover" in head for head in gpu.columns)  # none with the ViT of another device
    with pytest.raises(ValueError, match="one comparison"):
        build(rows(records))


def test_every_part_has_its_own_table_figure_and_crossover_and_says_which_it_is(tmp_path):
    decoder = {"part": "decoder", "prompts": 8}
    records = [
        *(*power_law("vit-t", 100, 1.6), *power_law("vim-t", 180, 1.0)),
        *(*power_law("vit-t", 9, 1.0, **decoder), *power_law("vmamba-t", 10, 1.0, **decoder, fusion="mamba")),
    ]
    backbone, _, decoded, phases = tables(records)
    assert backbone.title.startswith("Latency of the backbone: ")
    assert decoded.title.startswith("Latency of the decoder for 8 boxes: ")
    assert phases.title.startswith("Before the first sample of the decoder for 8 boxes: ")
    assert [line[0] for line in decoded.rows] == ["vit-t", "vmamba-t (mamba fusion)"]
    assert decoded.rows[1][-1].startswith("above 2048")  # of the decoders, not of the backbones
    assert any("from maps on the device to mask logits at stride 4" in note for note in decoded.notes)
    written = write(records, tmp_path)
    assert {"latency-backbone.svg", "latency-decoder.svg"} <= {path.name for path in written}
    assert "latency of the decoder for 8 boxes, ms" in (tmp_path / "latency-decoder.svg").read_text()
    assert {"part", "prompts", "fusion"} <= set((tmp_path / "latency.csv").read_text().splitlines()[0].split(","))
    whole = record("vit-t", 512, 9.0, part="end-to-end", prompts=1)
    assert title(rows([whole])).startswith("Latency of the segmenter end to end for 1 box: ")


def test_missing_operators_are_named_where_flops_are_a_bound():
    found, notes = cells(five_backbones()[:1] + [r for r in five_backbones() if r.key["backbone"] == "vmamba-t"])
    assert found["vmamba-t"]["GFLOP\n1024²"] == "≥ 25.0"
    assert "vmamba-t (aten::_foo)" in notes


def test_loading_and_compiling_are_a_table_of_their_own():
    latency, phases = tables(five_backbones())
    assert not any("load" in head or "compile" in head for head in latency.columns)
    assert phases.rows[0] == ("vit-t", "1024²", "0.500", "0.375", "1.50")


def test_five_backbones_at_three_resolutions_fit_in_100_columns():
    for table in tables(five_backbones()):
        text = to_terminal(table, 100)
        assert max(map(len, text.splitlines())) <= 100
        for label in ("vit-t", "vim-t", "vrwkv-t", "vmamba-t", "rwkv-sam-t"):
            assert label in text
    assert "1024²" in text


def test_a_hostile_name_breaks_neither_table_nor_spreadsheet(tmp_path):
    records = [
        record(HOSTILE, 512, 5.0, device=HOSTILE),
        record("=cmd|x", 512, status=Status.FAILED, reason="@SUM(1)\n# head\x07", device=HOSTILE),
    ]
    write(records, tmp_path)
    markdown = (tmp_path / "latency.md").read_text(encoding="utf-8")
    line = next(line for line in markdown.splitlines() if line.startswith("| a"))
    assert line.startswith(r"| a\|b =1 \<b\>\`x\`\</b\> �\[31m�\_\*\[ ")
    assert line.replace(r"\|", "").count("|") == len(tables(records)[0].columns) + 1
    assert "\n# head" not in markdown and "\x07" not in markdown
    with (tmp_path / "latency.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert {row["backbone"] for row in read} == {"'=cmd|x", "a|b =1 <b>`x`</b> �[31m�_*["}
    assert {row["reason"] for row in read} == {"", "'@SUM(1) # head�"}
    terminal = "".join(to_terminal(table) for table in tables(records))
    assert not set(terminal) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize("start", "=+-@")
def test_text_that_a_spreadsheet_would_compute_is_quoted(start):
    text = to_csv(Table("", ("a", "b"), ((f" {start}1+1", "x"),)))
    assert list(csv.reader(io.StringIO(text)))[1] == [f"'{start}1+1", "x"]


def test_a_table_without_rows_is_still_a_table():
    empty = Table("nothing", ("a", "b"), ())
    assert "nothing" in to_terminal(empty)
    assert "| a" in to_markdown(empty)


def test_a_report_writes_a_figure_for_each_comparison_and_the_same_bytes_twice(tmp_path):
    records = [*power_law("vit-t", 10, 1.5), *power_law("vit-t", 10, 1.5, dtype="bfloat16")]
    records += [record("vit-t", 512, status=Status.UNSUPPORTED, dtype="float16")]
    names = ["latency.md", "latency.csv", "latency.tex"]
    names += [f"latency-{dtype}.{kind}" for dtype in ("bfloat16", "float32") for kind in ("png", "svg")]
    first, second = write(records, tmp_path / "a"), write(records, tmp_path / "b")
    assert [path.name for path in first] == names
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    text = first[0].read_text(encoding="utf-8")
    assert "![Latency against resolution](latency-float32.svg)" in text
    assert "latency-float16" not in text  # nothing was measured, nothing can be drawn


def test_a_figure_shows_lines_failures_and_crossovers():
    records = [*power_law("vit-t", 10, 2.0, (512, 1024), noise=0.0), record("vit-t", 2048, status=Status.OOM)]
    (drawn,) = figures(rows([*records, *power_law("vim-t", 20, 1.0, noise=0.0)]))
    (axes,) = drawn.axes
    assert [text.get_text() for text in axes.texts] == ["vit-t: oom"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["512²", "1024²", "2048²"]
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["vim-t\np = 1.00 ±0.00\nfaster than vit-t from 724²", "vit-t\np = 2.00 ±0.00"]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [2048]
    ring = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ring] == [pytest.approx((724.077, 40.0))]


def test_a_model_that_only_failed_is_last_in_the_legend():
    (drawn,) = figures(rows([record("vit-t", 512, status=Status.OOM), *power_law("vim-t", 20, 1.0)]))
    assert [text.get_text().split("\n")[0] for text in drawn.legends[0].get_texts()] == ["vim-t", "vit-t"]


def test_a_formula_in_a_name_is_drawn_as_text(tmp_path):
    write([record("$\\frac{$", 512, 1.0, device="$x$ $", torch="$")], tmp_path)


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none is of the suite latency"):
        write([], tmp_path)


def test_reports_and_their_figures_do_without_torch():
    parts = ("latency.report", "latency.figure", "latency.table", "latency.rows", "statistics.crossover")
    parts += ("statistics.scaling", "statistics.latency_summary", "render.table")
    modules = ", ".join(f"linbench.reports.{part}" for part in parts)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_tables_do_without_matplotlib():
    code = "import sys, linbench.reports.latency.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0

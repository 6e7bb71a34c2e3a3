"""The kernels report as people see it."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from linbench.records import BadRecord, Record, Status
from linbench.reports.kernels.figure import figure
from linbench.reports.kernels.report import plain, sections, write_files
from linbench.reports.kernels.rows import rows
from linbench.reports.kernels.table import build
from linbench.reports.latency.rows import comparisons
from linbench.reports.render.table import to_terminal
from tests.reports.cases import record as latency_record
from tests.reports.kernel_cases import record, several

GOLDEN = Path(__file__).parents[1] / "golden"


def tables(records):
    return [table for section in sections(rows(records)) for table in section]


def as_json(records):
    return plain(rows(records))


def write(records, folder, code_hashes=None):
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame), folder, draw=True)


def lines(records):
    """Return the only comparison as label → column → text, and the notes."""
    (group,) = comparisons(rows(records))
    table = build(group)
    return {line[0]: dict(zip(table.columns, line, strict=True)) for line in table.rows}, "\n".join(table.notes)


def test_the_markdown_of_a_report_is_the_golden_one(tmp_path):
    write(several(), tmp_path, {"q_shift": "other"})
    golden = (GOLDEN / "report_kernels.md").read_text(encoding="utf-8")
    assert (tmp_path / "kernels.md").read_text(encoding="utf-8") == golden


def test_ratios_and_the_roofline_by_hand():
    # 40 GB/s and 400 GFLOP/s: 20 MB take 0.5 ms, 45 MFLOP 0.1125 ms, 9 GFLOP 22.5 ms
    (row,) = as_json([record("bi_wkv", "a", "forward", 1.5, noise=0.0)])
    assert (row["roofline_ms"], row["bound"]) == (pytest.approx(0.5), "bytes")
    assert row["of_roofline"] == pytest.approx(3.0)
    assert (row["of_copy"], row["of_linear"], row["of_sdpa"]) == pytest.approx((3.0, 0.5, 0.025))
    assert (row["copy_gb_s"], row["product_gflop_s"]) == pytest.approx((40, 400))
    (row,) = as_json([record("bi_wkv", "a", "forward", 45.0, flops=9_000_000_000, noise=0.0)])
    assert (row["roofline_ms"], row["bound"]) == (pytest.approx(22.5), "FLOPs")
    assert row["of_roofline"] == pytest.approx(2.0)


def test_a_ratio_is_of_one_round_and_their_median_stands():
    made = record("bi_wkv", "a", "forward", 1.0, noise=0.0)
    for entry, factor in zip(made.rounds, (1.0, 2.0, 8.0), strict=True):  # a mood of the machine falls on both
        entry["samples_ms"][:] = [factor] * 25
        entry["yardsticks"]["copy"]["samples_ms"][:] = [factor / 2] * 25
    entry["yardsticks"]["stream"]["samples_ms"][:] = [1.0] * 25
    (row,) = as_json([made])
    assert row["of_copy"] == pytest.approx(2.0)
    # bytes at 40, 40 and 400 GB/s: a roofline of 0.5, 0.5 and (by FLOPs) 0.1125 ms
    assert (row["of_roofline_low"], row["of_roofline"]) == pytest.approx((2.0, 4.0))
    assert row["of_roofline_high"] == pytest.approx(8.0 / 0.1125)


def test_what_was_not_timed_is_shown_as_such():
    cells, notes = lines(several())
    assert cells["bi_wkv vrwkv-s at 4096 fwd"]["× of\nSDPA"] == "–"
    assert "bi_wkv vrwkv-s at 4096 fwd: baseline not timed: sdpa: about 17 s a call" in notes
    assert cells["bi_wkv vrwkv-s at 4096 bwd"]["time"] == "oom"
    assert cells["selective_scan vim-s at 1024 fwd vendor"]["time"] == "unsupported"
    assert "selective_scan vim-s at 1024 fwd vendor: unsupported, mamba_ssm is not installed" in notes
    assert cells["q_shift vrwkv-s at 1024 bwd"]["× of\nroofline"] == "–"


def test_marks_are_those_of_latencies():
    cells, notes = lines(several())
    assert cells["q_shift vrwkv-s at 1024 fwd"]["time"].startswith("~0.4")
    assert cells["q_shift vrwkv-s at 1024 fwd"]["time"].endswith("ᵃ")
    assert "~ not converged" in notes and "ᵃ 1 round" in notes


def test_devices_and_dtypes_are_never_mixed():
    made = [record("bi_wkv", "a", "forward", 1.0), record("bi_wkv", "a", "forward", 1.0, dtype="bfloat16")]
    assert [len(table.rows) for table in tables(made)] == [1, 1]


def test_records_of_other_suites_are_left_alone():
    assert tables([latency_record("vit-t", 512, 1.0)]) == []
    with pytest.raises(ValueError, match="none is of the suite kernels"):
        write([latency_record("vit-t", 512, 1.0)], Path("nowhere"))


def test_a_record_without_an_op_is_refused():
    with pytest.raises(BadRecord, match="needs op, got None"):
        rows([Record(key={"suite": "kernels"}, status=Status.OK)])


def test_a_round_without_yardsticks_or_with_nonsense_is_no_error():
    made = record("bi_wkv", "a", "forward", 1.0)
    made.rounds[0]["yardsticks"] = "none"
    for entry in made.rounds[1:]:
        entry["yardsticks"]["copy"] = {"samples_ms": ["x"]}
        entry["yardsticks"]["stream"] = {"samples_ms": [1.0], "bytes": True}
    (row,) = as_json([made])
    assert row["of_copy"] is None
    assert row["of_roofline"] is None
    assert row["median_ms"] > 0


def test_the_table_fits_in_100_columns():
    (table,) = tables(several())
    assert max(map(len, to_terminal(table, 100).splitlines())) <= 100


def test_a_figure_shows_a_dot_for_each_direction_and_names_failures():
    (group,) = comparisons(rows(several()))
    drawn = figure(group)
    (axes,) = drawn.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[0] == "bi_wkv, vrwkv-s at 1024"
    assert "selective_scan, vim-s at 1024, vendor" in names
    assert sorted(text.get_text() for text in axes.texts) == [
        "backward: oom",
        "backward: wrong",
        "forward: unsupported",
    ]
    dots = [line for line in axes.lines if line.get_marker() in ("o", "D") and len(line.get_xdata())]
    assert len(dots) == 5
    first = as_json(several())[0]
    assert dots[0].get_xdata()[0] == pytest.approx(first["of_roofline"])


def test_a_figure_of_failures_only_is_none():
    (group,) = comparisons(rows([record("bi_wkv", "a", "forward", status=Status.OOM)]))
    assert figure(group) is None


def test_a_report_writes_the_same_bytes_twice_and_no_formula_into_its_csv(tmp_path):
    made = [*several(), record("=cmd|x", "@a", "forward", 1.0, device="|$x$")]
    first, second = write(made, tmp_path / "a"), write(made, tmp_path / "b")
    assert [path.name for path in first][:2] == ["kernels.md", "kernels.csv"]
    assert sum(path.suffix == ".svg" for path in first) == 2
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    with (tmp_path / "a" / "kernels.csv").open(encoding="utf-8", newline="") as file:
        assert {row["op"] for row in csv.DictReader(file)} == {"'=cmd|x", "bi_wkv", "q_shift", "selective_scan"}


def test_the_report_does_without_torch_and_its_tables_without_matplotlib():
    code = (
        "import sys; import linbench.reports.kernels.report; assert 'matplotlib' not in sys.modules\n"
        "import linbench.reports.kernels.figure; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0

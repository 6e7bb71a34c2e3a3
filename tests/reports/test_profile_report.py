"""Tables and figure of a profile that was made up by hand."""

import json
import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from linbench.reports.profile.figure import boxes, icicle, write
from linbench.reports.profile.kinds import Kind, kind_of
from linbench.reports.profile.table import module_frame, module_table, operator_frame, operator_table
from linbench.reports.profile.tree import grouped, read_tree
from linbench.reports.render.table import Table, to_terminal
from tests.reports.profile_cases import document

NAMES = [module["name"] for module in document()["modules"]]


def cells(table: Table) -> dict[str, dict[str, str]]:
    heads = [head.replace("\n", " ") for head in table.columns]
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in table.rows}


def test_repeated_blocks_are_one_row_with_the_sum_of_their_times() -> None:
    table = module_table(document(), None, expand=False)
    labels = [row[0] for row in table.rows]
    groups = ["net-s", "· stem", "· blocks.0-2", "· · key", "· blocks.3", "· · key", "outside modules"]
    assert labels == groups
    row = cells(table)["· blocks.0-2"]
    assert (row["ms"], row["%"], row["own %"], row["GFLOP"]) == ("10.00", "33.3", "10.0", "0.300")


@pytest.mark.parametrize("module", ["blocks.1", "blocks.1.key"])
def test_blocks_with_other_flops_are_not_joined(module: str) -> None:
    other = document()
    for entry in other["operators"]:
        entry["flops"] += entry["module"] == module
    labels = [node.label for node in grouped(read_tree(other)).children]
    assert labels == ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]


def test_expanded_every_module_has_one_row() -> None:
    table = module_table(document(), None, expand=True)
    assert len(table.rows) == len(NAMES) + 1
    assert [row[0].replace("· ", "") for row in table.rows[1:-1]] == [name.rpartition(".")[2] for name in NAMES[1:]]


def test_a_module_that_never_ran_is_counted_and_shown_on_request() -> None:
    assert "left out (1); --expand shows all" in module_table(document(), None, expand=False).notes[0]
    table = module_table(document(), None, expand=True)
    assert cells(table)["· unused"]["ms"] == "–" and "left out" not in table.notes[0]


def test_depth_limits_the_levels() -> None:
    assert [row[0] for row in module_table(document(), 0, False).rows] == ["net-s", "outside modules"]
    assert not any(row[0].startswith("· · ") for row in module_table(document(), 1, False).rows)


def test_the_rows_of_the_first_level_and_the_model_s_own_time_sum_to_the_whole() -> None:
    rows = cells(module_table(document(), 1, expand=False))
    own = float(rows["net-s"]["own %"])
    parts = sum(float(row["%"]) for label, row in rows.items() if label.startswith("· "))
    assert math.isclose(own + parts + float(rows["outside modules"]["%"]), 100, abs_tol=0.3)


def test_the_roof_is_the_larger_bound_of_each_operator() -> None:
    rows = cells(module_table(document(), None, expand=True))
    assert rows["· stem"]["roof %"] == "90.9"  # 10 ms for 1 GFLOP at 100 GFLOP/s, of 11; its bytes take 1
    operators = cells(operator_table(document()))
    assert operators["bi_wkv"]["rate"] == "133 GB/s" and operators["convolution"]["rate"] == "90.9 GFLOP/s"


def test_operators_are_ranked_and_sum_to_the_whole() -> None:
    table = operator_table(document())
    assert [row[0] for row in table.rows] == ["mm", "convolution", "bi_wkv", "add", "Python, dispatch"]
    times = {row[0]: float(row[2]) for row in table.rows}
    assert times["mm"] == 13 and math.isclose(sum(times.values()), 30)


def test_operators_that_hardly_count_are_one_row() -> None:
    many = document()
    template = {**many["operators"][1], "ms": 0.001}
    many["operators"] += [{**template, "operator": f"aten::tiny{i}"} for i in range(5)]
    assert cells(operator_table(many))["5 others"]["n"] == "5"


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_width_in_one_block(width: int) -> None:
    long = document(0.5, ("aten::some_operator_without_formula",))
    long["subject"]["model"] = "a-backbone-with-a-very-long-name-of-its-own-that-goes-on"
    long["operators"][0]["operator"] = "aten::_scaled_dot_product_flash_attention_for_cpu"
    for table in (module_table(long, None, False), module_table(long, None, True), operator_table(long)):
        text = to_terminal(table, width)
        body = [line for line in text.splitlines() if line]
        assert max(map(len, body)) <= width
        assert text.count("----") and sum(line.startswith("---") for line in body) == 1


def test_overhead_sums_rates_and_doubt_are_stated() -> None:
    text = " ".join(module_table(document(0.31, ("aten::odd",)), 1, False).notes)
    assert (
        "Plain forward 29.00 ms, profiled 30.00 ms" in text
        and "adds 3.4 %" in text
        and "103.4 % of the plain" in text
    )
    assert "100 GFLOP/s" in text and "10 GB/s" in text and "aten::odd" in text
    assert "‡ Other programs used 31 % of the cores" in text
    quiet = " ".join(module_table(document(None), 1, False).notes)
    assert "‡" not in quiet and "formula" not in quiet


def test_frames_hold_every_module_and_operator_with_units() -> None:
    modules = module_frame(document())
    assert list(modules["module"]) == NAMES
    assert modules.set_index("module").loc["blocks.3", "ms"] == 7
    assert modules["own_ms"].sum() == 29 and modules.loc[0, "parameters"] == 4 * 64 + 6
    operators = operator_frame(document()).set_index("operator")
    assert operators.loc["aten::mm", "calls"] == 4 and operators.loc["linbench::bi_wkv", "kind"] == "linear-time op"


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("aten::addmm", Kind.PRODUCT),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", Kind.PRODUCT),
        ("aten::convolution", Kind.CONVOLUTION),
        ("linbench::gelu_depthwise", Kind.CONVOLUTION),
        ("linbench::causal_conv_silu", Kind.CONVOLUTION),
        ("linbench::gated_bi_wkv", Kind.LINEAR_TIME),
        ("linbench::selective_scan", Kind.LINEAR_TIME),
        ("linbench::add_rms_norm", Kind.NORMALISATION),
        ("aten::native_layer_norm", Kind.NORMALISATION),
        ("aten::_softmax", Kind.POINTWISE),
        ("aten::copy_", Kind.POINTWISE),
    ],
)
def test_operators_have_the_kind_that_bounds_them(operator: str, kind: Kind) -> None:
    assert kind_of(operator) is kind


def test_boxes_lie_within_their_parents_and_tile_the_time_of_the_model() -> None:
    drawn = list(boxes(grouped(read_tree(document())), 30.0))
    leaves = [box for box in drawn if box.is_leaf]
    assert math.isclose(sum(box.width for box in leaves), 29 / 30)
    ends = sorted((box.start, box.start + box.width) for box in leaves if box.width)
    assert all(math.isclose(end, start) for (_, end), (start, _) in pairwise(ends))


def test_the_figure_is_an_svg_with_each_group_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "net.svg"
    write(icicle(document()), path)
    root = ET.parse(path).getroot()
    names = [e.attrib["id"] for e in root.iter() if e.attrib.get("id", "").startswith("profile-")]
    groups = {"stem", "blocks.0-2", "blocks.0-2.key", "blocks.3", "blocks.3.key"}
    assert {f"profile-net-s.{group}" for group in groups} | {"profile-net-s"} <= set(names)
    assert len(names) == len(set(names))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("blocks.0-2") == 1 and "linear-time op" in texts and "stem" in texts


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_figure_is_the_same_file_each_time(ending: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.{ending}" for i in range(2)]
    for file in files:
        write(icicle(json.loads(json.dumps(document()))), file)
    assert files[0].read_bytes() == files[1].read_bytes()

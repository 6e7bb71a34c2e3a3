"""Records as rows."""

import json
import math
from dataclasses import replace

import pytest

from linbench.records import BadRecord, Status
from linbench.reports.latency.rows import PEAKS, comparisons, conditions, measured, rows, significant
from tests.reports.cases import as_json, five_backbones, power_law, record, tables


def test_a_row_has_the_numbers_of_its_record_in_the_units_of_its_columns():
    row = rows([record("vim-t", (512, 768), 50.0, noise=0.0)]).iloc[0]
    assert (row["median_ms"], row["low_ms"], row["high_ms"], row["iqr_ms"]) == (50.0, 50.0, 50.0, 0.0)
    assert (row["n"], row["rounds"], row["interval"], row["converged"]) == (75, 3, "rounds", True)
    assert (row["parameters_m"], row["gflops"], row["tokens"]) == (5.962176, "4.33", 1536)
    assert (row["peak_mib"], row["peak_kind"], row["first_forward_s"]) == (537.5, PEAKS["rss"], 0.375)
    assert (row["size"], row["label"], row["torch"]) == ("512×768", "vim-t", "2.15.0+cpu")


def test_only_the_latency_suite_is_read():
    assert rows([record("vim-t", 512, 1.0, suite="accuracy")]).empty
    assert comparisons(rows([])) == []


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.OK])
def test_a_cell_that_failed_has_no_latency_even_where_it_has_samples(status):
    row = rows([record("vim-t", 512, 5.0, status=status, reason="because")]).iloc[0]
    assert math.isnan(row["median_ms"]) and math.isnan(row["log_error"])
    assert (row["status"], row["reason"], row["converged"]) == (status.value, "because", False)


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [1.0, -1.0], [1.0, "2"], "12", None, [True]])
def test_a_round_without_times_is_a_failure_and_not_dropped(samples):
    good = record("vim-t", 512, 5.0)
    row = rows([replace(good, rounds=(*good.rounds, {"samples_ms": samples}))]).iloc[0]
    assert row["status"] == "failed" and "samples" in row["reason"]


def test_one_round_that_did_not_converge_marks_the_cell():
    good = record("vim-t", 512, 5.0)
    last = {**good.rounds[-1], "converged": False}
    assert rows([good]).iloc[0]["converged"]
    assert not rows([replace(good, rounds=(*good.rounds[:-1], last))]).iloc[0]["converged"]


def test_a_record_of_other_code_is_stale_and_one_of_unknown_code_is_not():
    found = rows([record("vim-t", 512, 1.0), record("vit-t", 512, 1.0)], {"vim-t": "other", "vit-t": "present"})
    assert found.set_index("backbone")["stale"].to_dict() == {"vit-t": False, "vim-t": True}
    assert not rows([record("vim-t", 512, 1.0)])["stale"].any()


@pytest.mark.parametrize(
    "other",
    [
        {"device": "NVIDIA H200"},
        {"dtype": "bfloat16"},
        {"preset": "best"},
        {"threads": 1},
        {"batch": 2},
        {"suite_version": 2},
        {"part": "encoder"},
        {"part": "decoder", "prompts": 1},
        {"part": "end-to-end", "prompts": 8},
        {"a_new_field": 1},
    ],
)
def test_what_moves_the_number_is_never_put_side_by_side(other):
    groups = comparisons(rows([record("vim-t", 512, 1.0), record("vit-t", 512, 1.0, **other)]))
    assert [len(group) for group in groups] == [1, 1]


DECODER = {"part": "decoder", "prompts": 1}


def test_fusions_stand_side_by_side_and_each_is_a_model_of_its_own():
    found = rows(
        [
            record("vit-t", 512, 2.0, **DECODER),
            record("rwkv-sam-t", 512, 3.0, **DECODER, fusion="conv"),
            record("vmamba-t", 512, 4.0, **DECODER, fusion="conv"),
            record("vmamba-t", 512, 5.0, **DECODER, fusion="mamba"),
            record("rwkv-sam-s", 512, 6.0, **DECODER, fusion="dcn"),
        ]
    )
    assert len(comparisons(found)) == 1
    assert list(found["label"]) == [
        *("vit-t", "rwkv-sam-s (dcn fusion)", "rwkv-sam-t", "vmamba-t (conv fusion)", "vmamba-t (mamba fusion)")
    ]


def test_of_two_searches_the_later_stands_for_its_own_fusion_only():
    def best(fusion, started, **settings):
        made = record("vmamba-t", 512, 1.0, **DECODER, fusion=fusion, preset="best", **settings)
        return replace(made, search={"started": started, "kept": {}, "candidates": []})

    found = rows(
        [best("conv", "2026-01-01"), best("mamba", "2026-02-01"), best("mamba", "2026-03-01", allocator="keep")]
    )
    assert sorted(found["fusion"]) == ["conv", "mamba"]


def test_a_record_from_before_the_parts_is_one_of_a_backbone_and_stands_apart():
    new = record("vim-t", 512, 1.0)
    whole = {k: v for k, v in new.key.items() if k not in ("part", "prompts", "fusion")} | {"suite_version": 2}
    found = rows([new, replace(new, key=whole)])
    assert found[["part", "prompts", "fusion"]].drop_duplicates().values.tolist() == [["backbone", 0, "none"]]
    assert len(comparisons(found)) == 2
    told = [
        any("earlier version of the suite" in note for note in t.notes)
        for t in tables([new, replace(new, key=whole)])
    ]
    assert sorted(told) == [False, False, False, True]


def test_the_code_behind_a_record_is_that_of_its_part_and_fusion():
    keys = [{}, DECODER, DECODER | {"fusion": "mamba"}]
    made = [record("vmamba-t", 512, 1.0, **key) for key in keys]
    assert [measured(each.key) for each in made] == ["vmamba-t", "vmamba-t decoder", "vmamba-t decoder mamba"]
    found = rows(made, {"vmamba-t decoder mamba": "other", "vmamba-t": "present"})
    assert found.set_index(["part", "fusion"])["stale"].to_dict() == {
        ("backbone", "none"): False,
        ("decoder", "none"): False,
        ("decoder", "mamba"): True,
    }


def test_conditions_refuse_rows_of_two_devices():
    with pytest.raises(ValueError, match="must be of one comparison, got 2"):
        conditions(rows([record("vim-t", 512, 1.0), record("vim-t", 512, 1.0, device="NVIDIA H200")]))


def test_attention_and_options_are_told_apart_within_one_comparison():
    found = rows(
        [
            record("vit-t", 512, 2.0),
            record("vit-t", 512, 1.0, attention="sdpa"),
            record("vim-t", 512, 1.0, options={"window": 14, "mode": "x"}),
        ]
    )
    assert list(found["label"]) == ["vit-t (naive)", "vit-t (sdpa)", "vim-t mode=x, window=14"]


def test_of_two_records_with_one_key_the_later_counts():
    assert rows([record("vim-t", 512, 1.0, noise=0.0), record("vim-t", 512, 2.0, noise=0.0)])[
        "median_ms"
    ].tolist() == [2.0]


@pytest.mark.parametrize(
    ("flops", "text", "missing"),
    [
        ({"value": 12.34e9, "coverage": 1.0, "missing": []}, "12.3", ""),
        ({"value": 12.34e9, "coverage": 0.99, "missing": ["aten::a", "aten::b"]}, "≥ 12.3", "aten::a, aten::b"),
        ({"value": 12.34e9, "coverage": 0.99, "missing": []}, "≥ 12.3", ""),
        ({"value": 12.34e9, "coverage": 1.0, "missing": ["aten::a"]}, "≥ 12.3", "aten::a"),
        ({"value": 12.34e9}, "≥ 12.3", ""),
        ({}, "", ""),
    ],
)
def test_flops_without_full_coverage_are_a_lower_bound(flops, text, missing):
    row = rows([record("vim-t", 512, 1.0, metrics={"flops": flops})]).iloc[0]
    assert (row["gflops"], row["flops_missing"]) == (text, missing)


def test_on_cuda_the_peak_is_the_largest_allocated():
    made = record("vim-t", 512, 1.0)
    peaks = [{"allocated_bytes": mib * 2**20, "reserved_bytes": 2 * mib * 2**20} for mib in (3, 7, 5)]
    made = replace(made, rounds=tuple({**e, "peak_memory": p} for e, p in zip(made.rounds, peaks, strict=True)))
    row = rows([made]).iloc[0]
    assert (row["peak_mib"], row["reserved_mib"], row["peak_kind"]) == (7.0, 14.0, PEAKS["allocated"])


@pytest.mark.parametrize(
    "bad", [{"height": "512"}, {"width": 0}, {"height": True}, {"backbone": 3}, {"noise": math.nan}]
)
def test_a_key_that_cannot_be_placed_is_refused_by_name(bad):
    made = record("vim-t", 512, 1.0)
    with pytest.raises(BadRecord, match="key"):
        rows([replace(made, key={**made.key, **bad})])


@pytest.mark.parametrize(
    "odd", [{"options": 5}, {"threads": [1]}, {"device": None}, {"median_ms": 1}, {"batch": 10**40}]
)
def test_an_odd_key_is_reported_like_any_other(odd):
    records = [record("vim-t", 512, 5.0, noise=0.0, **odd)]
    assert as_json(records)[0]["median_ms"] == 5.0
    assert "vim-t" in tables(records)[0].rows[0][0]


def test_the_order_of_the_records_does_not_matter():
    records = five_backbones()
    assert as_json(records) == as_json(records[::-1])


def test_json_is_plain_and_missing_numbers_are_null():
    found = as_json([*power_law("vim-t", 10, 1.0), record("vit-t", 512, status=Status.OOM)])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found[0]["median_ms"] is None and found[1]["rounds"] == 3
    assert not {"log_mean", "comparison"} & set(found[0])
    assert as_json([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.4, "1234"), (0.0, "0")],
)
def test_numbers_have_three_digits(value, text):
    assert significant(value) == text


def test_the_peak_is_what_the_model_added_to_its_process_where_that_is_known() -> None:
    cell = record("vit-t", 512, 10.0, rounds=1)
    memory = {"rss_bytes": 100 * 2**20, "empty_process_bytes": 60 * 2**20}
    cell = replace(cell, rounds=({**cell.rounds[0], "peak_memory": memory},))
    assert rows([cell]).iloc[0]["peak_mib"] == 40


def test_a_cell_that_others_disturbed_is_marked() -> None:
    cell = record("vit-t", 512, 10.0, rounds=1)
    for others, marked in ((0.05, False), (0.4, True), (None, False)):
        disturbed = replace(cell, rounds=({**cell.rounds[0], "others_share": others},))
        (latency, _) = tables([disturbed])
        assert ("‡" in latency.rows[0][1]) is marked
        assert any("used up to 40" in note for note in latency.notes) is marked

"""What `best` chose, as a reader sees it; energy and rounding beside the latencies."""

from dataclasses import replace
from typing import Any

from linbench.records import Record
from linbench.reports.latency.best_settings import describe_search, describe_search_record, describe_settings
from linbench.reports.latency.rows import comparisons, rows
from tests.reports.cases import KEY, as_json, record, tables

PLAIN = {"attention": "none", "matmul": "highest", "allocator": "default", "fused": False}
BEST = {"attention": "none", "matmul": "medium", "allocator": "keep", "fused": True}


def search(kept: dict[str, Any] | None, started: str = "2026-11-21", **more: Any) -> dict[str, Any]:
    tried = [{"status": "ok", "reason": ""}, {"status": "wrong", "reason": "its maps are off"}]
    found = {"kept": kept, "start": PLAIN, "candidates": tried, "untried": [{}], "height": 1024, "width": 1024}
    return {**found, "margin": 0.03, "started": started, **more}


def best(backbone: str, size: int, ms: float, kept: dict[str, Any], **more: Any) -> Record:
    made = record(backbone, size, ms, noise=0.0, preset="best", **kept)
    return replace(made, search=search(kept, **more))


def test_settings_are_words_and_plain_ones_say_so() -> None:
    assert describe_settings(BEST) == "oneDNN products, freed memory kept, fused chains"
    assert describe_settings({"attention": "chunked", "memory_format": "channels_last"}) == (
        "attention in blocks of queries, channels last"
    )
    assert describe_settings(PLAIN) == "torch's defaults"


def test_a_sentence_tells_what_was_left_out_and_what_was_wrong() -> None:
    said = describe_search(search(BEST))
    assert said.startswith("oneDNN products, freed memory kept, fused chains (2 settings tried at 1024²")
    assert "1 untried for lack of time" in said and "1 wrong: its maps are off" in said
    assert "unproven" in describe_search(search(None))
    found = Record({**KEY, "suite": "search", "backbone": "vim-t"}, status="ok", search=search(BEST))  # type: ignore[arg-type]
    conditions = "backbone, Intel Xeon Processor @ 2.80GHz, 2 threads, float32: "
    assert describe_search_record(found).startswith(f"{conditions}oneDNN products")


def test_each_backbone_under_its_own_best_settings_is_one_comparison_with_a_line_for_each() -> None:
    made = [best("rwkv-sam-s", 512, 5.0, BEST), best("vim-t", 512, 9.0, PLAIN)]
    (group,) = comparisons(rows(made))
    (latency, _) = tables(made)
    assert len(group) == 2
    assert any(note.startswith("best: rwkv-sam-s: oneDNN products") for note in latency.notes)
    assert any(note.startswith("best: vim-t: torch's defaults") for note in latency.notes)
    assert all("best: " not in note for note in tables([record("vim-t", 512, 1.0)])[0].notes)


def test_by_hand_the_same_difference_parts_two_comparisons() -> None:
    made = [record("vim-t", 512, 1.0, preset="custom", matmul=m) for m in ("highest", "medium")]
    assert len(comparisons(rows(made))) == 2


def test_of_two_searches_for_one_cell_the_later_one_counts() -> None:
    old, new = best("vim-t", 512, 9.0, PLAIN, started="2026-11-20"), best("vim-t", 512, 5.0, BEST)
    for made in ([old, new], [new, old]):
        found = rows(made)
        assert found["median_ms"].tolist() == [5.0]
    assert len(rows([old, best("vim-t", 1024, 20.0, BEST)])) == 2


def test_json_says_what_was_chosen_and_stays_plain() -> None:
    (row,) = as_json([best("vim-t", 512, 5.0, BEST)])
    assert row["chosen"].startswith("oneDNN products")
    assert "search" not in row


def test_a_dtypes_error_is_a_note_and_energy_a_table() -> None:
    made = record("vim-t", 512, 5.0, dtype="bfloat16")
    energy = {"joules_per_image": 12.34, "idle_share": 0.31}
    made = replace(made, rounds=tuple({**r, "dtype_error": 0.0123, "energy": energy} for r in made.rounds))
    latency, _, joules = tables([made])
    assert any("over all maps): vim-t 1.2e-02" in note for note in latency.notes)
    assert joules.rows == (("vim-t", "12.3 J (31 % idle)"),)
    assert len(tables([record("vim-t", 512, 5.0)])) == 2


def test_a_throttled_cell_is_marked_and_compilation_has_a_column_only_where_there_was_any() -> None:
    made = record("vim-t", 512, 5.0)
    hot = replace(made, rounds=tuple({**r, "throttled": ["power cap"], "compile_s": 31.0} for r in made.rounds))
    latency, before = tables([hot])
    assert latency.rows[0][1].endswith("§")
    assert any("throttled, also when the round was repeated: power cap" in note for note in latency.notes)
    assert (before.columns[-1], before.rows[0][-1]) == ("compile, capture\ns", "31.0")
    assert tables([made])[1].columns[-1] == "kernel compile\ns"

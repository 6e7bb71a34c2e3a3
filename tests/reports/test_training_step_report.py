"""The report of training steps: rows, tables, what is stated of checkpointing, and figures."""

from pathlib import Path
from typing import Any

import pytest

from linbench.records import Record, Status
from linbench.reports.frame import tidy_frame
from linbench.reports.training_step.report import rows, sections, write_files
from linbench.reports.training_step.table import effects

KEY = {
    "suite": "training-step",
    "suite_version": 1,
    "backbone": "vit-t",
    "part": "encoder",
    "fusion": "none",
    "prompts": 0,
    "options": {},
    "height": 256,
    "width": 256,
    "batch": 4,
    "dtype": "float32",
    "device": "cpu",
    "device_type": "cpu",
    "mode": "training step",
    "threads": 1,
    "preset": "paper",
    "attention": "naive",
    "gradient_checkpointing": "none",
    "memory_limit_gib": None,
}


def record(ms: float = 200.0, mib: int = 800, rounds: int = 3, entries: dict | None = None, **key: Any) -> Record:
    """A record whose rounds differ by one per cent."""
    memory = {"rss_bytes": (300 + mib) * 2**20, "empty_process_bytes": 300 * 2**20}
    common = {"converged": True, "others_share": 0.0, "peak_memory": memory, **(entries or {})}
    taken = tuple({"samples_ms": [ms * (1 + 0.01 * i)] * 7, **common} for i in range(rounds))
    metrics = {"flops": {"value": 3e9, "unit": "FLOP", "coverage": 1.0, "missing": []}}
    return Record({**KEY, **key}, Status.OK, "", taken, metrics, {}, "hash", "")


def test_a_step_has_its_own_time_and_images_per_second_of_its_batch() -> None:
    frame = rows([record(ms=200.0, rounds=1), record(ms=50.0, rounds=1, batch=1)])
    by_batch = frame.set_index("batch")
    assert by_batch.loc["4", "images_per_s"] == pytest.approx(20)
    assert by_batch.loc["1", "images_per_s"] == pytest.approx(20)
    assert by_batch.loc["4", "median_ms"] == pytest.approx(200)


def test_the_interval_of_images_per_second_holds_its_value() -> None:
    (row,) = rows([record()]).to_dict(orient="records")
    assert row["low_per_s"] < row["images_per_s"] < row["high_per_s"]


def test_batches_and_checkpointing_are_one_table_in_their_order_and_dtypes_are_two() -> None:
    records = [
        record(gradient_checkpointing=choice, batch=batch, dtype=dtype)
        for choice in ("blocks", "none")
        for batch in (16, 4)
        for dtype in ("float32", "bfloat16")
    ]
    tables = [table for (table,) in sections(rows(records))]
    assert len(tables) == 2
    for table in tables:
        assert [line[2:4] for line in table.rows] == [
            ("none", "4"),
            ("blocks", "4"),
            ("none", "16"),
            ("blocks", "16"),
        ]


def test_rounds_whose_largest_batches_differ_are_compared_per_image() -> None:
    key = {name: value for name, value in KEY.items() if name != "batch"} | {"mode": "largest batch"}
    taken = tuple({"samples_ms": [10.0 * batch] * 7, "batch": batch, "limit_gib": 2.0} for batch in (97, 96, 97))
    (row,) = rows([Record(key, Status.OK, "", taken, {}, {}, "hash", "")]).to_dict(orient="records")
    assert row["median_ms"] == pytest.approx(10)
    assert row["images_per_s"] == pytest.approx(100)
    assert (row["batch"], row["largest"], row["limit_gib"]) == ("96, 97", 96, 2.0)


def test_what_checkpointing_costs_and_saves_is_stated_with_its_test() -> None:
    frame = rows([record(ms=200.0, mib=800), record(ms=260.0, mib=200, gradient_checkpointing="blocks")])
    assert list(effects(frame)) == ["vit-t 256², batch 4: checkpointing takes 0.25 × the memory, 1.30 × the time."]
    frame = rows([record(ms=200.0), record(ms=201.0, gradient_checkpointing="blocks")])
    assert "which no test tells from 1" in next(effects(frame))


@pytest.mark.parametrize("doubtful", [{"rounds": 2}, {"entries": {"others_share": 0.5}}])
def test_of_a_doubtful_time_no_ratio_is_stated_but_the_reason(doubtful: dict) -> None:
    frame = rows([record(mib=800, **doubtful), record(mib=200, gradient_checkpointing="blocks")])
    (text,) = effects(frame)
    assert "0.25 × the memory" in text
    assert "of its time nothing is stated: " in text
    assert "× the time" not in text


def test_a_batch_that_does_not_fit_is_a_line_with_its_reason() -> None:
    big = Record({**KEY, "batch": 64}, Status.OOM, "a step of 64 does not fit into memory: why", (), {}, {}, "", "")
    ((table,),) = sections(rows([record(), big]))
    assert [line[3:6] for line in table.rows] == [("4", table.rows[0][4], "19.8"), ("64", "oom", "–")]
    assert any("vit-t 256², batch 64, checkpointing none: oom, a step of 64" in note for note in table.notes)


def test_parameters_that_no_gradient_reaches_are_named() -> None:
    ((table,),) = sections(rows([record(entries={"parameters_without_gradient": 2})]))
    assert "Parameters that no gradient reaches, so that AdamW leaves them out: vit-t (2)." in table.notes


def test_files_have_the_table_every_row_and_a_figure(tmp_path: Path) -> None:
    frame = rows([record(ms, height=side, width=side) for ms, side in ((50.0, 128), (200.0, 256), (900.0, 512))])
    written = write_files(frame, sections(frame), tmp_path, True)
    assert {path.name for path in written} == {f"training-step.{end}" for end in ("md", "csv", "tex", "svg", "png")}
    assert "images/s" in (tmp_path / "training-step.md").read_text()
    assert "gradient_checkpointing" in (tmp_path / "training-step.csv").read_text().splitlines()[0]
    assert "peak memory, MiB" in (tmp_path / "training-step.svg").read_text()


def test_the_tidy_frame_has_steps_with_their_batch_as_a_number_and_their_doubt() -> None:
    key = {name: value for name, value in KEY.items() if name != "batch"} | {"mode": "largest batch"}
    taken = tuple({"samples_ms": [970.0] * 7, "batch": 97, "others_share": 0.0} for _ in range(3))
    frame = tidy_frame([record(rounds=2), Record(key, Status.OK, "", taken, {}, {}, "hash", "")])
    by_mode = frame.set_index("mode")
    assert (by_mode.loc["training step", "batch"], by_mode.loc["largest batch", "batch"]) == (4, 97)
    assert by_mode.loc["training step", "doubt"] == "fewer than 3 rounds"
    assert by_mode.loc["largest batch", "median_ms"] == pytest.approx(10)
    assert set(by_mode["gradient_checkpointing"]) == {"none"}

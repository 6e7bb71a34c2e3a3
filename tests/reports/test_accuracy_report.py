"""The accuracy report: what may be compared stands in one column, and nothing else does."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from linbench.records import Record, Status
from linbench.reports.accuracy.report import plain, sections, write_files
from linbench.reports.accuracy.rows import rows
from linbench.reports.render.table import MISSING, Table

FULL = {"file": "w.safetensors", "sha256": "ab" * 32, "recipe": "sam-joint", "recipe_hash": "9f", "scale": "full"}


def record(suite: str = "dis", backbone: str = "vit-t", value: float = 50.0, **changes: Any) -> Record:
    """A record of accuracy; changes of its key, or ``checkpoint_facts``, ``status``, ``reason``, ``skipped``."""
    facts = changes.pop("checkpoint_facts", FULL)
    status, reason = changes.pop("status", Status.OK), changes.pop("reason", "")
    skipped = changes.pop("skipped", [])
    names = {"dis": ("miou", "mbiou"), "coco": ("map", "mbap"), "imagenet": ("top1", "top5")}[suite]
    key = {
        **{"suite": suite, "suite_version": 1, "backbone": backbone, "options": {}, "fusion": "none"},
        **{"height": 1024, "width": 1024, "dtype": "float32", "device": "GPU", "device_type": "cuda", "threads": 1},
        **{"impl": "fast", "attention": "sdpa", "protocol": "keep-aspect", "protocol_version": 1},
        **{"dataset": "DIS-VD", "split": "val", "dataset_checksum": "c" * 64},
        **{
            "box_source": "vitdet.json" if suite == "coco" else "ground truth",
            "box_checksum": "",
            "checkpoint": "ab" * 32,
            "images": 470,
        },
    }
    number = {"unit": "%", "low": value - 2, "high": value + 1.5, "n": 470}
    metrics = {} if status is Status.OOM else {name: {"value": value - i, **number} for i, name in enumerate(names)}
    rounds = () if status is Status.OOM else ({"scores": {}, "skipped": skipped},)
    return Record(key | changes, status, reason, rounds, metrics, {"checkpoint": facts}, "now")


def tables(records: list[Record], code_hashes: dict[str, str] | None = None) -> list[Table]:
    return [table for section in sections(rows(records, code_hashes)) for table in section]


def column(table: Table, head: str) -> dict[str, str]:
    index = [column.replace("\n", " ") for column in table.columns].index(head)
    return {row[0]: row[index] for row in table.rows}


def test_a_line_for_each_model_and_a_column_for_each_suite_with_interval_n_data_and_weights() -> None:
    records = [record(), record(backbone="vim-t", value=40), record("coco", dataset="COCO val2017")]
    (table,) = tables(records)
    assert table.title == "Accuracy"
    assert column(table, "dis mIoU keep-aspect, 1024²") == {
        "vit-t": "50.00 (48.0–51.5)",
        "vim-t": "40.00 (38.0–41.5)",
    }
    assert column(table, "coco boundary AP keep-aspect, 1024²") == {"vit-t": "49.00 (48.0–51.5)", "vim-t": MISSING}
    notes = " ".join(table.notes)
    assert "dis (version 1): DIS-VD (val), n = 470 images, data cccccccc, boxes: ground truth." in notes
    assert "w.safetensors (abababab, sam-joint)" in notes


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "squash-1024"},
        {"protocol_version": 2},
        {"suite_version": 2},
        {"dataset": "DIS-TE1"},
        {"dataset_checksum": "d" * 64},
        {"images": 100},
        {"box_source": "boxes.json"},
        {"box_checksum": "e" * 64},
        {"height": 512, "width": 512},
    ],
)
def test_what_was_measured_otherwise_never_shares_a_column(change: dict[str, Any]) -> None:
    (table,) = tables([record(), record(backbone="vim-t", **change)])
    assert len(table.columns) == 1 + 2 * 2
    for place in range(1, len(table.columns)):
        assert [row[place] for row in table.rows].count(MISSING) == 1


def test_versions_of_a_protocol_are_told_apart_in_the_heads() -> None:
    (table,) = tables([record(), record(backbone="vim-t", protocol_version=2)])
    assert column(table, "dis mIoU keep-aspect (version 1), 1024²")["vim-t"] == MISSING
    assert column(table, "dis mIoU keep-aspect (version 2), 1024²")["vit-t"] == MISSING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dataset": "shapes"}, "the embedded dataset"),
        ({"checkpoint": "random-0", "checkpoint_facts": {"random": True}}, "random weights"),
        ({"checkpoint_facts": FULL | {"scale": "smoke"}}, "smoke recipes"),
    ],
)
def test_what_compares_with_nothing_published_has_a_table_of_its_own_that_says_so(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    real, other = tables([record(), record(backbone="vim-t", **change)])
    assert [row[0] for row in real.rows] == ["vit-t"]
    assert [row[0] for row in other.rows] == ["vim-t"]
    assert other.title == f"Accuracy, comparable with nothing published: {reason}"


def test_two_checkpoints_of_one_backbone_are_two_lines_with_their_names() -> None:
    (table,) = tables(
        [record(), record(value=60, checkpoint="cd" * 32, checkpoint_facts=FULL | {"file": "v.safetensors"})]
    )
    assert [row[:2] for row in table.rows] == [
        ("vit-t, v.safetensors (cdcdcdcd, sam-joint)", "60.00 (58.0–61.5)"),
        ("vit-t, w.safetensors (abababab, sam-joint)", "50.00 (48.0–51.5)"),
    ]


def test_failed_stale_and_skipping_records_are_marked_and_their_reasons_told() -> None:
    records = [
        record(skipped=[{"id": "a", "file": "a", "reason": "bad"}]),
        record(backbone="vim-t", status=Status.FAILED, reason="3 bad images", skipped=[{}] * 3),
        record(backbone="vrwkv-t", status=Status.OOM, reason="too large"),
    ]
    (table,) = tables(records, {"dis vit-t": "other"})
    cells = column(table, "dis mIoU keep-aspect, 1024²")
    assert cells == {"vit-t": "50.00†‡ (48.0–51.5)", "vim-t": "50.00‡! (48.0–51.5)", "vrwkv-t": "oom"}
    notes = " ".join(table.notes)
    assert "dis, vim-t: failed, 3 bad images" in notes
    assert "dis, vrwkv-t: oom, too large" in notes


def test_the_csv_has_every_metric_of_every_record_and_the_markdown_every_table(tmp_path: Path) -> None:
    frame = rows([record(), record("imagenet", dataset="shapes")])
    markdown, long, latex = write_files(frame, sections(frame), tmp_path)
    lines = list(csv.DictReader(io.StringIO(long.read_text())))
    assert {(line["suite"], line["metric"]) for line in lines} == {
        *(("dis", name) for name in ("miou", "mbiou")),
        *(("imagenet", name) for name in ("top1", "top5")),
    }
    assert markdown.read_text().count("## Accuracy") == latex.read_text().count("\\begin{tabular}") == 2
    assert [row["standing"] for row in plain(rows([record()]))] == ["", ""]

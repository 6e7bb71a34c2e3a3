"""The paper's tables from made-up records: what stands where, what never may, and how it reads."""

import csv
import io
import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from linbench.reports.paper import excluded, export, render
from linbench.reports.paper.evidence import Evidence, read_records
from linbench.reports.paper.spec import column_specs, table_specs
from linbench.reports.render.table import LONGEST_TEXT, to_markdown
from tests.reports.cases import power_law, record
from tests.reports.paper.cases import DEVICE, JOINT, build_table, evidence, score, some

GOLDEN = Path(__file__).parents[2] / "golden" / "paper"
DATA = Path(__file__).parents[3] / "linbench" / "reports" / "paper"
EVERY = list(table_specs())
DIS = {"miou": 80.1, "mbiou": 75.0}


def cells(name, records, **rest):
    """By method and quantity."""
    return {(cell.row, cell.column): cell for cell in build_table(name, evidence(records, **rest)).cells()}


def columns(name, records, start):
    """The heads of a table that begin in a way."""
    heads = [column.label for column in build_table(name, evidence(records)).columns]
    return [head for head in heads if head.startswith(start)]


@pytest.mark.parametrize("kind", ["md", "csv", "tex", "json"])
def test_table_3_of_a_users_records_is_the_golden_one(kind, tmp_path):
    export.write(build_table("table-3", evidence(some())), tmp_path)
    made = (tmp_path / f"table-3.{kind}").read_text(encoding="utf-8")
    assert made == (GOLDEN / f"table-3.{kind}").read_text(encoding="utf-8")


def test_all_tables_at_a_glance_are_the_golden_ones():
    built = [build_table(name, evidence(some())) for name in EVERY]
    text = "\n".join(to_markdown(render.glance(table)) for table in built) + to_markdown(export.summary(built))
    assert text == (GOLDEN / "glance.md").read_text(encoding="utf-8")


def test_a_parameter_count_is_reproduced_within_one_unit_of_the_digits_printed():
    found = cells("table-3", some())
    assert found["SAM (ViT-H)", "#Param M"].verdict == "reproduced"  # 637.0 for 600, printed in hundreds
    assert found["Vim-S + SAM", "#Param M"].verdict == "reproduced"
    assert found["EfficientSAM", "#Param M"].verdict == "deviates"
    assert found["SAM (ViT-H)", "#Param alike M"].verdict is None  # the paper has no such number


def test_the_stages_must_be_equal():
    found = cells("table-1", [])
    assert found["rwkv-sam-s, stage 3", "#block"].verdict == "reproduced"
    wrong = found["rwkv-sam-b, stage 3", "#block"]
    assert (wrong.verdict, wrong.deviation) == ("deviates", 1)


def test_a_rate_is_judged_on_an_a100_only():
    fast = [
        record("rwkv-sam-s", 1024, 1000 / 41, device=name, device_type="cuda") for name in ("NVIDIA A100", "H200")
    ]
    a100, other = (cells("table-3", [one], device=one.key["device"]) for one in fast)
    assert a100["RWKV-SAM", "FPS paper"].verdict == "reproduced"
    assert other["RWKV-SAM", "FPS paper"].verdict == "other device"
    slow = record("rwkv-sam-s", 1024, 1000 / 30, device="NVIDIA A100", device_type="cuda")
    assert cells("table-3", [slow], device="NVIDIA A100")["RWKV-SAM", "FPS paper"].verdict == "deviates"


def test_a_rate_comes_with_its_interval_turned_round():
    (cell,) = [c for k, c in cells("table-3", some()).items() if k == ("RWKV-SAM", "FPS paper")]
    found = cell.measured
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(1000 / 1520, rel=0.05)
    assert (found.interval, found.n) == ("rounds", 3)
    assert found.provenance["preset"] == "paper"


def test_a_failed_cell_shows_how_it_ended_and_has_no_number():
    found = cells("table-3", some())
    assert found["SAM (ViT-H)", "FPS paper"].measured_text() == "oom"
    assert found["SAM (ViT-H)", "FPS paper"].verdict == "failed"
    assert found["VRWKV-S + SAM", "HRSOD mIoU"].measured_text() == "failed"


def test_rates_of_other_threads_or_dtypes_have_columns_of_their_own():
    records = [
        *power_law("rwkv-sam-s", 380, 1.0),
        *power_law("vim-s", 380, 1.0, threads=8),
        *power_law("vim-s", 380, 1.0, dtype="bfloat16"),
    ]
    heads = columns("table-3", records, "FPS")
    assert len(heads) == 4
    assert {"FPS bfloat16, paper, threads 2", "FPS float32, paper, threads 8", "FPS best"} <= set(heads)
    found = cells("table-3", records)
    alone = [found["Vim-S + SAM", head].measured is not None for head in heads]
    assert alone.count(True) == 2
    assert not any(found["Vim-S + SAM", h].measured and found["RWKV-SAM", h].measured for h in heads)


def test_a_part_of_a_segmenter_is_no_rate_of_its_backbone():
    whole = {"part": "end-to-end", "prompts": 1, "fusion": "conv"}
    records = [record("rwkv-sam-s", 1024, 30.0, **whole), record("rwkv-sam-s", 1024, 40.0, part="backbone")]
    assert cells("table-3", records)["RWKV-SAM", "FPS paper"].measured.value == pytest.approx(25, rel=0.1)
    found = cells("table-6-fusion", records)
    assert found["RWKV-SAM + conv fusion", "FPS paper"].measured.value == pytest.approx(1000 / 30, rel=0.1)
    assert found["RWKV-SAM + DCN fusion", "FPS paper"].measured is None


def test_protocols_never_share_a_column():
    assert columns("table-3", some(), "DIS mIoU") == ["DIS mIoU keep-aspect", "DIS mIoU squash-1024"]
    found = cells("table-3", some())
    assert found["HQ-SAM", "DIS mIoU squash-1024"].measured.value == 78.5
    assert found["HQ-SAM", "DIS mIoU keep-aspect"].measured is None
    assert found["RWKV-SAM", "DIS mIoU squash-1024"].measured is None


def test_versions_of_a_protocol_never_share_a_column():
    known = {"protocol": "squash-1024", "weights": {"recipe": ""}}
    records = [
        score("hq-sam-l", "dis", {"miou": 78.5, "mbiou": 70.2}, **known),
        score("sam-vit-h", "dis", {"miou": 79.5, "mbiou": 71.2}, **known, protocol_version=2, checkpoint="c9" * 32),
    ]
    heads = ["DIS mIoU squash-1024", "DIS mIoU squash-1024 version 2"]
    assert columns("table-3", records, "DIS mIoU") == heads
    found = cells("table-3", records)
    assert found["HQ-SAM", heads[1]].measured is None
    assert found["HQ-SAM", heads[1]].command.endswith("--protocol squash-1024")


def test_another_recipe_is_open_and_has_a_column_of_its_own():
    other = {"recipe": "sam-joint", "recipe_hash": "ee" * 32, "scale": "full"}
    records = [
        score("rwkv-sam-s", "dis", DIS, fusion="conv"),
        score("vim-s", "dis", DIS, weights=other),
        score("sam-vit-h", "dis", DIS, weights={"recipe": ""}),
    ]
    assert columns("table-3", records, "DIS mIoU") == [
        "DIS mIoU sam-joint abababab",
        "DIS mIoU sam-joint eeeeeeee, open",
    ]
    found = cells("table-3", records)
    assert found["Vim-S + SAM", "DIS mIoU sam-joint abababab"].measured is None
    published = [found["SAM (ViT-H)", head].measured.value for head in columns("table-3", records, "DIS mIoU")]
    assert published == [80.1, 80.1]  # weights that no recipe of ours made stand beside those of any


@pytest.mark.parametrize(
    ("key", "weights", "reason"),
    [
        ({"dataset": "shapes", "images": 64}, None, "embedded dataset"),
        ({}, {"recipe": "sam-joint", "recipe_hash": JOINT, "scale": "smoke"}, "smoke training"),
        ({"checkpoint": "random-0"}, {"random": True}, "random weights"),
        ({"images": 100}, None, "100 of 470 images"),
        ({"split": "all", "dataset": "my-set"}, None, "the user's data"),
    ],
)
def test_what_is_no_answer_to_the_paper_goes_to_a_table_of_its_own(key, weights, reason):
    records = [score("rwkv-sam-s", "dis", {"miou": 99.25, "mbiou": 99.25}, fusion="conv", weights=weights, **key)]
    known = evidence(records)
    for name in EVERY:
        assert "99.2" not in export.markdown(build_table(name, known)) + export.csv(build_table(name, known))
    (table,) = excluded.build(known.scores)
    assert table.title == f"Not the paper's numbers: {reason}"
    assert [row[:3] for row in table.rows] == [
        ("rwkv-sam-s + conv", "dis_miou", "99.2"),
        ("rwkv-sam-s + conv", "dis_mbiou", "99.2"),
    ]


def test_one_training_has_the_interval_of_its_images_and_three_the_spread_of_their_seeds():
    values = (80.0, 81.0, 82.5)
    trainings = [
        score("rwkv-sam-s", "dis", {"miou": v, "mbiou": v}, fusion="conv", checkpoint=f"{i}" * 64)
        for i, v in enumerate(values, start=1)
    ]
    at = ("RWKV-SAM", "DIS mIoU")
    one, two, three = (cells("table-3", trainings[:n])[at].measured for n in (1, 2, 3))
    assert (one.low, one.high, one.interval, one.n) == (78.0, 82.0, "images", 470)
    assert (two.value, two.interval, two.n) == (80.5, "none", 2)
    assert (three.interval, three.n) == ("seeds", 3)
    assert three.value == pytest.approx(81.1667, abs=1e-3)
    assert three.high - three.value == pytest.approx(1.2583, abs=1e-3)  # by hand: sqrt((1.361+0.028+1.778)/2)


def test_of_two_records_of_one_checkpoint_the_later_counts():
    twice = [
        score("rwkv-sam-s", "dis", {"miou": v, "mbiou": v}, fusion="conv", started=f"2026-11-2{day}", impl=f"{day}")
        for day, v in ((3, 70.0), (2, 60.0))
    ]
    assert cells("table-3", twice)["RWKV-SAM", "DIS mIoU"].measured.value == 70.0


def test_the_row_without_distillation_takes_weights_that_say_so():
    said = {"recipe": "sam-joint", "recipe_hash": JOINT, "scale": "full"}
    full = score(
        "rwkv-sam-s", "dis", {"miou": 80.4}, fusion="conv", weights={**said, "lineage": ["imagenet", "sam-distill"]}
    )
    none = score(
        "rwkv-sam-s",
        "dis",
        {"miou": 78.0},
        fusion="conv",
        weights={**said, "lineage": ["imagenet"]},
        checkpoint="c9" * 32,
    )
    found = cells("table-7", [full, none])
    values = [found[row, "DIS mIoU"].measured.value for row in ("RWKV-SAM", "RWKV-SAM, no distillation")]
    assert values == [80.4, 78.0]
    assert cells("table-7", [replace(none, environment={})])["RWKV-SAM, no distillation", "DIS mIoU"].measured is None
    assert cells("table-3", [none])["RWKV-SAM", "DIS mIoU"].measured is None


def test_other_input_sizes_and_options_stay_out():
    records = [
        score("rwkv-sam-s", "dis", DIS, fusion="conv", height=512, width=512),
        score("rwkv-sam-s", "dis", DIS, fusion="conv", options={"fused": True}),
        score("rwkv-sam-s", "imagenet", {"top1": 80.8}),
        score("rwkv-sam-s", "ade20k", {"miou": 45.0}),
    ]
    assert cells("table-3", records)["RWKV-SAM", "DIS mIoU"].measured is None
    assert cells("table-4", records)["RWKV-SAM-S", "top-1 %"].verdict == "reproduced"
    assert cells("table-5", records)["RWKV-SAM-S", "ADE20K mIoU"].verdict == "reproduced"


def test_training_sets_are_counted_where_their_statistics_are_given():
    known = evidence([], datasets={"coconut": {"images": 241_900, "masks": 2_600_000}})
    found = {(cell.row, cell.column): cell for cell in build_table("table-2", known).cells()}
    assert found["COCONut-B", "#Images"].verdict == "reproduced"
    assert found["COCONut-B", "#Masks"].verdict == "deviates"
    assert found["DIS5K", "#Images"].verdict == "not measured"


def test_scores_of_another_device_do_not_come_in():
    frame, scores, _ = read_records([*some(), score("vim-s", "dis", DIS, device="H200")])
    assert Evidence(latency=frame, scores=scores).devices() == ["H200", DEVICE]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": None}, "has no dataset"),
        ({"height": "1024"}, "they count px"),
        ({"checkpoint": ""}, "has no checkpoint"),
    ],
)
def test_a_damaged_score_is_named_and_the_others_stay(change, words):
    good = score("vim-s", "dis", DIS)
    bad = replace(good, key={**good.key, **change})
    _, found, faults = read_records([bad, good])
    assert len(found) == 2
    assert len(faults) == 1 and words in faults[0] and "vim-s" in faults[0]


def test_a_score_that_is_no_number_is_named():
    _, found, faults = read_records([score("vim-s", "dis", {"miou": float("nan")})])
    assert not found
    assert faults == ["a record of vim-s, suite dis: its miou is nan, not a number"]


def test_a_latency_record_without_a_backbone_is_named_and_the_others_stay():
    good = record("vim-s", 1024, 50.0)
    frame, _, faults = read_records([replace(good, key={**good.key, "backbone": None}), good])
    assert len(frame) == 1
    assert "needs a backbone" in faults[0]


def test_no_note_is_cut_short():
    for name in EVERY:
        table = build_table(name, evidence(some()))
        notes = [*render.glance(table).notes, *render.every_cell(table).notes]
        assert not [note for note in notes if len(note) > LONGEST_TEXT]


def test_every_erratum_and_every_column_is_of_some_table():
    specs = table_specs().values()
    errata = {erratum.text for spec in specs for erratum in spec.errata}
    assert errata == {entry["text"] for entry in tomllib.loads((DATA / "errata.toml").read_text("utf-8")).values()}
    assert {column.name for spec in specs for column in spec.columns} == set(column_specs())


def test_every_footnote_hangs_somewhere():
    for name in EVERY:
        table = render.glance(build_table(name, evidence(some())))
        marks = " ".join([table.title, *table.columns, *(row[0] for row in table.rows)])
        letters = [note[1] for note in table.notes if note.startswith("[")]
        assert all(f"[{x}]" in marks or f"{x}," in marks or f",{x}" in marks for x in letters), table.title


def test_json_holds_nothing_that_json_does_not():
    def refuse(constant):
        raise AssertionError(constant)

    for name in EVERY:
        json.loads(json.dumps(render.plain_cells(build_table(name, evidence(some())))), parse_constant=refuse)


def test_text_from_records_stays_text_in_every_format():
    hostile = "a|b\n=1 <b>`x`</b> \x1b[31m_*[ $\\input{x}$ ~^&%#"
    records = [*power_law("rwkv-sam-s", 380, 1.0, device=hostile)]
    records += [score("rwkv-sam-s", "dis", DIS, fusion="conv", device=hostile, protocol=hostile)]
    records += [score(hostile, "dis", DIS, device=hostile, dataset="shapes")]
    known = evidence(records, device=hostile)
    table = build_table("table-3", known)
    text = export.markdown(table) + "".join(to_markdown(one) for one in excluded.build(known.scores))
    assert "<b>" not in text and "\x1b" not in text and "\n=1" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace(r"\|", "").count("|") >= 4
    read = list(csv.reader(io.StringIO(export.csv(table))))
    assert {len(row) for row in read} == {len(read[0])}
    latex = export.latex(table, "x")
    assert r"\input{" not in latex and r"\textbackslash{}input\{x\}" in latex


def test_a_rate_in_doubt_is_shown_with_its_marks_and_supports_no_deviation_and_no_verdict():
    rates = {"rounds": 1, "device": "NVIDIA A100"}
    (cell,) = [
        cell
        for (row, column), cell in cells("table-3", [record("rwkv-sam-s", 1024, 25.0, **rates)]).items()
        if row == "RWKV-SAM" and column.startswith("FPS") and cell.measured
    ]
    assert (cell.verdict, cell.measured.doubt) == ("not judged", "fewer than 3 rounds")
    assert math.isnan(cell.deviation) and cell.deviation_text() == ""
    assert cell.value_text().endswith("ᵃ")
    table = build_table("table-3", evidence([record("rwkv-sam-s", 1024, 25.0, **rates)]))
    assert any("ᵃ: not judged: fewer than 3 rounds." in note for note in render.glance(table).notes)
    sure = cells("table-3", [record("rwkv-sam-s", 1024, 25.0, device="NVIDIA A100")])
    rates_of = [c for c in sure.values() if c.quantity.is_rate and c.measured]
    assert rates_of and not any(c.measured.doubt or math.isnan(c.deviation) for c in rates_of)


def test_a_published_count_with_filling_zeros_is_marked_as_rounded_and_no_other_is():
    shown = cells("table-3", [])
    assert shown["SAM (ViT-H)", "#Param M"].published_label() == "≈ 600"
    assert shown["RWKV-SAM", "#Param M"].published_label() == "19.7"
    assert cells("table-2", [])["COCONut-B", "#Images"].published_label() == "≈ 242000"
    stages = cells("table-1", [])
    assert not [cell for cell in stages.values() if cell.published_label().startswith("≈")]


def test_a_table_is_headed_measured_on_a_device_only_where_something_was_measured():
    assert "measured on" not in render.glance(build_table("table-7", evidence([]))).title
    assert "measured on" in render.glance(build_table("table-3", evidence(some()))).title


@pytest.mark.parametrize(("images", "mark"), [(29, "ᵇ"), (30, "")])
def test_a_score_of_fewer_than_30_images_is_marked(images, mark):
    few = [score("vit-s", "dis", DIS, images=images)]
    few[0].metrics["miou"]["n"] = few[0].metrics["mbiou"]["n"] = images
    (table,) = excluded.build(evidence(few).scores)
    assert {row[4] for row in table.rows} == {f"{images}{mark}"}
    assert any("fewer than 30 images" in note for note in table.notes) == bool(mark)

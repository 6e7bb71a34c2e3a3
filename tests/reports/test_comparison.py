"""What is the same cell on two sides, what is never compared, and how it reads."""

from dataclasses import replace

import pytest

from linbench.records import Record, Status
from linbench.reports.decide.comparable_cells import comparable_cells
from linbench.reports.decide.compare import Margins, compare_backbones, compare_sides
from linbench.reports.decide.compare_table import as_json, tables
from linbench.reports.render.table import to_markdown
from tests.reports.accuracy_cases import score
from tests.reports.cases import power_law, record


def known(*records: Record):
    result, faults = comparable_cells(records)
    assert not faults
    return result


def compare(first, second, **rest):
    return compare_sides(("before", "after"), known(*first), known(*second), Margins(), **rest)


def searched(made: Record, started: str, **settings) -> Record:
    return replace(made, key={**made.key, "preset": "best", **settings}, search={"started": started})


def test_equal_keys_are_one_cell_and_what_one_side_lacks_is_listed():
    first = [record("vim-t", 512, 10.0, rounds=5), record("vit-t", 512, 10.0)]
    second = [replace(record("vim-t", 512, 13.0, rounds=5)), record("vim-t", 1024, 40.0)]
    result = compare(first, second)
    assert [(pair.first.labels["backbone"], pair.verdict) for pair in result.times] == [("vim-t", "SLOWER")]
    assert [cell.labels["backbone"] for cell in result.unmatched["before"]] == ["vit-t"]
    assert [cell.labels["size"] for cell in result.unmatched["after"]] == ["1024²"]


@pytest.mark.parametrize("other", [{"device": "another"}, {"preset": "best"}, {"dtype": "bfloat16"}, {"threads": 4}])
def test_another_condition_is_another_cell(other):
    result = compare([record("vim-t", 512, 10.0)], [record("vim-t", 512, 10.0, **other)])
    assert not result.times and len(result.unmatched["before"]) == len(result.unmatched["after"]) == 1


def test_settings_that_each_search_has_found_do_not_part_a_cell():
    one = searched(record("vim-t", 512, 10.0), "2026-11-20", matmul="medium")
    two = searched(record("vim-t", 512, 10.0), "2026-11-21", matmul="highest", allocator="keep")
    assert len(compare([one], [two]).times) == 1
    old = searched(record("vim-t", 512, 99.0), "2026-11-01", matmul="highest")
    (pair,) = compare([one, old], [two]).times
    assert pair.first.estimate < 20  # the one of the later search


def test_without_times_or_with_few_rounds_a_pair_has_no_verdict_and_says_why():
    failed = replace(record("vim-t", 512, 10.0), status=Status.OOM, rounds=())
    few = record("vit-t", 512, 10.0, rounds=2)
    result = compare([record("vim-t", 512, 10.0), few], [failed, few])
    assert [(pair.verdict, pair.reason) for pair in result.times] == [
        (None, "ok → oom"),
        (None, "fewer than 3 rounds"),
    ]


def test_devices_are_compared_by_ratio_only():
    result = compare([record("vim-t", 512, 10.0)], [record("vim-t", 512, 20.0, device="GPU")], across_devices=True)
    (table,) = tables(result)
    assert table.rows[0][-3].startswith(("1.9", "2.0")) and table.rows[0][-1] == "–"
    assert "never ranked" in " ".join(table.notes)
    assert as_json(result)[0]["verdict"] is None


def test_backbones_are_compared_within_each_cell_and_the_rest_is_listed():
    made = [*power_law("vit-t", 10, 1.8, rounds=5), *power_law("vim-t", 20, 1.0, (512, 1024), rounds=5)]
    result = compare_backbones(("vit-t", "vim-t"), known(*made), Margins())
    verdicts = {pair.first.labels["size"]: pair.verdict for pair in result.times}
    assert verdicts == {"512²": "SLOWER", "1024²": "FASTER"}
    assert [cell.labels["size"] for cell in result.unmatched["vit-t"]] == ["2048²"]


def test_two_devices_in_one_folder_are_never_put_into_one_pair():
    made = [record("vit-t", 512, 10.0), record("vim-t", 512, 20.0, device="GPU")]
    result = compare_backbones(("vit-t", "vim-t"), known(*made), Margins())
    assert not result.times and result.unmatched["vit-t"] and result.unmatched["vim-t"]


def test_three_backbones_are_ranked_and_those_not_shown_to_differ_share_a_place():
    made = [score("vit-t", "dis", 0.8), score("vim-t", "dis", 0.8, seed=1), score("rwkv-sam-t", "dis", 0.9)]
    ranking = tables(compare_backbones(("vit-t", "vim-t", "rwkv-sam-t"), known(*made), Margins()))[-1]
    assert {row[0]: row[1] for row in ranking.rows} == {"vit-t": "2", "vim-t": "2", "rwkv-sam-t": "1"}


def test_backbones_that_are_not_tested_have_no_rank():
    names = ("vit-t", "vim-t", "rwkv-sam-t")
    ap = [score(name, "coco", 0.8, whole={"map": 40.0 + i}) for i, name in enumerate(names)]
    ranking = tables(compare_backbones(names, known(*ap), Margins()))[-1]
    assert {row[1] for row in ranking.rows} == {"–"}
    assert "– not ranked: no mean of images." in ranking.notes


def test_where_some_are_tested_with_each_other_only_none_has_a_rank():
    names = ("vit-t", "vim-t", "rwkv-sam-t", "vmamba-t")
    made = [score(name, "dis", 0.8 + i / 50) for i, name in enumerate(names)]
    for i in (2, 3):
        columns = {**made[i].rounds[0]["scores"], "id": [f"x{j}" for j in range(100)]}
        made[i] = replace(made[i], rounds=({**made[i].rounds[0], "scores": columns},))
    ranking = tables(compare_backbones(names, known(*made), Margins()))[-1]
    assert {cell for row in ranking.rows for cell in row[1:]} == {"–"}
    assert "– not ranked: other images." in ranking.notes


def test_a_difference_from_a_noisy_result_is_not_carried_over_to_its_rank():
    fast, slow = record("vit-t", 512, 10.0, noise=0.001), record("vim-t", 512, 11.0, noise=0.001)
    noisy = record("rwkv-sam-t", 512, 14.0, noise=0.4)
    ranking = tables(compare_backbones(("vit-t", "vim-t", "rwkv-sam-t"), known(fast, slow, noisy), Margins()))[-1]
    assert {row[0]: row[1] for row in ranking.rows} == {"vit-t": "1", "vim-t": "2", "rwkv-sam-t": "1"}


def test_a_disturbed_pair_has_no_ratio_and_its_marks_are_everywhere():
    made = record("vim-t", 512, 10.0)
    busy = replace(made, rounds=tuple({**entry, "others_share": 0.72} for entry in made.rounds))
    result = compare([made], [busy], across_devices=True)
    (table,) = tables(result)
    assert table.rows[0][2].endswith("‡") and table.rows[0][3:] == ("–", "–", "not compared")
    assert "‡ disturbed by other programs (up to 72 % of the cores)." in table.notes
    (plain,) = as_json(result)
    assert (plain["ratio"], plain["first_marks"], plain["second_marks"]) == (None, "", "‡")
    assert plain["second_doubt"] == plain["why"] == "disturbed by other programs (up to 72 % of the cores)"


def test_scores_of_two_trainings_are_paired_where_each_side_has_one():
    first, second = score("vim-t", "dis", 0.8), score("vim-t", "dis", 0.84, seed=1, checkpoint="another")
    result = compare([first], [second])
    assert {pair.first.key["metric"]: pair.verdict for pair in result.scores} == {
        "dis_miou": "BETTER",
        "dis_mbiou": "BETTER",
    }
    third = score("vim-t", "dis", 0.84, seed=2, checkpoint="a third")
    several = compare([first], [second, third])
    assert not several.scores and len(several.duplicates["after"]) == 4


def test_what_is_no_mean_of_images_and_other_images_are_never_bootstrapped():
    ap = [score("vim-t", "coco", 0.8, whole={"map": value}) for value in (40.0, 44.0)]
    (pair,) = compare(ap[:1], ap[1:]).scores
    assert (pair.difference, pair.reason) == (None, "no mean of images")
    renamed = score("vim-t", "dis", 0.8)
    columns = {**renamed.rounds[0]["scores"], "id": [f"x{i}" for i in range(100)]}
    other = replace(renamed, rounds=({**renamed.rounds[0], "scores": columns},))
    assert {pair.reason for pair in compare([renamed], [other]).scores} == {"other images"}


def test_a_damaged_record_is_named_and_the_others_are_compared():
    bad = replace(record("vim-t", 1024, 10.0), key={**record("vim-t", 1024, 10.0).key, "x": float("nan")})
    result, faults = comparable_cells([bad, record("vim-t", 512, 10.0)])
    assert len(result) == 1 and "vim-t" in faults[0]


def test_text_of_records_stays_text():
    result = compare([record("<img src=x onerror=alert(1)>", 512, 10.0)], [record("vim-t", 512, 10.0)])
    assert "\\<img src=x onerror=alert(1)\\>" in to_markdown(tables(result)[0])


def test_sides_that_were_not_measured_in_turn_are_said_to_be():
    def on(day: int) -> Record:
        made = record("vim-t", 512, 10.0)
        return replace(made, rounds=tuple({**entry, "started": f"2026-11-{day}"} for entry in made.rounds))

    assert "not in turn" in " ".join(tables(compare([on(20)], [on(24)]))[0].notes)
    assert "not in turn" not in " ".join(tables(compare([on(20)], [on(20)]))[0].notes)

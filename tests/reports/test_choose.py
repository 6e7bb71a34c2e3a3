"""Which backbone under a budget: what is chosen, what is not counted, and what the request must name."""

from dataclasses import replace

import pytest

from linbench.records import Record, Status
from linbench.reports.decide.comparable_cells import comparable_cells
from linbench.reports.decide.conditions import AmbiguousRequest
from linbench.reports.decide.contenders import Request
from linbench.reports.decide.recommend import recommend
from linbench.reports.decide.recommend_table import as_json, describe, left_out, tables
from tests.reports.accuracy_cases import score
from tests.reports.cases import record

BEST = [
    score("vit-t", "dis", 0.86, 2048),
    score("vmamba-t", "dis", 0.84, 2048),
    score("rwkv-sam-t", "dis", 0.839, 2048, seed=3),
    score("vim-t", "dis", 0.80, 2048),
    record("vit-t", 2048, 90.0),
    record("vmamba-t", 2048, 24.0),
    record("rwkv-sam-t", 2048, 8.0),
    record("vim-t", 2048, 20.0),
]
REQUEST = Request("dis_miou", [(2048, 2048)], latency_ms=25.0)


def answer(request: Request, *records: Record):
    cells, faults = comparable_cells(records)
    assert not faults
    return recommend(request, cells)


def reasons(result) -> dict[str, str]:
    return {entry.label: entry.reason for entry in result.excluded}


def test_the_best_under_the_budget_is_named_with_the_runner_up_and_what_it_loses():
    result = answer(REQUEST, *BEST)
    assert result.best is not None and result.best.label == "vmamba-t"
    assert [(other.contender.label, other.pair.verdict) for other in result.rivals] == [
        ("rwkv-sam-t", "AMBIGUOUS"),
        ("vim-t", "WORSE"),
    ]
    message = " ".join(describe(result))
    assert "Best dis_miou at 2048² within 25 ms: vmamba-t, 84.00 % (" in message
    assert "Runner-up: rwkv-sam-t, 83.90 %" in message and "it loses by 0.10 points" in message
    assert "within the uncertainty" in message
    assert "times as fast: rwkv-sam-t" in message
    assert reasons(result) == {"vit-t": f"too slow: {result.excluded[0].reason.split()[2]} ms"}


def test_a_difference_beyond_the_noise_is_said_to_be_more_than_the_uncertainty():
    result = answer(REQUEST, *(entry for entry in BEST if entry.key["backbone"] != "rwkv-sam-t"))
    assert "more than the uncertainty" in describe(result)[1]


def test_every_limit_excludes_and_says_by_how_much():
    result = answer(replace(REQUEST, latency_ms=None, memory_gb=0.9, params_m=5.0), *BEST)
    assert result.best is None
    assert reasons(result)["vim-t"] == "too much: memory 0.944 GB; too much: parameters 5.96 M"
    assert describe(result) == ["Nothing fits dis_miou at 2048² within 0.9 GB and 5 M parameters."]
    assert tables(result) == []


def test_memory_that_nobody_measured_is_not_taken_to_be_enough():
    blind = record("vim-t", 2048, 20.0)
    blind = replace(blind, rounds=tuple({**entry, "peak_memory": {}} for entry in blind.rounds))
    result = answer(replace(REQUEST, memory_gb=24.0), blind, score("vim-t", "dis", 0.8, 2048))
    assert reasons(result) == {"vim-t": "memory not recorded"}


def test_a_failed_cell_is_excluded_by_its_status():
    failed = replace(record("vim-t", 2048, 20.0), status=Status.OOM, reason="9 GB asked for", rounds=())
    result = answer(REQUEST, failed, score("vim-t", "dis", 0.8, 2048))
    assert reasons(result) == {"vim-t": "oom: 9 GB asked for"}


def test_what_lacks_a_score_or_a_latency_is_named_with_the_command_that_would_measure_it():
    result = answer(REQUEST, *BEST, record("vrwkv-t", 2048, 5.0), score("vim-s", "dis", 0.9, 2048))
    lines = left_out(result)
    assert "vrwkv-t at 2048²: no score dis_miou in float32" in lines
    assert "vim-s at 2048²: no latency under these conditions" in lines
    assert (
        "linbench run --suite dis --backbone vrwkv-t --checkpoint CHECKPOINT --data DATA --res 2048" in lines
        and "linbench run --backbone vim-s --preset paper --res 2048" in lines
    )


def test_smoke_random_and_embedded_results_do_not_count_unless_the_embedded_set_is_asked_for():
    made = [
        score("vit-t", "dis", 0.99, 2048, dataset="shapes"),
        score("rwkv-sam-t", "dis", 0.99, 2048, checkpoint="random-0"),
        score("vim-t", "dis", 0.98, 2048, scale="smoke", checkpoint="smoke"),
        *BEST,
    ]
    result = answer(REQUEST, *made)
    assert result.best is not None and result.best.label.startswith("vmamba-t")
    assert {"random weights", "smoke recipes", "the embedded dataset"} == {
        entry.reason.removeprefix("not counted: ") for entry in result.excluded if entry.reason.startswith("not")
    }
    embedded = answer(replace(REQUEST, latency_ms=None, dataset="shapes"), *made)
    assert embedded.best is not None and embedded.best.label == "vit-t"
    assert "COMPARABLE WITH NOTHING PUBLISHED (the embedded dataset)" in describe(embedded)[0]


def test_where_only_the_embedded_set_is_recorded_the_refusal_says_how_to_ask_for_it():
    with pytest.raises(AmbiguousRequest, match="--dataset shapes chooses from them all the same"):
        answer(Request("dis_miou"), score("vit-t", "dis", 0.9, dataset="shapes"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"device": "GPU"}, "--device: name one, devices are never ranked together"),
        ({"part": "end-to-end"}, "--part: the latencies differ in part"),
        ({"threads": 4}, "as --condition threads=2"),
        ({"dtype": "bfloat16"}, "as --condition dtype=float32"),
    ],
)
def test_across_conditions_nothing_is_ranked_until_one_is_named(other, message):
    made = [*BEST, record("vim-t", 2048, 5.0, **other)]
    with pytest.raises(AmbiguousRequest, match=message):
        answer(REQUEST, *made)
    (name, value), *_ = other.items()
    named = {name: value} if name in ("device", "part") else {"conditions": {name: str(value)}}
    latency = answer(replace(REQUEST, metric="latency_ms", **named), *made)
    assert latency.best is not None and latency.best.label == "vim-t" and not latency.rivals


@pytest.mark.parametrize("other", [{"protocol": "squash-1024"}, {"dataset_checksum": "other"}, {"images": 99}])
def test_scores_of_another_protocol_or_set_are_never_ranked_together(other):
    with pytest.raises(AmbiguousRequest, match=f"--condition {next(iter(other))}="):
        answer(REQUEST, *BEST, score("efficientsam-ti", "dis", 0.9, 2048, **other))


def test_best_is_the_preset_where_there_is_one():
    result = answer(Request("latency_ms"), record("vim-t", 512, 9.0), record("vim-t", 512, 5.0, preset="best"))
    assert (result.times["preset"], result.rivals) == ("best", [])


def test_scores_may_be_of_another_device_than_the_latencies_if_all_are():
    made = [
        entry if entry.key["suite"] == "latency" else replace(entry, key={**entry.key, "device": "GPU"})
        for entry in BEST
    ]
    result = answer(REQUEST, *made)
    assert result.best is not None and (result.times["device"], result.scores["device"]) == (
        "Intel Xeon Processor @ 2.80GHz",
        "GPU",
    )


def test_latency_alone_is_an_objective_and_its_runner_up_takes_longer():
    result = answer(Request("latency_ms", [(2048, 2048)]), *BEST)
    assert result.best is not None and result.best.label == "rwkv-sam-t"
    assert "it takes 2.5 times as long (" in describe(result)[1]
    assert result.rivals[0].pair.verdict == "SLOWER"


def test_without_scores_of_images_the_intervals_are_compared_and_it_is_said():
    made = [
        score("vit-t", "coco", 0.8, whole={"map": 44.0}),
        score("vim-t", "coco", 0.8, whole={"map": 43.0}),
        score("vmamba-t", "coco", 0.8, whole={"map": 30.0}),
    ]
    result = answer(Request("coco_map"), *made)
    assert [(entry.pair.difference, entry.is_apart) for entry in result.rivals] == [(None, False), (None, True)]
    assert "no paired test" in describe(result)[1] and "overlap, so no difference is shown" in describe(result)[1]


def test_a_latency_whose_interval_reaches_beyond_the_budget_is_said_to():
    noisy = record("vim-t", 2048, 24.0, noise=0.1)
    (chosen,) = (entry.high for entry in [comparable_cells([noisy])[0][0].times] if entry)
    result = answer(replace(REQUEST, latency_ms=comparable_cells([noisy])[0][0].estimate + 0.01), noisy, BEST[3])
    assert f"the 95 % interval reaches {chosen:.4g} ms" in " ".join(describe(result))


def in_rounds(made: Record, **values: object) -> Record:
    return replace(made, rounds=tuple({**entry, **values} for entry in made.rounds))


@pytest.mark.parametrize(
    ("latency", "reason", "option"),
    [
        (record("vim-t", 2048, 8.0, rounds=2), "fewer than 3 rounds", ""),
        (
            in_rounds(record("vim-t", 2048, 8.0), others_share=0.72),
            "disturbed by other programs (up to 72 % of the cores)",
            " --redo disturbed",
        ),
        (
            in_rounds(record("vim-t", 2048, 90.0), throttled=["power cap"]),
            "the device throttled",
            " --redo disturbed",
        ),
    ],
)
def test_whether_a_doubtful_latency_is_within_the_limit_is_unknown(latency, reason, option):
    result = answer(REQUEST, *(entry for entry in BEST if entry.key["backbone"] != "vim-t"), BEST[3], latency)
    (unranked,) = result.unranked
    assert (unranked.contender.label, unranked.reason) == ("vim-t", f"unknown whether within 25 ms: {reason}")
    assert f"Not ranked: 1 of 3 ({reason}); whether these take at most 25 ms is unknown." in describe(result)
    assert f"linbench run --backbone vim-t --preset paper{option} --res 2048" in left_out(result)
    assert "vim-t" not in reasons(result)
    alone = answer(REQUEST, BEST[3], latency)
    assert alone.best is None and "No recommendation" in " ".join(describe(alone))


def test_without_a_limit_a_doubtful_latency_is_marked_and_the_scores_are_ranked():
    disturbed = [in_rounds(entry, others_share=0.5) if entry.key["suite"] == "latency" else entry for entry in BEST]
    result = answer(replace(REQUEST, latency_ms=None), *disturbed)
    assert result.best is not None and result.best.label == "vit-t" and not result.unranked
    text = " ".join(describe(result))
    assert text.startswith("4 of 4 latencies were disturbed") and "times as fast" not in text
    assert all(row[2].endswith("‡") for row in tables(result)[0].rows)
    assert as_json(result)["best"]["latency_quality"]["doubt"].startswith("disturbed by other programs")


@pytest.mark.parametrize("names", [("vmamba-t",), ("rwkv-sam-t",)])
def test_nothing_is_called_faster_where_one_of_the_two_latencies_is_in_doubt(names):
    known = [entry for entry in BEST if entry.key["backbone"] != "vit-t"]
    busy = [
        in_rounds(entry, others_share=0.5)
        if entry.key["suite"] == "latency" and entry.key["backbone"] in names
        else entry
        for entry in known
    ]
    request = replace(REQUEST, latency_ms=None)
    assert "times as fast: rwkv-sam-t" in " ".join(describe(answer(request, *known)))
    assert "times as fast" not in " ".join(describe(answer(request, *busy)))


def test_every_contender_whose_interval_reaches_beyond_the_limit_is_named():
    made = [record("vim-t", 512, 10.0, noise=0.1), record("vit-t", 512, 20.0, noise=0.1)]
    limit = max(cell.estimate for cell in comparable_cells(made)[0]) + 0.01
    (note,) = [n for n in tables(answer(Request("latency_ms", latency_ms=limit), *made))[0].notes if "above" in n]
    assert note.startswith("May be above the limit") and "vit-t at 512² (to " in note


def test_a_missing_interval_is_unknown_and_never_an_overlap():
    made = [score(name, "coco", 0.8, whole={"map": value}) for name, value in (("vit-t", 44.0), ("vim-t", 20.0))]
    blind = [replace(entry, metrics={"map": {**entry.metrics["map"], "low": None, "high": None}}) for entry in made]
    result = answer(Request("coco_map"), *blind)
    assert result.rivals[0].is_apart is None and as_json(result)["others"][0]["intervals_apart"] is None
    assert tables(result)[0].rows[1][-1] == "unknown"
    text = " ".join(describe(result))
    assert "overlap" not in text and "whether they differ is unknown" in text


def test_a_score_of_few_images_and_a_stale_one_are_marked():
    few = score("vim-t", "dis", 0.8, images=29)
    cells, _ = comparable_cells([few], {"dis vim-t": "another hash"})
    result = recommend(Request("dis_miou"), cells)
    assert tables(result)[0].rows[0][1].endswith("ᵇ†")
    assert {"ᵇ fewer than 30 images.", "† stale: the code that measured it has changed since."} <= set(
        tables(result)[0].notes
    )


def test_of_several_outcomes_the_undisturbed_one_with_the_most_rounds_is_chosen_from():
    late = in_rounds(record("vim-t", 512, 5.0, rounds=5), started="2026-11-29", others_share=0.3)
    made = [record("vim-t", 512, 8.0, rounds=3), record("vim-t", 512, 7.0, rounds=4), late]
    for records in (made, made[::-1]):
        result = answer(Request("latency_ms"), *records)
        assert result.best is not None and result.best.timed is not None and result.best.timed.times is not None
        assert result.best.timed.times.rounds == 4


def test_a_condition_that_no_record_has_is_refused_with_the_nearest():
    with pytest.raises(AmbiguousRequest, match="--condition thread: no record has it; nearest are threads"):
        answer(replace(REQUEST, conditions={"thread": "2"}), *BEST)


def test_the_answer_as_plain_values_has_no_number_that_is_none():
    import json

    result = as_json(answer(REQUEST, *BEST, score("vim-s", "dis", 0.9, 2048)))
    assert json.loads(json.dumps(result, allow_nan=False))["best"]["model"] == "vmamba-t"

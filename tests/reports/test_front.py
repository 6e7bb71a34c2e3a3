"""The front of speed against parameters or accuracy: who is on it, who is behind, and what is not known."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from linbench.records import Record, Status
from linbench.reports.decide.comparable_cells import comparable_cells
from linbench.reports.decide.contenders import Request
from linbench.reports.decide.front import Answer, Front, answer_for, fronts
from linbench.reports.decide.front_table import as_json, describe, left_out, tables
from linbench.reports.decide.recommend import recommend
from linbench.reports.decide.recommend_table import describe as describe_recommendation
from linbench.reports.render.table import to_terminal
from tests.reports.accuracy_cases import score
from tests.reports.cases import record

BY_PARAMETERS = Request("images_per_s", axis="params_m")


def throughput(backbone: str, size: int, ms: float | None, parameters_m: float = 5.0, **rest: Any) -> Record:
    """A record of the suite throughput of ``ms`` per image."""
    metrics = {"parameters": {"value": parameters_m * 1e6, "unit": "1"}}
    made = record(backbone, size, ms, metrics=metrics, suite="throughput", mode="throughput", **rest)
    return replace(made, key={name: value for name, value in made.key.items() if name != "batch"})


def front_of(request: Request, *records: Record) -> Front:
    cells, faults = comparable_cells(records)
    assert not faults
    return fronts(request, cells)


def answers(front: Front) -> dict[str, Answer]:
    (group,) = front.sizes
    return {standing.contender.label: standing.answer for standing in group.standings}


def test_the_fastest_and_the_smallest_are_on_the_front_and_what_both_beat_is_behind() -> None:
    front = front_of(
        BY_PARAMETERS,
        throughput("fast", 64, 1.0, 8.0),
        throughput("small", 64, 3.0, 4.0),
        throughput("slow", 64, 5.0, 9.0),
        throughput("as-small", 64, 4.0, 4.0),
    )
    assert answers(front) == {"fast": "yes", "small": "yes", "slow": "no", "as-small": "no"}
    reasons = {s.contender.label: (s.reason, s.rivals) for s in front.sizes[0].standings}
    assert reasons["slow"] == ("behind fast", ("fast", "small", "as-small"))


def test_speeds_whose_intervals_overlap_leave_the_one_with_more_parameters_unknown() -> None:
    front = front_of(BY_PARAMETERS, throughput("vit-t", 64, 2.0, 9.0), throughput("toy", 64, 2.001, 4.0))
    assert answers(front) == {"vit-t": "unknown", "toy": "yes"}


@pytest.mark.parametrize("doubtful", ["vit-t", "toy"])
def test_of_a_time_in_doubt_nothing_is_stated_but_what_the_parameters_decide(doubtful: str) -> None:
    rounds = {"vit-t": 3, "toy": 3} | {doubtful: 2}
    front = front_of(
        BY_PARAMETERS,
        throughput("vit-t", 64, 2.0, 9.0, rounds=rounds["vit-t"]),
        throughput("toy", 64, 1.0, 4.0, rounds=rounds["toy"]),
    )
    assert answers(front)["vit-t"] == "unknown"
    assert answers(front)["toy"] == ("unknown" if doubtful == "toy" else "yes")
    assert "fewer than 3 rounds" in " ".join(describe(front, answer_for(front, "vit")))
    assert f"--suite throughput --backbone {doubtful} --preset paper --res 64" in left_out(front)[-1]


def test_what_does_not_fit_into_memory_is_not_on_the_front_and_beats_nobody() -> None:
    front = front_of(
        BY_PARAMETERS,
        throughput("vit-t", 64, None, 4.0, status=Status.OOM, reason="a batch of 1 does not fit into memory"),
        throughput("toy", 64, 2.0),
        throughput("lost", 64, None, status=Status.TIMEOUT, reason="900 s"),
    )
    assert answers(front) == {"toy": "yes", "vit-t": "no", "lost": "unknown"}


def test_the_question_is_answered_over_all_resolutions_by_the_worst_of_them() -> None:
    at_64 = [throughput("vit-t", 64, 1.0, 9.0), throughput("vit-s", 64, 4.0, 22.0), throughput("toy", 64, 2.0)]
    at_128 = [throughput("vit-t", 128, 9.0, 9.0), throughput("toy", 128, 2.0)]
    yes = answer_for(front_of(BY_PARAMETERS, *at_64), "vit")
    assert yes is not None and (yes.answer, yes.at) == ("yes", {"64²": ("yes", "vit-t")})
    front = front_of(BY_PARAMETERS, *at_64, *at_128)
    no = answer_for(front, "vit")
    assert no is not None and no.answer == "no" and no.at["128²"] == ("no", "vit-t: behind toy")
    text = " ".join(describe(front, no))
    assert "Is a plain ViT (vit-t, vit-s) on the front of images_per_s and params_m at every resolution? No." in text
    assert "64²: yes (vit-t)" in text and "128²: no (vit-t: behind toy)" in text
    missing = answer_for(front_of(BY_PARAMETERS, *at_64, at_128[1]), "vit")
    assert missing is not None and missing.answer == "unknown" and missing.at["128²"] == ("unknown", "not measured")
    assert answer_for(front, "vim") is None


def test_scores_decide_only_where_their_intervals_are_apart() -> None:
    request = Request("images_per_s", axis="dis_miou")
    scores = [score("good", "dis", 0.90, 64), score("alike", "dis", 0.899, 64), score("bad", "dis", 0.60, 64)]
    times = [throughput(name, 64, ms) for name, ms in (("good", 2.0), ("alike", 3.0), ("bad", 5.0))]
    front = front_of(request, *scores, *times, throughput("unscored", 64, 1.0))
    assert answers(front) == {"good": "yes", "alike": "unknown", "bad": "no"}
    assert [entry.label for entry in front.excluded] == ["unscored"]
    assert "scores overlap" in {s.contender.label: s.reason for s in front.sizes[0].standings}["alike"]


def test_no_set_of_models_is_all_behind_and_the_front_ignores_the_order_of_records() -> None:
    rng = Random(4)
    for _ in range(30):
        made = [
            throughput(f"m{i}", 64, rng.uniform(1, 9), rng.choice((4.0, 5.0, 6.0)), rounds=rng.choice((2, 3, 4)))
            for i in range(rng.randint(1, 6))
        ]
        given = answers(front_of(BY_PARAMETERS, *made))
        assert set(given.values()) != {Answer.NO}
        rng.shuffle(made)
        assert answers(front_of(BY_PARAMETERS, *made)) == given


def test_a_latency_has_a_front_too() -> None:
    front = front_of(Request("latency_ms", axis="params_m"), record("vit-t", 64, 2.0), record("toy", 64, 4.0))
    assert answers(front) == {"vit-t": "yes", "toy": "no"}


def test_tables_fit_80_columns_and_plain_values_have_no_number_that_is_none() -> None:
    made = [throughput(name, 2048, ms) for name, ms in (("rwkv-sam-t", 2.0), ("a-backbone-of-a-long-name", 3.0))]
    front = front_of(BY_PARAMETERS, *made)
    text = "".join(to_terminal(table, 80) for table in tables(front))
    assert max(map(len, text.splitlines())) <= 80
    (size,) = as_json(front, None)["sizes"]
    assert [model["on_front"] for model in size["models"]] == ["yes", "no"]
    assert size["models"][0]["images_per_s"] == pytest.approx(500, rel=0.05)


def test_the_most_images_per_second_are_best_and_the_runner_up_has_a_fraction_of_them() -> None:
    cells, _ = comparable_cells([throughput("vit-t", 64, 4.0), throughput("toy", 64, 2.0), record("vim-t", 64, 0.1)])
    result = recommend(Request("images_per_s", memory_gb=24), cells)
    assert result.best is not None and result.best.label == "toy"
    text = " ".join(describe_recommendation(result))
    assert "506 images/s (" in text and "it has 0.496 times the throughput" in text and " ms" not in text

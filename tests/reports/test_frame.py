"""The tidy frame: a row for each measurement, columns that are documented and mean one thing."""

import numpy as np
import pandas as pd

from linbench.records import Status
from linbench.reports.frame import COLUMNS, tidy_frame
from tests.reports import accuracy_cases, cases, kernel_cases


def frame() -> pd.DataFrame:
    return tidy_frame(
        [
            cases.record("vit-t", 512, 150.0),
            cases.record("vit-t", 1024, 1300.0, rounds=1),
            cases.record("vim-t", 2048, status=Status.OOM, reason="out of memory"),
            kernel_cases.record("bi_wkv", "vrwkv-s at 1024", "forward", 2.0),
            accuracy_cases.score("vit-t", "dis", 0.8),
        ]
    )


def test_every_record_has_its_row_and_only_documented_columns() -> None:
    rows = frame()
    assert list(rows.columns) == list(COLUMNS)
    assert sorted(rows["suite"].unique()) == ["dis", "kernels", "latency"]
    assert (rows["suite"] == "latency").sum() == 3
    assert rows.loc[rows["suite"] == "kernels", "case"].tolist() == ["vrwkv-s at 1024 forward"]


def test_a_time_has_its_interval_and_a_score_has_its_own() -> None:
    rows = frame().set_index(["suite", "model", "height"])
    vit = rows.loc[("latency", "vit-t", 512)]
    assert vit["low_ms"] < vit["median_ms"] < vit["high_ms"] and vit["rounds"] == 3
    scores = rows.loc["dis"]
    assert scores["median_ms"].isna().all() and (scores["low"] <= scores["value"]).all()


def test_a_doubt_stands_beside_the_time_and_a_failure_beside_its_reason() -> None:
    rows = frame()
    timed = rows[rows["suite"] == "latency"].set_index("height")
    assert timed.loc[512, "doubt"] == "" and timed.loc[1024, "doubt"] == "fewer than 3 rounds"
    assert timed.loc[2048, "status"] == "oom" and timed.loc[2048, "reason"] == "out of memory"
    assert np.isnan(timed.loc[2048, "median_ms"])


def test_no_records_are_an_empty_frame_with_all_columns() -> None:
    assert tidy_frame([]).empty and list(tidy_frame([]).columns) == list(COLUMNS)

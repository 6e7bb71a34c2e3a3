"""What of a cell remains to be measured, by its record and ``--redo``."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from linbench.records import Record, Status
from linbench.suites.runner.options import Redo
from linbench.suites.runner.resuming import Remaining, remaining_rounds
from linbench.suites.runner.suite import Cell

CELL = Cell(SimpleNamespace(), "now", {})
GOOD = Record({}, Status.OK, rounds=({"others_share": 0.01},) * 3, metrics={}, environment={}, code_hash="now")
RECORDS = {
    "good": GOOD,
    "few": replace(GOOD, rounds=GOOD.rounds[:1]),
    "disturbed": replace(GOOD, rounds=({"others_share": 0.4}, *GOOD.rounds[1:])),
    "throttled": replace(GOOD, rounds=({"throttled": ["power"]}, *GOOD.rounds[1:])),
    "failed": replace(GOOD, status=Status.OOM, rounds=()),
    "stale": replace(GOOD, code_hash="before"),
    "stale and disturbed": replace(GOOD, code_hash="before", rounds=({"others_share": 0.4},)),
}


@pytest.mark.parametrize(
    ("redo", "chosen"),
    [
        (None, set()),
        (Redo.STALE, {"stale", "stale and disturbed"}),
        (Redo.FAILED, {"failed"}),
        (Redo.DISTURBED, {"disturbed", "throttled", "stale and disturbed"}),
        (Redo.ALL, set(RECORDS)),
    ],
)
def test_redo_measures_every_round_of_the_records_that_it_names(redo: Redo | None, chosen: set[str]) -> None:
    states = {name: remaining_rounds(CELL, record, 3, redo) for name, record in RECORDS.items()}
    assert {name for name, state in states.items() if state.reason == "redo"} == chosen
    assert all(states[name].rounds == 3 for name in chosen)


def test_a_cell_that_its_model_does_not_take_is_never_measured() -> None:
    refused = replace(CELL, unsupported="too small")
    for redo in (None, Redo.ALL):
        for record in (None, *RECORDS.values()):
            assert remaining_rounds(refused, record, 3, redo) == Remaining(0, "unsupported")


def test_without_redo_only_missing_rounds_are_added_and_never_to_a_stale_record() -> None:
    states = {name: remaining_rounds(CELL, record, 3, None) for name, record in RECORDS.items()}
    assert {name: state.rounds for name, state in states.items() if state.rounds} == {"few": 2}
    assert states["stale"].reason == "stale" and states["good"].reason == "done"
    assert remaining_rounds(CELL, None, 3, None).rounds == 3

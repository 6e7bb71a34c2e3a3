"""What of a plan is left to do."""

from typing import TYPE_CHECKING

from linbench.records import Record, Status

if TYPE_CHECKING:
    from linbench.suites import Cell


def lacking(cell: "Cell", record: Record | None, rounds: int, redo: str | None) -> tuple[int, str]:
    """How many rounds ``cell`` lacks, and in one word why: new, more rounds, redo, stale, done."""
    if record is None:
        return rounds, "new"
    stale = record.code_hash != cell.code_hash
    if redo == "all" or (redo == "stale" and stale) or (redo == "failed" and record.status is not Status.OK):
        return rounds, "redo"
    if stale:
        return 0, "stale"
    if record.status is not Status.OK or len(record.rounds) >= rounds:
        return 0, "done"
    return rounds - len(record.rounds), "more rounds"

"""What ``linbench run`` prints about other programs: before a sweep, while it waits, and at its end."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from linbench.cli.progress import progress
from linbench.records import Record, Status, Store, as_number

if TYPE_CHECKING:
    from linbench.suites import Cell
    from linbench.suites.runner.options import Redo
    from linbench.suites.runner.quiet import Waiting
    from linbench.suites.runner.sampling import SamplingConfig
    from linbench.system.contention import Contention

DISTURBED_EXIT = 3  # exit code of a run whose cells are ok, but some were disturbed: not to be compared
GAVE_UP = "other programs keep computing: from here on no round is waited for or repeated, until one is quiet"


def await_quiet(cells: "Sequence[Cell[Any]]", store: Store, sampling: "SamplingConfig", redo: "Redo | None") -> None:
    """Say what would disturb the timing of these cells, and wait for other programs to stop computing.

    Does nothing where every cell has its rounds.
    """
    from linbench.system.contention import measure_contention, remarks

    if not _has_work(cells, store, sampling, redo):
        return
    contention = measure_contention()
    for remark in remarks(contention):
        if remark.remedy and remark.part != "Quiet":
            typer.echo(f"linbench: {remark.fact}, so latencies may be off: {remark.remedy}", err=True)
    if contention.is_busy:
        typer.echo(f"linbench: {busy_sentence(contention, sampling.wait_s)}", err=True)
        if sampling.wait_s:
            typer.echo(f"linbench: {_wait(sampling.wait_s)}", err=True)


def _has_work(cells: "Sequence[Cell[Any]]", store: Store, sampling: "SamplingConfig", redo: "Redo | None") -> bool:
    """Return whether a search or a round of these cells remains."""
    from linbench.suites.runner.resuming import remaining_rounds, with_settings

    return any(
        cell.required_search or remaining_rounds(cell, store.get(cell.key.to_json()), sampling.rounds, redo).rounds
        for cell in with_settings(cells, store, redo)
    )


def _wait(wait_s: float) -> str:
    """Wait for quiet with a countdown, and return how it ended."""
    from linbench.suites.runner.quiet import Patience

    patience, start = Patience(wait_s), time.monotonic()
    with progress("seconds", math.ceil(wait_s)) as advance:
        for waiting in patience.wait(start + wait_s):
            advance("", 1)
            advance.countdown(waiting_text(waiting))
    if patience.is_quiet:
        return f"quiet after {time.monotonic() - start:.0f} s"
    return f"still busy after {wait_s:.0f} s: measuring anyway, and marking what is disturbed"


def busy_sentence(contention: "Contention", wait_s: float) -> str:
    """Return the sentence that says who computes, what that does to latencies, and what can be done."""
    now = f"waiting for quiet, at most {wait_s:.0f} s (--wait)" if wait_s else "measuring at once (--wait 0)"
    return f"{contention.use}, which can triple a latency: close them; {now}"


def waiting_text(waiting: "Waiting") -> str:
    """Return the countdown of a wait."""
    from linbench.system.contention import percent

    return f"waiting for quiet, {waiting.seconds_left:.0f} s left: others use {percent(waiting.others_share)}"


def attempts_text(entry: Mapping[str, Any]) -> str:
    """Return how a round was disturbed and how often it was repeated, in words; empty where neither."""
    from linbench.reports.statistics.quality import DISTURBED
    from linbench.suites.runner.quiet import is_disturbed
    from linbench.system.contention import percent

    others = entry.get("repeated_after")
    count = len(others) if isinstance(others, list) else 0
    repeated = f"repeated {count} time{'s' * (count != 1)}" if count else ""
    if not is_disturbed(entry):
        return f"; {repeated}" if repeated else ""
    share = entry["others_share"]
    assert isinstance(share, float)
    disturbed = f"{DISTURBED} disturbed: other programs used {percent(share)} of the cores"
    return f" {disturbed}{'; ' * bool(repeated)}{repeated}"


def warn_of_disturbed(records: Sequence[Record]) -> bool:
    """Say on standard error how many of the cells were disturbed, and return whether any was."""
    from linbench.reports.statistics.quality import Quality, headline

    measured = [record for record in records if record.status is Status.OK]
    warning = headline((Quality(len(r.rounds), _most_by_others(r)) for r in measured), "cells")
    if warning:
        typer.echo(f"linbench: {warning} --redo disturbed measures again.", err=True)
    return bool(warning)


def _most_by_others(record: Record) -> float:
    """Return what other programs used in the most disturbed round; NaN where that is unknown."""
    shares = [as_number(entry.get("others_share")) for entry in record.rounds]
    return max((share for share in shares if not math.isnan(share)), default=math.nan)

"""Rounds of cells in fresh processes, shuffled and interleaved, whatever a cell does to its process.

A cell that crashes, hangs, is killed or runs out of memory gives an outcome like any other, and the sweep goes on.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from linbench.records import Record, Status
from linbench.suites.runner.quiet import GaveUp, Patience, Repeat, Waiting, attempt_quietly
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Outcome
from linbench.system.affinity import unbound

#: Where the process of a round is started, and where it begins.
ENTRIES = ("linbench.suites.runner.rounds", "linbench.suites.runner.child")
LOG_TAIL = 4000  # characters of a failed round's output that its record keeps


def order(cells: Sequence[Cell[Any]], round_number: int, seed: int) -> list[Cell[Any]]:
    """Return the cells of one round in its own shuffled order, the same for the same seed."""
    shuffled = list(cells)
    random.Random(f"{seed}/{round_number}").shuffle(shuffled)
    return shuffled


@dataclass(frozen=True)
class RoundStart:
    """A round that is about to be measured. number: Counts from 0."""

    cell: Cell[Any]
    number: int


@dataclass(frozen=True)
class RoundEnd:
    """A round that was measured, with the attempts at it."""

    cell: Cell[Any]
    outcome: Outcome


#: What happens in a sweep, in order; ``Waiting`` and ``Repeat`` lie between the start and the end of their round.
Event: TypeAlias = RoundStart | Waiting | Repeat | GaveUp | RoundEnd


def sweep(
    suite: str,
    cells: Sequence[Cell[Any]],
    done: Mapping[int, int],
    sampling: SamplingConfig,
    plugins: Sequence[Path] = (),
) -> Iterator[Event]:
    """Yield what happens while each round that each cell still needs is measured, round by round over all cells.

    done: Rounds that the i-th cell already has. A cell whose round is not ``ok`` gets no further one.
    """
    index_of = {id(cell): i for i, cell in enumerate(cells)}
    ended: set[int] = set()
    patience = Patience(sampling.wait_s)
    for number in range(sampling.rounds):
        for position, cell in enumerate(order(cells, number, sampling.seed)):
            i = index_of[id(cell)]
            if i in ended or done.get(i, 0) > number:
                continue
            yield from patience.news()
            yield RoundStart(cell, number)
            measure = partial(run, suite, cell, sampling, sampling.seed + number, plugins)
            outcome = yield from attempt_quietly(measure, patience)
            if outcome.round:
                outcome = replace(outcome, round={**outcome.round, "position": position})
            if outcome.status is not Status.OK:
                ended.add(i)
            yield RoundEnd(cell, outcome)


def run(
    suite: str,
    cell: Cell[Any],
    sampling: SamplingConfig,
    seed: int,
    plugins: Sequence[Path] = (),
    call: str = "measure",
) -> Outcome:
    """Measure one round of one cell in a fresh process; never raises for what happens in there.

    call: ``measure``, ``trial`` for a candidate of a search, or ``export`` for the artifact that a cell needs.
    """
    request = {
        "suite": suite,
        "call": call,
        "key": cell.key.to_json(),
        "seconds": sampling.cell_seconds,
        "seed": seed,
        "plugins": [str(path) for path in plugins],
        "parent": os.getpid(),
    }
    kills = _oom_kills()
    process = _start(cell.variables)
    try:
        answer, log = process.communicate(json.dumps(request), timeout=sampling.timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        _, log = process.communicate()
        reason = f"still running after --timeout {sampling.timeout_s:.0f} s"
        return Outcome(Status.TIMEOUT, reason=reason, log=log[-LOG_TAIL:])
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode == 0 and answer:
        return _parse(answer, log)
    return Outcome(*_cause_of_death(process.returncode, kills), log=log[-LOG_TAIL:])


def _start(variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the process of a round, with the variables of its cell and none of the allocator's from outside."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    with unbound():
        return subprocess.Popen(
            [sys.executable, "-m", "linbench.suites.runner.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=inherited | dict(variables),
        )


def _parse(answer: str, log: str) -> Outcome:
    """Return the outcome that a process printed, with the tail of its log where it failed."""
    entries: dict[str, Any] = json.loads(answer)
    status = Status(entries.pop("status"))
    tail = "" if status in (Status.OK, Status.UNSUPPORTED) else log[-LOG_TAIL:]
    return Outcome(**{**entries, "status": status, "log": tail})


def _cause_of_death(code: int, kills_before: int | None) -> tuple[Status, str]:
    """Return the status of a process that ended without an outcome, and the reason."""
    if code >= 0:
        return Status.FAILED, f"its process ended with exit code {code} and no answer"
    name = signal.Signals(-code).name
    kills = _oom_kills()
    if name == "SIGKILL" and kills is not None and kills_before is not None and kills > kills_before:
        return Status.OOM, "the system killed its process for memory"
    return Status.FAILED, f"its process was ended by {name}"


def _oom_kills() -> int | None:
    """Return how many processes the system has killed for memory since its start; None where it does not count."""
    counters = Path("/proc/vmstat")
    if not counters.exists():
        return None
    for line in counters.read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


def with_outcome(before: Record | None, cell: Cell[Any], outcome: Outcome) -> Record:
    """Return the record of ``cell`` with one more outcome: rounds gather, the last status and reason stand."""
    earlier = before.rounds if before is not None else ()
    rounds = (*earlier, outcome.round) if outcome.round else earlier
    return Record(
        key=cell.key.to_json(),
        status=outcome.status,
        reason=outcome.reason,
        rounds=tuple(rounds),
        metrics=outcome.metrics or (before.metrics if before else {}),
        environment={**(outcome.environment or (before.environment if before else {})), "modules": cell.modules},
        code_hash=cell.code_hash,
        log=outcome.log,
        search=cell.search,
    )

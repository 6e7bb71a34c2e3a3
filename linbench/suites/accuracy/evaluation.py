"""One evaluation: every image once, whatever the number of processes, and after a kill only what is left.

Images are prepared ahead in threads, ``--eval-batch`` of them, and go through the model one at a time. A batch of
several would be faster on some devices, but a matrix product of more rows may add up in another order: a score would
depend on the company its image is in.
"""

import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import Any

import torch

from linbench.backbones.contract import Misfit
from linbench.data.contract import BadDataset, BadSample
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.kernels.threads import set_threads
from linbench.models.checkpoint import BadCheckpoint
from linbench.models.finite import NotFinite
from linbench.records import Record, Status
from linbench.suites.accuracy.task import Summary, Task
from linbench.suites.runner.journal import Journal, Row
from linbench.suites.runner.memory import is_out_of_memory
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell
from linbench.system.affinity import unbind

MOST_THREADS = 8
SEED = 0  # of every bootstrap, so that the same scores give the same interval
LOG_TAIL = 4000  # characters of a failure's traceback that the record keeps


@dataclass(frozen=True)
class Step:
    """done, total: Images of this process.  running: The score so far, in words.
    record: In the last step of the first process.
    """

    done: int
    total: int
    running: str = ""
    record: Record | None = None


@dataclass(frozen=True)
class Failure:
    """Why a process could not go on."""

    status: Status
    reason: str
    log: str


def evaluate(
    cell: Cell,
    build: Callable[[], Task[Any, Any]],
    journal: Journal,
    ranks: Ranks,
    *,
    max_bad: int,
    ahead: int,
) -> Iterator[Step]:
    """Yield a step for each image, and at last the record; the journals go when the caller has taken it.

    build: Makes the task, with its model.
    max_bad: Images and annotations that may be skipped before the status is ``failed``.
    ahead: Images that are prepared while others are scored.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    task, failure = _built(build, cell.key["threads"])
    before = ranks.all_gather((journal.rows(), failure))
    known = {number: row for rows, _ in before for number, row in rows.items()}
    mine: list[Row] = []
    todo: list[int] = []
    running = _Mean(task.running if task else "", known.values())
    if task and not any(failed for _, failed in before):
        todo = [number for number in ranks.shard(cell.key["images"]) if number not in known]
    yield Step(0, len(todo), running.said())
    if task and todo:
        try:
            with journal.appending(ranks.rank) as append:
                for row in _rows(task, todo, ahead):
                    append(row)
                    mine.append(row)
                    running.add(row)
                    yield Step(len(mine), len(todo), running.said())
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it becomes the outcome
            failure = _failure(error)
    gathered = ranks.all_gather((mine, failure))
    failures = [failed for _, failed in gathered if failed]
    if not ranks.is_first:
        record = None
    elif task is None or failures:
        record = _failed(cell, failures[0])
    else:
        rows = {row["number"]: row for rows, _ in gathered for row in rows} | known
        record = _record(cell, task, [rows[number] for number in sorted(rows)], max_bad, started)
    yield Step(len(mine), len(todo), running.said(), record)
    ranks.all_gather(None)  # no journal goes before the record is there
    if not failures:  # after a failure `--redo failed` goes on from them
        journal.clear()


def _built(build: Callable[[], Task[Any, Any]], threads: int) -> tuple[Task[Any, Any] | None, Failure | None]:
    try:
        pin(threads)
        return build(), None
    except (Misfit, BadCheckpoint, BadDataset) as error:
        return None, Failure(Status.FAILED, str(error), "")
    except ValueError as error:  # the size or an option is none of the model's
        return None, Failure(Status.UNSUPPORTED, str(error), "")
    except Exception as error:  # noqa: BLE001 - a backbone may raise anything; it becomes the outcome
        return None, _failure(error)


def _rows(task: Task[Any, Any], numbers: Sequence[int], ahead: int) -> Iterator[Row]:
    """The row of each image, in order."""

    def prepared(number: int) -> tuple[Any, Any]:
        sample = task.dataset[number]
        try:
            return sample, task.prepare(sample)
        except BadSample as error:
            return sample, error

    left = iter(numbers)
    # Readers collect warnings, which is the process's business: threads that do so at once may leave it changed.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(ahead, MOST_THREADS), initializer=unbind) as pool:
        waiting = deque((number, pool.submit(prepared, number)) for number in islice(left, ahead))
        while waiting:
            number, future = waiting.popleft()
            sample, ready = future.result()
            if (following := next(left, None)) is not None:
                waiting.append((following, pool.submit(prepared, following)))
            start = perf_counter()
            row = {"number": number, "id": sample.id}
            if isinstance(ready, BadSample):
                row["faults"] = [{"id": sample.id, "file": sample.file, "reason": str(ready)}]
            else:
                row |= {"scored": True, **task.score(ready)}
            yield row | {"seconds": perf_counter() - start}


class _Mean:
    """The mean of one score so far, in percent."""

    def __init__(self, name: str, rows: Any) -> None:
        self.name, self.sum, self.n = name, 0.0, 0
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        if row.get(self.name) is not None:
            self.sum, self.n = self.sum + row[self.name], self.n + 1

    def said(self) -> str:
        return f"{self.name} {100 * self.sum / self.n:.2f} %" if self.n else ""


def _failure(error: Exception) -> Failure:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, NotFinite):
        status = Status.WRONG
    elif isinstance(error, Unsupported | NotImplementedError):
        status = Status.UNSUPPORTED
    else:
        status = Status.OOM if is_out_of_memory(error) else Status.FAILED
        said = f"{type(error).__name__}: {said}"
    return Failure(status, said, "".join(traceback.format_exception(error))[-LOG_TAIL:])


def _failed(cell: Cell, failure: Failure) -> Record:
    return Record(
        key=cell.key,
        status=failure.status,
        reason=failure.reason,
        environment={**environment(), "modules": cell.modules},
        code_hash=cell.code_hash,
        log=failure.log,
    )


def _record(cell: Cell, task: Task[Any, Any], rows: Sequence[Row], max_bad: int, started: str) -> Record:
    """The record of an evaluation whose every image has a row."""
    left_out = [fault for row in rows for fault in row.get("faults", ())]
    told = {fault["reason"] for fault in left_out}  # a bad sample gives the fault that opening the set has found
    scored = [row for row in rows if row.get("scored")]
    summary = task.summary(scored, SEED) if scored else Summary({}, {})
    before = [fault for fault in task.faults if f"{fault['file']}: {fault['reason']}" not in told]
    skipped = [*before, *left_out]
    status, reason = Status.OK, ""
    if len(skipped) > max_bad or not scored:
        status = Status.FAILED
        reason = (
            f"{len(skipped)} bad images or annotations were skipped, --max-bad allows {max_bad}; the first: "
            f"{skipped[0]['reason']}"
            if skipped
            else "the data set has no image"
        )
    elif not summary.metrics:
        status, reason = Status.FAILED, summary.undefined
    found = {
        "seed": SEED,
        "started": started,
        "seconds": sum(row["seconds"] for row in rows),
        "scores": summary.scores,
        "slices": summary.slices,
        "skipped": skipped,
        "max_bad": max_bad,
    }
    return Record(
        key=cell.key,
        status=status,
        reason=reason,
        rounds=(found,),
        metrics=summary.metrics,
        environment={**environment(), **task.facts, "modules": cell.modules},
        code_hash=cell.code_hash,
    )


def pin(threads: int) -> None:
    """Set what holds for the whole process: threads, true float32 products, and no choice that timing makes.

    Raises TooFewThreads where the process does not get them.
    """
    set_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True

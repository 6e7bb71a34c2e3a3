"""One evaluation: every image once, whatever the number of processes; after a kill only the remaining images.

Images are prepared ahead in threads, ``--eval-batch`` of them, and go through the model one at a time. A batch of
several would be faster on some devices, but a matrix product of more rows may add up in another order: a score would
depend on the other images of its batch.
"""

import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import torch

from linbench.backbones.contract import Misfit
from linbench.data.contract import BadDataset, BadSample
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.models.checkpoint import BadCheckpoint, size_note
from linbench.models.finite import NotFinite
from linbench.published.dataset_sizes import missing_images
from linbench.records import Record, Status, key_hash
from linbench.suites.accuracy.cells import weights_of
from linbench.suites.accuracy.key import AccuracyKey
from linbench.suites.accuracy.options import AccuracyOptions
from linbench.suites.accuracy.task import Summary, Task
from linbench.suites.runner import process
from linbench.suites.runner.device import find_device
from linbench.suites.runner.journal import Journal, Row
from linbench.suites.runner.memory import is_out_of_memory
from linbench.suites.runner.process import first_line
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell, Step
from linbench.system.affinity import unbind

O = TypeVar("O", bound=AccuracyOptions)  # noqa: E741 - the letter of its word

#: Builds the evaluation of a key, with its model on a device; raises ValueError where the model cannot be built.
BuildTask: TypeAlias = Callable[[AccuracyKey, O, torch.device], Task[Any, Any]]

MOST_THREADS = 8
SEED = 0  # of every bootstrap, so that the same scores give the same interval
LOG_TAIL = 4000  # characters of a failure's traceback that the record keeps


@dataclass(frozen=True)
class Failure:
    """Why a process could not go on."""

    status: Status
    reason: str
    log: str


def steps(
    build_task: BuildTask[O], cell: Cell[AccuracyKey], options: O, record: Path, ranks: Ranks
) -> Iterator[Step]:
    """Yield the steps of a cell's evaluation; the record is in the last step of the first process.

    record: Path of the record to come.
    """

    def build() -> Task[Any, Any]:
        return build_task(cell.key, options, ranks.device(find_device(options.device)))

    note = _size_note(cell.key, options)
    header = {"key": key_hash(cell.key.to_json()), "code": cell.code_hash, "torch": torch.__version__}
    journal = Journal(record, header)
    for step in evaluate(cell, build, journal, ranks, max_bad=options.max_bad, ahead=options.eval_batch):
        yield replace(step, note="; ".join(filter(None, (note, step.note))))
        note = ""


def _size_note(key: AccuracyKey, options: AccuracyOptions) -> str:
    """Say that a cell's size is not the one that its weights were trained at; empty where it is."""
    weights = weights_of(key, options)
    trained = weights.about.image_size if weights.about else None
    return size_note(str(weights.file), trained, key.model.size)


def evaluate(
    cell: Cell[AccuracyKey],
    build: Callable[[], Task[Any, Any]],
    journal: Journal,
    ranks: Ranks,
    *,
    max_bad: int,
    ahead: int,
) -> Iterator[Step]:
    """Yield a step for each image, and at last the record; the journals are cleared after the caller has taken it.

    build: Builds the task, with its model.
    max_bad: Images and annotations that may be skipped before the status is ``failed``.
    ahead: Images that are prepared while others are scored.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    task, failure = _build(build, cell.key.machine.threads)
    before = ranks.all_gather((journal.rows(), failure))
    known = {index: row for rows, _ in before for index, row in rows.items()}
    new: list[Row] = []
    todo: list[int] = []
    running = _RunningMean(task.running if task else "", known.values())
    if task and not any(failed for _, failed in before):
        todo = [index for index in ranks.shard(cell.key.data.images) if index not in known]
    yield Step(0, len(todo), running.text(), note="; ".join(_data_notes(cell.key, task)) if task else "")
    if task and todo:
        try:
            with journal.appending(ranks.rank) as append:
                for row in _rows(task, todo, ahead):
                    append(row)
                    new.append(row)
                    running.add(row)
                    yield Step(len(new), len(todo), running.text())
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it becomes the outcome
            failure = _failure(error)
    gathered = ranks.all_gather((new, failure))
    failures = [failed for _, failed in gathered if failed]
    record = None
    if ranks.is_first and task and not failures:
        rows = {row["number"]: row for new_rows, _ in gathered for row in new_rows} | known
        record = _record(cell, task, [rows[index] for index in sorted(rows)], max_bad, started)
    elif ranks.is_first:
        record = _failed_record(cell, failures[0])
    yield Step(len(new), len(todo), running.text(), record=record)
    ranks.all_gather(None)  # no journal is cleared before the record exists
    if not failures:  # after a failure `--redo failed` goes on from them
        journal.clear()


def _data_notes(key: AccuracyKey, task: Task[Any, Any]) -> list[str]:
    """Return what a reader of the scores must know of the data: that images are missing, how masks were read."""
    missing = missing_images(key.data.dataset, key.data.images)
    return [*([missing] if missing else []), *task.dataset.facts.get("notes", ())]


def _build(build: Callable[[], Task[Any, Any]], threads: int) -> tuple[Task[Any, Any] | None, Failure | None]:
    """Return the task, or why it cannot be built."""
    try:
        pin(threads)
        return build(), None
    except (Misfit, BadCheckpoint, BadDataset) as error:
        return None, Failure(Status.FAILED, str(error), "")
    except ValueError as error:  # the model does not take the size or an option
        return None, Failure(Status.UNSUPPORTED, str(error), "")
    except Exception as error:  # noqa: BLE001 - a backbone may raise anything; it becomes the outcome
        return None, _failure(error)


def _rows(task: Task[Any, Any], indices: Sequence[int], ahead: int) -> Iterator[Row]:
    """Yield the row of each image, in order."""

    def prepare(index: int) -> tuple[Any, Any]:
        sample = task.dataset[index]
        try:
            return sample, task.prepare(sample)
        except BadSample as error:
            return sample, error

    remaining = iter(indices)
    # Readers collect warnings, which is a state of the process: threads that do so at once may leave it changed.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(ahead, MOST_THREADS), initializer=unbind) as pool:
        waiting = deque((index, pool.submit(prepare, index)) for index in islice(remaining, ahead))
        while waiting:
            index, future = waiting.popleft()
            sample, prepared = future.result()
            if (following := next(remaining, None)) is not None:
                waiting.append((following, pool.submit(prepare, following)))
            start = perf_counter()
            row = {"number": index, "id": sample.id}
            if isinstance(prepared, BadSample):
                row["faults"] = [{"id": sample.id, "file": sample.file, "reason": str(prepared)}]
            else:
                row |= {"scored": True, **task.score(prepared)}
            yield row | {"seconds": perf_counter() - start}


class _RunningMean:
    """The mean of one score so far, in percent."""

    def __init__(self, name: str, rows: Any) -> None:
        self.name, self.sum, self.n = name, 0.0, 0
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Add the score of a row that has one."""
        if row.get(self.name) is not None:
            self.sum, self.n = self.sum + row[self.name], self.n + 1

    def text(self) -> str:
        """Return the mean in words; empty before the first score."""
        return f"{self.name} {100 * self.sum / self.n:.2f} %" if self.n else ""


def _failure(error: Exception) -> Failure:
    """Return the status and reason of what a model raised."""
    reason = first_line(error)
    if isinstance(error, NotFinite):
        status = Status.WRONG
    elif isinstance(error, Unsupported | NotImplementedError):
        status = Status.UNSUPPORTED
    else:
        status = Status.OOM if is_out_of_memory(error) else Status.FAILED
        reason = f"{type(error).__name__}: {reason}"
    return Failure(status, reason, "".join(traceback.format_exception(error))[-LOG_TAIL:])


def _failed_record(cell: Cell[AccuracyKey], failure: Failure) -> Record:
    return Record(
        key=cell.key.to_json(),
        status=failure.status,
        reason=failure.reason,
        environment={**environment(), "modules": cell.modules},
        code_hash=cell.code_hash,
        log=failure.log,
    )


def _record(cell: Cell[AccuracyKey], task: Task[Any, Any], rows: Sequence[Row], max_bad: int, started: str) -> Record:
    """Return the record of an evaluation whose every image has a row."""
    left_out = [fault for row in rows for fault in row.get("faults", ())]
    reasons = {fault["reason"] for fault in left_out}  # a bad sample repeats the fault that opening the dataset met
    scored = [row for row in rows if row.get("scored")]
    summary = task.summarize(scored, SEED) if scored else Summary({}, {})
    before = [fault for fault in task.faults if f"{fault['file']}: {fault['reason']}" not in reasons]
    skipped = [*before, *left_out]
    status, reason = Status.OK, ""
    if len(skipped) > max_bad or not scored:
        status = Status.FAILED
        reason = (
            f"{len(skipped)} bad images or annotations were skipped, --max-bad allows {max_bad}; the first: "
            f"{skipped[0]['reason']}"
            if skipped
            else "the dataset has no image"
        )
    elif not summary.metrics:
        status, reason = Status.FAILED, summary.undefined
    entries = {
        "seed": SEED,
        "started": started,
        "seconds": sum(row["seconds"] for row in rows),
        "scores": summary.scores,
        "slices": summary.slices,
        "notes": _data_notes(cell.key, task),
        "skipped": skipped,
        "max_bad": max_bad,
    }
    return Record(
        key=cell.key.to_json(),
        status=status,
        reason=reason,
        rounds=(entries,),
        metrics=summary.metrics,
        environment={**environment(), **task.facts, "modules": cell.modules},
        code_hash=cell.code_hash,
    )


def pin(threads: int) -> None:
    """Set the process's threads, strict float32 products, and no algorithm that timing chooses.

    Raises TooFewThreads where the process does not get them.
    """
    process.pin(threads, matmul="highest", tf32=False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True

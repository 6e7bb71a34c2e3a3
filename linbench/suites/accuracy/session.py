"""One cell from the command line to its record: weights, journal and processes put together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from linbench.records import key_hash
from linbench.suites.accuracy.evaluation import Step, evaluate
from linbench.suites.accuracy.task import Task
from linbench.suites.runner.device import find_device
from linbench.suites.runner.journal import Journal
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell, Choices, Suite


@dataclass(frozen=True)
class Job:
    """max_bad: Skipped images and annotations that are allowed.  eval_batch: Images that are prepared ahead."""

    max_bad: int = 0
    eval_batch: int = 4


def journal_of(cell: Cell, record: Path) -> Journal:
    """The journal of a cell's evaluation, beside its record."""
    return Journal(record, {"key": key_hash(cell.key), "code": cell.code_hash, "torch": torch.__version__})


def steps(suite: Suite, cell: Cell, choices: Choices, record: Path, ranks: Ranks, job: Job) -> Iterator[Step]:
    """The evaluation of a cell, image by image; the record is in the last step of the first process.

    record: Where it will be.
    """
    assert suite.task is not None
    task = suite.task

    def build() -> Task[Any, Any]:
        return task(cell, choices, ranks.device(find_device(choices.device)))

    return evaluate(
        cell,
        build,
        journal_of(cell, record),
        ranks,
        max_bad=job.max_bad,
        ahead=job.eval_batch,
    )

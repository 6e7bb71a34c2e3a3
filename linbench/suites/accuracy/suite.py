"""An accuracy suite from its plan and its task; one cell from its options to its record."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch

from linbench.models.checkpoint import size_note
from linbench.records import key_hash
from linbench.suites.accuracy.cells import AccuracyPlan, cells, weights_of
from linbench.suites.accuracy.evaluation import evaluate
from linbench.suites.accuracy.key import AccuracyKey
from linbench.suites.accuracy.options import AccuracyOptions
from linbench.suites.accuracy.task import Task
from linbench.suites.runner.device import find_device
from linbench.suites.runner.journal import Journal
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell, Step, Suite

O = TypeVar("O", bound=AccuracyOptions)  # noqa: E741 - the letter of its word

#: Builds the evaluation of a key, with its model on a device; raises ValueError where the model cannot be built.
BuildTask: TypeAlias = Callable[[AccuracyKey, O, torch.device], Task[Any, Any]]


def accuracy_suite(
    plan: AccuracyPlan,
    options: type[O],
    build_task: BuildTask[O],
    named_by: tuple[str, ...],
    examples: tuple[str, ...] = (),
) -> Suite[O, AccuracyKey]:
    """Return the suite that plans its cells by ``plan`` and scores images by the task."""
    return Suite(
        options=options,
        key=AccuracyKey,
        cells=partial(cells, plan),
        evaluate=partial(steps, build_task),
        named_by=named_by,
        examples=examples,
    )


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
        yield replace(step, note=note)
        note = ""


def _size_note(key: AccuracyKey, options: AccuracyOptions) -> str:
    """Say that a cell's size is not the one that its weights were trained at; empty where it is."""
    weights = weights_of(key, options)
    trained = weights.about.image_size if weights.about else None
    return size_note(str(weights.file), trained, key.model.size)

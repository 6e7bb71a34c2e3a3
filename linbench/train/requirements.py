"""What a run needs before it begins: options that go together, datasets, a teacher; refused before any work.

All of it is known without opening a dataset, reading weights or building a model with memory.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from linbench.backbones import backbone as backbones
from linbench.data.contract import BadDataset, dataset
from linbench.data.indexed_dataset import dataset_dir
from linbench.data.roots import EMBEDDED, VARIABLE, list_splits, resolve_data
from linbench.models.gradient_checkpointing import checkpoint_blocks
from linbench.published.downloads import Download, downloads
from linbench.recipes.contract import Recipe, Source, Task, task
from linbench.recipes.examples import cannot_open
from linbench.recipes.teacher import RANDOM, check_teacher
from linbench.train.batches import BatchShard
from linbench.train.initial_state import check_initial
from linbench.train.log import require_tensorboard
from linbench.train.run import Run, TrainingOptions


@dataclass(frozen=True)
class Requirement:
    """A dataset's split or a teacher that a run reads.

    location: Its folder or file; empty where it was not found.
    images: Published; None for a teacher, and where that is unknown.
    gigabytes: Likewise.
    source: Who publishes it; empty where that is unknown.
    """

    name: str
    location: str
    images: int | None
    gigabytes: float | None
    source: str


def data_is_given(run: Run) -> bool:
    """Return whether ``--data`` or its variable says what to train on, were it the embedded dataset."""
    return bool(run.data or os.environ.get(VARIABLE))


def requirements(run: Run) -> list[Requirement]:
    """Return what the run reads: of the paper's data where no data is given, and nothing of the embedded dataset."""
    return [*_datasets(run), *_teacher(run)]


def _datasets(run: Run) -> Iterator[Requirement]:
    root = resolve_data(run.data)
    if root == EMBEDDED and (data_is_given(run) or run.recipe.scale == "smoke"):
        return
    present = {} if root == EMBEDDED else {(row.name, row.split): row for row in list_splits(root)}
    for source in run.recipe.sources:
        known, row = downloads().get((source.dataset, source.split)), present.get((source.dataset, source.split))
        if known or row:
            location = str(row.folder) if row and row.folder else ""
            yield _requirement(f"{source.dataset} {source.split}", location, known)


def _teacher(run: Run) -> Iterator[Requirement]:
    if not build_task(run.recipe).teacher:
        return
    name = getattr(run.recipe.settings, "teacher", RANDOM)
    if name != RANDOM:
        yield _requirement(f"teacher {name}", str(run.teacher or ""), downloads().get((name, "")))


def _requirement(name: str, location: str, known: Download | None) -> Requirement:
    if known is None:
        return Requirement(name, location, None, None, "")
    return Requirement(name, location, known.images, known.gigabytes, known.source)


def build_task(recipe: Recipe) -> Task:
    """Return the recipe's task."""
    built: Task = task[recipe.task].build(recipe)
    return built


def shaped_model(run: Run) -> nn.Module:
    """Return the run's model without memory for its weights. Raises UnknownName and ValueError."""
    with torch.device("meta"):
        return build_task(run.recipe).build(run.backbone, **run.options)


def refuse_impossible(runs: Sequence[Run], options: TrainingOptions, world_size: int = 1) -> None:
    """Raise ValueError or UnknownName for options that cannot be had together, of any stage."""
    backbones[runs[0].backbone]
    if options.tensorboard:
        require_tensorboard()
    for run in runs:
        _refuse_split(run, options, world_size)
        model = shaped_model(run)
        if options.gradient_checkpointing and not checkpoint_blocks(model):
            raise ValueError(
                f"--gradient-checkpointing: {run.backbone} has no repeated blocks whose activations could be "
                "recomputed"
            )


def _refuse_split(run: Run, options: TrainingOptions, world_size: int) -> None:
    """Refuse a split of the batch into micro-batches that the task cannot train on."""
    check = getattr(build_task(run.recipe), "check_micro_batch", None)
    keys = [(0, index) for index in range(run.recipe.batch)]
    for rank in range(world_size):
        shard = BatchShard(rank, world_size, options.micro_batch)
        counts = {len(part) for part in shard.micro_batches(keys, run.recipe.image_size**2)}
        for count in sorted(counts, reverse=True):
            if check:
                check(count)


def refuse_missing(runs: Sequence[Run]) -> None:
    """Raise ValueError for a dataset or a teacher that any stage lacks, and for initial weights of another model."""
    if runs[0].init:
        check_initial(runs[0].init, runs[0].backbone)
    for run in runs:
        if build_task(run.recipe).teacher:
            check_teacher(run.recipe, run.teacher)
        root = resolve_data(run.data)
        for source in run.recipe.sources:
            if root != EMBEDDED and source.dataset in dataset:
                _refuse_missing_dataset(run.recipe, source, Path(root).expanduser())


def _refuse_missing_dataset(recipe: Recipe, source: Source, root: Path) -> None:
    try:
        if not root.is_dir():
            raise BadDataset(
                f"{root}: no such folder; --data or {VARIABLE} names the folder of all datasets, or {EMBEDDED}"
            )
        dataset_dir(source.dataset, root, source.split)
    except BadDataset as error:
        raise cannot_open(recipe, source, error) from error

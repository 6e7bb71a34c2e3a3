"""The batches of a run, step by step: which images, in which order and on which rank.

What a step holds follows from (seed, step) alone: the epoch's order is cut into global batches, each rank takes its
shard of one, and loads the shard in micro-batches. An item follows from (seed, epoch, index), so neither the workers
nor their number have a state that a resumed run would miss.
"""

import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from linbench.data.contract import BadDataset
from linbench.recipes.contract import Batch, Key, Task, batch_hash, epoch_order
from linbench.system.affinity import unbind

#: Default pixels of a micro-batch: two images of 1024², forty of 224².
MICRO_BATCH_PIXELS = 2 * 1024**2
#: A step's hash is so many 32-bit words, each a sum over the items, so that it does not depend on the split.
HASH_WORDS = 4


@dataclass(frozen=True)
class BatchShard:
    """The part of each global batch that one rank trains on.

    rank: Of this process.
    world_size: Number of processes.
    micro_batch: Images of a micro-batch; None for ``default_micro_batch``.
    """

    rank: int = 0
    world_size: int = 1
    micro_batch: int | None = None

    def micro_batches(self, keys: Sequence[Key], pixels: int) -> list[list[Key]]:
        """Return this rank's keys of a global batch, in micro-batches.

        pixels: Of one image.
        Raises ValueError for more ranks than images.
        """
        if len(keys) < self.world_size:
            raise ValueError(
                f"batch={len(keys)}: {self.world_size} processes need at least one image each; start fewer"
            )
        # Mixup mixes neighbours, so pairs stay on one rank.
        in_pairs = len(keys) % 2 == 0 and len(keys) >= 2 * self.world_size
        unit = 2 if in_pairs else 1
        start, end = (unit * (len(keys) // unit * rank // self.world_size) for rank in (self.rank, self.rank + 1))
        end = end if self.rank + 1 < self.world_size else len(keys)
        size = self.micro_batch or default_micro_batch(pixels)
        return [list(keys[i : min(i + size, end)]) for i in range(start, end, size)]


def default_micro_batch(pixels: int) -> int:
    """Return how many images of ``pixels`` pixels fill MICRO_BATCH_PIXELS: an even number, or 1."""
    count = max(1, MICRO_BATCH_PIXELS // pixels)
    return count - count % 2 if count > 1 else 1


@dataclass(frozen=True)
class StepBatches:
    """What one rank computes in a step.

    index: Of the step, from 0.
    micro_batches: Ready for the loss.
    start_indices: The index, within the epoch, of each micro-batch's first image.
    hashes: HASH_WORDS words of 32 bits, summed over the items.
    """

    index: int
    micro_batches: tuple[Batch, ...]
    start_indices: tuple[int, ...]
    hashes: tuple[int, ...]

    @property
    def images(self) -> int:
        """The number of images of this rank."""
        return sum(len(batch["ids"]) for batch in self.micro_batches)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """The samples that were skipped: id and reason."""
        return [pair for batch in self.micro_batches for pair in batch["skipped"]]


def step_hash(words: Sequence[float]) -> str:
    """Return the hash of a step's items from their words, summed over all ranks."""
    return "".join(f"{int(word) % 2**32:08x}" for word in words)


class _HashedItems(Dataset[Any]):
    """Each item with its hash, computed in the worker; or the BadDataset that it raised."""

    def __init__(self, examples: Dataset[Batch]) -> None:
        self.examples = examples

    def __getitem__(self, key: Key) -> tuple[Batch, tuple[int, ...]] | BadDataset:
        try:
            item: Batch = self.examples[key]
        except BadDataset as error:
            return error  # raised in a worker, it would arrive as a traceback in text
        digest = hashlib.sha256(f"{key[0]},{key[1]},{batch_hash(item)}".encode()).digest()
        return item, tuple(int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(HASH_WORDS))


def _collate(task: Task, items: Sequence[Any]) -> tuple[Batch, tuple[int, ...]] | BadDataset:
    for item in items:
        if isinstance(item, BadDataset):
            return item
    examples, hashes = zip(*items, strict=True)
    return task.collate(examples), tuple(sum(words) for words in zip(*hashes, strict=True))


def _start_worker(_: int) -> None:
    """Ignore Ctrl-C, which the training process alone answers, and use every core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unbind()


@dataclass(frozen=True)
class BatchStream:
    """The data of a run, as a stream of steps.

    examples: The task's map-style dataset, with a length.
    shard: This rank's part.
    workers: Processes that load data; 0 loads in this one.
    pin_memory: Whether batches go to pinned memory, for a GPU.
    """

    task: Task
    examples: Any
    seed: int
    shard: BatchShard = BatchShard()
    workers: int = 0
    pin_memory: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch."""
        return len(self.examples) // self.task.recipe.batch

    def steps(self, first: int, end: int) -> Iterator[StepBatches]:
        """Yield the steps ``first`` to ``end``, without the last. Raises BadDataset."""
        loaded = iter(self._loader(first, end)) if first < end else iter(())
        for index in range(first, end):
            epoch, step = divmod(index, self.steps_per_epoch)
            batches, start_indices, hashes = [], [], (0,) * HASH_WORDS
            for keys in self._micro_batches(index):
                batch, words = _next(loaded)
                batches.append(self.task.mix(batch, seed=self.seed, epoch=epoch, step=step))
                start_indices.append(keys[0][1])
                hashes = tuple(a + b for a, b in zip(hashes, words, strict=True))
            yield StepBatches(index, tuple(batches), tuple(start_indices), hashes)

    def keys(self, index: int) -> list[Key]:
        """Return the keys of a step's global batch."""
        epoch, step = divmod(index, self.steps_per_epoch)
        size = self.task.recipe.batch
        return [(epoch, i) for i in _order(len(self.examples), self.seed, epoch)[step * size : (step + 1) * size]]

    def _micro_batches(self, index: int) -> list[list[Key]]:
        return self.shard.micro_batches(self.keys(index), self.task.recipe.image_size**2)

    def _loader(self, first: int, end: int) -> Any:
        return DataLoader(
            _HashedItems(self.examples),
            batch_sampler=_KeyBatches(lambda: (keys for i in range(first, end) for keys in self._micro_batches(i))),
            num_workers=self.workers,
            collate_fn=partial(_collate, self.task),
            worker_init_fn=_start_worker,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # otherwise the loader draws from the global generator
        )


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> list[int]:
    return epoch_order(count, seed, epoch)


@dataclass(frozen=True)
class _KeyBatches:
    """A batch sampler that starts a new iteration with each call of ``make``."""

    make: Callable[[], Iterable[list[Key]]]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.make())


def _next(batches: Iterator[Any]) -> Any:
    batch = next(batches)
    if isinstance(batch, BadDataset):
        raise batch
    return batch

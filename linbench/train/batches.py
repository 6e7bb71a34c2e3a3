"""The batches of a run, step by step: which images, in which order, on which process, and from which step on.

What a step holds follows from (seed, step) alone: the epoch's order is cut into global batches, a process takes its
share of each, and a share is loaded in micro-batches. An item follows from (seed, epoch, index), so that neither the
workers nor their number have a state that a resumed run would miss.
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
from linbench.recipes.contract import Batch, Key, Task, batch_hash, order
from linbench.system.affinity import unbind

#: Pixels of a micro-batch where none is given: two images of 1024², forty of 224².
MICRO_PIXELS = 2 * 1024**2
#: A step's hash is a sum over its items, so that it does not depend on the split: so many numbers of 32 bits.
WORDS = 4


@dataclass(frozen=True)
class Share:
    """How a global batch is split: this process's part, and the size of a micro-batch."""

    rank: int = 0
    processes: int = 1
    micro: int | None = None

    def cut(self, keys: Sequence[Key], pixels: int) -> list[list[Key]]:
        """This process's keys of a global batch, in micro-batches.

        pixels: Of one image. Raises ValueError where there are more processes than images.
        """
        if len(keys) < self.processes:
            raise ValueError(f"batch={len(keys)}: {self.processes} processes need an image each; start fewer")
        pairs = len(keys) % 2 == 0 and len(keys) >= 2 * self.processes  # neighbours are mixed, so they stay together
        unit = 2 if pairs else 1
        start, end = (unit * (len(keys) // unit * r // self.processes) for r in (self.rank, self.rank + 1))
        end = end if self.rank + 1 < self.processes else len(keys)
        size = self.micro or default_micro(pixels)
        return [list(keys[i : min(i + size, end)]) for i in range(start, end, size)]


def default_micro(pixels: int) -> int:
    """Images of a micro-batch, for images of so many pixels: an even number, or 1."""
    fit = max(1, MICRO_PIXELS // pixels)
    return fit - fit % 2 if fit > 1 else 1


@dataclass(frozen=True)
class Step:
    """What one process computes in a step.

    number: From 0.
    micro: Its batches, ready for the loss.
    firsts: The index, within the epoch's examples, of each batch's first image.
    hashes: Of its items, WORDS numbers of 32 bits summed.
    """

    number: int
    micro: tuple[Batch, ...]
    firsts: tuple[int, ...]
    hashes: tuple[int, ...]

    @property
    def images(self) -> int:
        """How many images this process has of the step."""
        return sum(len(batch["ids"]) for batch in self.micro)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Samples that were passed over: id and reason."""
        return [pair for batch in self.micro for pair in batch["skipped"]]


def step_hash(sums: Sequence[float]) -> str:
    """The hash of a step's items from their words, summed over all processes."""
    return "".join(f"{int(word) % 2**32:08x}" for word in sums)


class _Hashed(Dataset[Any]):
    """Each item with its hash, made in the worker; or the reason why there is none."""

    def __init__(self, examples: Dataset[Batch]) -> None:
        self.examples = examples

    def __getitem__(self, key: Key) -> tuple[Batch, tuple[int, ...]] | BadDataset:
        try:
            item: Batch = self.examples[key]
        except BadDataset as error:
            return error  # raised in a worker, it would come as a traceback in a text
        digest = hashlib.sha256(f"{key[0]},{key[1]},{batch_hash(item)}".encode()).digest()
        return item, tuple(int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(WORDS))


def _collate(task: Task, items: Sequence[Any]) -> tuple[Batch, tuple[int, ...]] | BadDataset:
    for item in items:
        if isinstance(item, BadDataset):
            return item
    examples, hashes = zip(*items, strict=True)
    return task.collate(examples), tuple(sum(words) for words in zip(*hashes, strict=True))


def _start_worker(_: int) -> None:
    """Ctrl-C goes to every process of the terminal; the training process alone answers it. Use every core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unbind()


@dataclass(frozen=True)
class Feed:
    """The data of a run, and how it is fed.

    examples: The task's, with a length.
    share: This process's part.
    workers: Processes that load; 0 loads in this one.
    pin: Whether batches are loaded to pinned memory, for a GPU.
    """

    task: Task
    examples: Any
    seed: int
    share: Share = Share()
    workers: int = 0
    pin: bool = False

    @property
    def steps_per_epoch(self) -> int:
        return len(self.examples) // self.task.recipe.batch

    def steps(self, first: int, end: int) -> Iterator[Step]:
        """Steps ``first`` to ``end``, without the last. Raises BadDataset."""
        loaded = iter(self._loader(first, end)) if first < end else iter(())
        for number in range(first, end):
            epoch, step = divmod(number, self.steps_per_epoch)
            micro, firsts, hashes = [], [], (0,) * WORDS
            for keys in self._cut(number):
                batch, words = _next(loaded)
                micro.append(self.task.mix(batch, seed=self.seed, epoch=epoch, step=step))
                firsts.append(keys[0][1])
                hashes = tuple(a + b for a, b in zip(hashes, words, strict=True))
            yield Step(number, tuple(micro), tuple(firsts), hashes)

    def keys(self, number: int) -> list[Key]:
        """The keys of the global batch of a step."""
        epoch, step = divmod(number, self.steps_per_epoch)
        size = self.task.recipe.batch
        return [(epoch, i) for i in _order(len(self.examples), self.seed, epoch)[step * size : (step + 1) * size]]

    def _cut(self, number: int) -> list[list[Key]]:
        return self.share.cut(self.keys(number), self.task.recipe.image_size**2)

    def _loader(self, first: int, end: int) -> Any:
        return DataLoader(
            _Hashed(self.examples),
            batch_sampler=_Lazily(lambda: (keys for number in range(first, end) for keys in self._cut(number))),
            num_workers=self.workers,
            collate_fn=partial(_collate, self.task),
            worker_init_fn=_start_worker,
            pin_memory=self.pin,
            generator=torch.Generator(),  # else the loader draws from the run's own
        )


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> list[int]:
    return order(count, seed, epoch)


@dataclass(frozen=True)
class _Lazily:
    """An iterable that is made anew each time."""

    make: Callable[[], Iterable[list[Key]]]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.make())


def _next(batches: Iterator[Any]) -> Any:
    found = next(batches)
    if isinstance(found, BadDataset):
        raise found
    return found

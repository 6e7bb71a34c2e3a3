"""Reading a data set once, from its first sample to its last: what is bad in it, and how much there is of what."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linbench.data.contract import BadSample, ClassSample, Dataset, Fault, InstanceSample, Sample, SemanticSample
from linbench.data.image import image_size
from linbench.data.listing import bad
from linbench.system.affinity import unbind

CHUNK = 16  # samples that a process takes at a time
WAITING = 4  # chunks for each process


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What one sample gave.

    size: Height and width in px; None where they could not be had.
    masks: How many there are; label maps count as one.
    """

    number: int
    faults: tuple[Fault, ...]
    size: tuple[int, int] | None
    masks: int


Inspect = Callable[[Dataset[Any], int], SampleReport]


def check_sample(dataset: Dataset[Any], number: int) -> SampleReport:
    """Read a sample whole: its picture and each of its masks."""
    sample = dataset[number]
    faults: list[Fault] = []
    size = None
    masks = 0
    try:
        height, width = sample.image().shape[:2]
        size = (height, width)
    except BadSample as error:
        faults.append(_fault(sample, error))
    try:
        if isinstance(sample, SemanticSample):
            masks = 1
            sample.labels()
        for instance in sample.instances() if isinstance(sample, InstanceSample) else ():
            masks += 1
            try:
                found = instance.mask()
                if size is not None and found.shape != size:
                    h, w = found.shape
                    raise bad(sample.file, f"{size[1]} x {size[0]} px, its mask {instance.id} {w} x {h} px")
                if not found.any():
                    raise bad(sample.file, f"the mask of its object {instance.id} has no pixel")
            except BadSample as error:
                faults.append(_fault(sample, error))
    except BadSample as error:
        faults.append(_fault(sample, error))
    return SampleReport(number, tuple(faults), size, masks)


def measure_sample(dataset: Dataset[Any], number: int) -> SampleReport:
    """Read of a sample what tells its size and how many masks it has; nothing is decoded where that is enough."""
    sample = dataset[number]
    masks = 0 if isinstance(sample, ClassSample) else 1
    try:
        if isinstance(sample, InstanceSample):
            masks = len(sample.instances())
        return SampleReport(number, (), _size(sample), masks)
    except BadSample as error:
        return SampleReport(number, (_fault(sample, error),), None, masks)


def inspect_samples(dataset: Dataset[Any], look: Inspect, workers: int) -> Iterator[list[SampleReport]]:
    """What ``look``, one of the two above, finds in every sample, in chunks in the data set's order.

    workers: Processes; 1 is this one.
    """
    chunks = [range(start, min(start + CHUNK, len(dataset))) for start in range(0, len(dataset), CHUNK)]
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield [_quietly(look, dataset, number) for number in chunk]
        return
    with ProcessPoolExecutor(min(workers, len(chunks)), initializer=_take, initargs=(dataset, look)) as pool:
        waiting: deque[Future[list[SampleReport]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_taken, chunk))
                if len(waiting) >= WAITING * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_given: list[tuple[Dataset[Any], Inspect]] = []  # of a worker process


def _take(dataset: Dataset[Any], look: Inspect) -> None:
    unbind()
    _given.append((dataset, look))


def _taken(chunk: range) -> list[SampleReport]:
    dataset, look = _given[0]
    return [_quietly(look, dataset, number) for number in chunk]


def _quietly(look: Inspect, dataset: Dataset[Any], number: int) -> SampleReport:
    with warnings.catch_warnings(action="ignore"):  # of files that are read all the same
        return look(dataset, number)


def _size(sample: Sample) -> tuple[int, int]:
    stated = sample.size if isinstance(sample, InstanceSample) else None
    if stated is not None:
        return stated
    if (path := Path(sample.file)).is_file():
        return image_size(path)
    height, width = sample.image().shape[:2]  # in a tar
    return height, width


def _fault(sample: Sample, error: BadSample) -> Fault:
    file, _, reason = str(error).partition(": ")
    return Fault(sample.id, file, reason) if reason else Fault(sample.id, sample.file, file)

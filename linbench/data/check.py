"""Read a whole dataset once and report its faults, the sizes of its images and the number of its masks."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linbench.data.contract import BadSample, ClassSample, Dataset, Instance, InstanceSample, Sample, SemanticSample
from linbench.data.image import image_size
from linbench.data.listing import bad
from linbench.system.affinity import unbind
from linbench.system.untrusted import Fault

CHUNK = 16  # samples that a process takes at a time
WAITING = 4  # chunks for each process


@dataclass(frozen=True, slots=True)
class SampleReport:
    """The result of reading a sample.

    size: Height and width in px; None where they cannot be read.
    masks: The number of masks; a label map counts as one.
    """

    index: int
    faults: tuple[Fault, ...]
    size: tuple[int, int] | None
    masks: int


Inspect = Callable[[Dataset[Any], int], SampleReport]


def check_sample(dataset: Dataset[Any], index: int) -> SampleReport:
    """Read a sample whole: its image and each of its masks."""
    sample = dataset[index]
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
                _check_mask(sample, instance, size)
            except BadSample as error:
                faults.append(_fault(sample, error))
    except BadSample as error:
        faults.append(_fault(sample, error))
    return SampleReport(index, tuple(faults), size, masks)


def _check_mask(sample: Sample, instance: Instance, size: tuple[int, int] | None) -> None:
    """Raise BadSample where a mask cannot be decoded, has another size than its image, or no pixel."""
    mask = instance.mask()
    if size is not None and mask.shape != size:
        h, w = mask.shape
        raise bad(sample.file, f"{size[1]} x {size[0]} px, its mask {instance.id} {w} x {h} px")
    if not mask.any():
        raise bad(sample.file, f"the mask of its object {instance.id} has no pixel")


def measure_sample(dataset: Dataset[Any], index: int) -> SampleReport:
    """Read a sample's size and number of masks; nothing is decoded where its annotation or header states them."""
    sample = dataset[index]
    masks = 0 if isinstance(sample, ClassSample) else 1
    try:
        if isinstance(sample, InstanceSample):
            masks = len(sample.instances())
        return SampleReport(index, (), _size(sample), masks)
    except BadSample as error:
        return SampleReport(index, (_fault(sample, error),), None, masks)


def inspect_samples(dataset: Dataset[Any], inspect: Inspect, workers: int) -> Iterator[list[SampleReport]]:
    """Yield the report of ``inspect``, one of the two above, for every sample, in chunks in the dataset's order.

    workers: Processes; 1 is this one.
    """
    chunks = [range(start, min(start + CHUNK, len(dataset))) for start in range(0, len(dataset), CHUNK)]
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield [_quietly(inspect, dataset, index) for index in chunk]
        return
    with ProcessPoolExecutor(
        min(workers, len(chunks)), initializer=_start_worker, initargs=(dataset, inspect)
    ) as pool:
        waiting: deque[Future[list[SampleReport]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_inspect_chunk, chunk))
                if len(waiting) >= WAITING * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_worker: list[tuple[Dataset[Any], Inspect]] = []  # what a worker process inspects


def _start_worker(dataset: Dataset[Any], inspect: Inspect) -> None:
    unbind()
    _worker.append((dataset, inspect))


def _inspect_chunk(chunk: range) -> list[SampleReport]:
    dataset, inspect = _worker[0]
    return [_quietly(inspect, dataset, index) for index in chunk]


def _quietly(inspect: Inspect, dataset: Dataset[Any], index: int) -> SampleReport:
    with warnings.catch_warnings(action="ignore"):  # they are about files that can be read
        return inspect(dataset, index)


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

"""What a reader builds on: the folder of its dataset, and the dataset that it returns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from linbench.data.contract import BadDataset, Sample, dataset
from linbench.data.listing import checksum
from linbench.system.untrusted import Fault, exists

S = TypeVar("S", bound=Sample)


@dataclass(frozen=True)
class IndexedDataset(Generic[S]):
    """The dataset that every reader returns: a count, and a function that makes one sample; see ``contract.Dataset``.

    make: Returns the sample of an index; it opens no file that belongs to the sample alone.
    count: The number of samples.
    content: Yields the bytes that the checksum covers.
    faults: Faults of annotations, from when the dataset was opened.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    facts: Mapping[str, Any]
    make: Callable[[int], S]
    count: int
    content: Callable[[], Iterable[bytes]]
    faults: tuple[Fault, ...] = ()

    @cached_property
    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of what identifies the content."""
        return checksum(self.content())

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> S:
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} has samples 0 to {self.count - 1}, not {index}")
        return self.make(index)


def dataset_dir(name: str, root: Path, split: str) -> Path:
    """Return the folder of a dataset: its own below ``root``, or ``root`` where that is the folder.

    A reader registers ``homes``, the names its folder may have, and ``needs(base, split)``, the files and folders
    that must be in it: the first shows which folder it is. Raises BadDataset, with the layout, where one is missing,
    and for a split that the dataset does not have.
    """
    facts = dataset[name].facts
    if split not in facts["splits"]:
        raise BadDataset(f"{facts['title']} has the split {' and '.join(facts['splits'])}, not {split!r}")
    bases = [root / folder for folder in (*facts["homes"], "")]
    base = next((base for base in bases if exists(facts["needs"](base, split)[0])), bases[0])
    for path in facts["needs"](base, split):
        if not exists(path):
            raise BadDataset(
                f"{facts['title']} ({split}): there is no {path}; expected below {root}: {_layout(facts)}"
            )
    return base


def _layout(facts: Mapping[str, Any]) -> str:
    return "; ".join(" ".join(line.split()) for line in facts["layout"].splitlines())

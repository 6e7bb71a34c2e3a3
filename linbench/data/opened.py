"""The data set that every reader returns: a count, and a function that makes one sample."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from linbench.data.contract import Fault, Sample
from linbench.data.listing import checksum

S = TypeVar("S", bound=Sample)


@dataclass(frozen=True)
class Opened(Generic[S]):
    """Samples by number; see ``contract.Dataset``.

    make: The sample of a number from 0 on; it opens no file that belongs to the sample alone.
    count: How many there are.
    content: Yields what the checksum is of.
    faults: What is wrong with annotations, as found while they were read.
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
        return checksum(self.content())

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> S:
        if not 0 <= number < self.count:
            raise IndexError(f"{self.name} has samples 0 to {self.count - 1}, not {number}")
        return self.make(number)

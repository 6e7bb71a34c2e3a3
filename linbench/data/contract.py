"""The contract of a dataset: samples by index, whose files are read only when they are needed.

    for i in range(len(dataset)):
        sample = dataset[i]
        image = sample.image()          # h w 3, uint8

A reader knows one published layout and yields one of the three kinds of sample below; recipes and suites do not
depend on the layout. Ids are unique within a dataset and the same on every machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from linbench.registry import Registry
from linbench.system.untrusted import Fault, plain

#: All datasets by name. ``@dataset("dis")`` adds a factory ``(root, split) -> Dataset``.
dataset = Registry("dataset", group="linbench.datasets")

IGNORED = 255  # a semantic label that counts nowhere


class BadSample(ValueError):
    """A sample that cannot be used; its text is one line that names the file and the reason."""

    def __str__(self) -> str:
        return plain(super().__str__())


@contextmanager
def as_bad_sample(source: str = "") -> Iterator[None]:
    """Turn a ValueError of the block into BadSample, which begins with ``source`` where that is given."""
    try:
        yield
    except BadSample:
        raise
    except ValueError as error:
        raise BadSample(f"{source}: {error}" if source else str(error)) from error


class BadDataset(ValueError):
    """A dataset that cannot be opened; its text names what is missing and the layout expected."""

    def __str__(self) -> str:
        return plain(super().__str__())


@dataclass(frozen=True)
class Sample:
    """One image of a dataset.

    id: Unique within the dataset, the same on every machine.
    file: The path of its image, for messages.
    image: Reads it, ``h w 3``, 0 to 255; raises BadSample.
    """

    id: str
    file: str
    image: Callable[[], NDArray[np.uint8]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", plain(self.id))
        object.__setattr__(self, "file", plain(self.file))


@dataclass(frozen=True)
class ClassSample(Sample):
    """An image of one class.

    label: Index of the class, in the order of the dataset's ``classes``.
    """

    label: int


@dataclass(frozen=True)
class SemanticSample(Sample):
    """An image with a class for each pixel.

    labels: Reads them, ``h w``, indices of classes, or IGNORED; raises BadSample.
    """

    labels: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Instance:
    """One object of an image.

    mask: Decodes the mask, ``h w`` at the size of the image; raises BadSample. Empty for an object below a pixel.
    grey: Decodes the grey values of a mask stored as such, ``h w``; above 128 is the mask; raises BadSample.
    box: Corners x0 y0 x1 y1 in px as the file states them, or None where it states none.
    category: Index of the class, in the order of the dataset's ``classes``; 0 where there is one class only.
    crowd: Whether it is a group of objects, which is used neither as a prompt nor as a target.
    area: In px as the file states it, or None.
    id: The annotation's id, as text.
    ignored: Whether COCO's ``ignore`` is set; boundary AP respects it, mask AP does not.
    """

    mask: Callable[[], NDArray[np.bool_]]
    box: tuple[float, float, float, float] | None = None
    category: int = 0
    crowd: bool = False
    area: float | None = None
    id: str = ""
    grey: Callable[[], NDArray[np.uint8]] | None = None
    ignored: bool = False


@dataclass(frozen=True)
class InstanceSample(Sample):
    """An image with objects.

    instances: Lists them, without decoding masks; raises BadSample.
    size: Height and width in px where the annotation states them, or None.
    """

    instances: Callable[[], tuple[Instance, ...]]
    size: tuple[int, int] | None = None


S = TypeVar("S", bound=Sample, covariant=True)


class Dataset(Protocol[S]):
    """Samples by index; a sample whose own annotation has a fault raises BadSample when it is read."""

    @property
    def name(self) -> str:
        """Its name in tables: ``DIS-VD``, ``COCO val2017``, ``shapes``."""
        ...

    @property
    def split(self) -> str:
        """``train`` or ``val``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by index; empty where there are none."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Other facts for suites, as JSON values.

        ``annotations`` is the annotation file of a COCO dataset; ``notes`` are lines about unusual entries that were
        read nevertheless.
        """
        ...

    @property
    def checksum(self) -> str:
        """SHA-256, in hexadecimal, over what identifies the content: annotations, names and sizes of files."""
        ...

    @property
    def faults(self) -> Sequence[Fault]:
        """The annotations that are left out, and why, as known when the dataset was opened.

        The files of single samples are not read for this.
        """
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> S: ...

"""What a data set is to the rest of linbench: samples by number, of which nothing is read before it is asked for.

    for i in range(len(dataset)):
        sample = dataset[i]
        image = sample.image()            # h w 3, uint8

A reader knows one published layout and lives in one file; what it yields is one of the three kinds below, so that
recipes and suites do not know where a sample is from. Ids are unique within a set and the same on every machine.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from linbench.registry import Registry

#: All data sets by name. ``@dataset("dis")`` adds a factory ``(root, split) -> Dataset``.
dataset = Registry("data set", group="linbench.datasets")

IGNORED = 255  # a semantic label that counts nowhere


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def plain(text: str) -> str:
    """Return text that any terminal and any UTF-8 file takes: control characters, and bytes of a name that are no
    UTF-8, become escapes such as ``\\n`` and ``\\udcff``."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class BadSample(ValueError):
    """A sample that cannot be used; its text is one line that names the file and the reason."""

    def __str__(self) -> str:
        return plain(super().__str__())


class BadDataset(ValueError):
    """A data set that cannot be opened; its text names what is missing and the layout expected."""

    def __str__(self) -> str:
        return plain(super().__str__())


@dataclass(frozen=True)
class Sample:
    """One picture of a data set.

    id: Unique within the set, the same on every machine.
    file: Where it is from, for messages.
    image: Reads it, ``h w 3``, 0 to 255; raises BadSample.
    """

    id: str
    file: str
    image: Callable[[], NDArray[np.uint8]]

    def __post_init__(self) -> None:
        _make_plain(self, "id", "file")


def _make_plain(frozen: object, *names: str) -> None:
    for name in names:
        object.__setattr__(frozen, name, plain(getattr(frozen, name)))


@dataclass(frozen=True)
class ClassSample(Sample):
    """A picture of one class.

    label: Index of the class, in the order of the data set's ``classes``.
    """

    label: int


@dataclass(frozen=True)
class SemanticSample(Sample):
    """A picture with a class for each pixel.

    labels: Reads them, ``h w``, indices of classes, or IGNORED; raises BadSample.
    """

    labels: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Instance:
    """One object of a picture.

    mask: Decodes it, ``h w`` at the size of the picture; raises BadSample. An object below a pixel has none.
    grey: Where the mask is stored as grey values, decodes those, ``h w``: above 128 is the mask; raises BadSample.
    box: Corners x0 y0 x1 y1 in px as the file states them, or None where it states none.
    category: Index of the class, in the order of the data set's ``classes``; 0 where there is one class only.
    crowd: Whether it stands for a group, which is no prompt and no target.
    area: In px as the file states it, or None.
    id: The annotation's own, as text.
    ignored: Whether COCO's ``ignore`` is set, which boundary AP heeds and mask AP does not.
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
    """A picture with objects.

    instances: Lists them, without decoding masks; raises BadSample.
    size: Height and width in px where the annotation states them, or None.
    """

    instances: Callable[[], tuple[Instance, ...]]
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Fault:
    """One bad file or annotation that reading or a check found."""

    id: str
    file: str
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_plain(self, "id", "file", "reason")


S = TypeVar("S", bound=Sample, covariant=True)


class Dataset(Protocol[S]):
    """Samples by number.

    name: As it is called in tables: ``DIS-VD``, ``COCO val2017``, ``shapes``.
    split: ``train`` or ``val``.
    classes: Names by index; empty where there are none.
    checksum: SHA-256, in hexadecimal, over what identifies the content (annotations, names and sizes of files).
    facts: Whatever else a suite must know, as JSON values; a COCO set's annotation file is under ``annotations``,
        and ``notes`` are lines on what was read although it is unusual.
    faults: What is wrong with annotations, as found when the set was opened; nothing of the samples' own files. An
        annotation with a fault is left out; a sample whose own entry has one raises BadSample.
    """

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    @property
    def checksum(self) -> str: ...

    @property
    def faults(self) -> Sequence[Fault]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> S: ...

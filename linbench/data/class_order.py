"""The order of class labels, from a list beside the images or from the names of the classes.

A wrong order raises no error: every label is valid, and top-1 accuracy falls to chance. So names decide the order
only where no other order is possible; otherwise a list is required.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from linbench.data.contract import BadDataset
from linbench.data.listing import lines_of
from linbench.system.untrusted import exists

#: Lists in the order of labels; the first that exists is used. A line of ``classes.txt`` is a name, a line of the
#: others a name and a description.
LISTS = ("classes.txt", "synset_words.txt", "LOC_synset_mapping.txt")
IMAGENET_CLASSES = 1000
WORDNET_ID = re.compile(r"n\d{8}")
MOST_CLASSES = 2**17  # ImageNet-21k has 21,841


def list_of_classes(base: Path) -> Path | None:
    """Return the list in a dataset's folder, if there is one."""
    return next((base / name for name in LISTS if exists(base / name)), None)


def listed_classes(file: Path) -> tuple[str, ...]:
    """Read the names of classes in a list, in the order of labels.

    Raises BadDataset where the list names a class twice, or fewer than two classes.
    """
    lines = [line.strip() for line in lines_of(file) if line.strip()]
    names = tuple(lines if file.name == "classes.txt" else [line.split()[0] for line in lines])
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadDataset(f"{file}: the class {name[:60]!r} is in it twice; each class has one label")
        seen.add(name)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise BadDataset(f"{file}: {len(names):,} classes; allowed are 2 to {MOST_CLASSES:,}")
    return names


def named_classes(names: Sequence[str], source: Path) -> tuple[str, ...]:
    """Return names of classes in the order of labels.

    Whole numbers are labels; WordNet ids and other text are sorted.
    source: The folder or list that the names are from.
    Raises BadDataset where another order is possible.
    """
    ordered = tuple(sorted(names))
    if len(ordered) < 2:
        raise BadDataset(
            f"{source}: {len(ordered)} class{'' if ordered else 'es'} ({''.join(ordered)[:60]}); {_HELP}"
        )
    for kind, matches in (("a whole number", is_number), ("a WordNet id", WORDNET_ID.fullmatch)):
        fitting = [name for name in ordered if matches(name)]
        if fitting and len(fitting) < len(ordered):
            other = next(name for name in ordered if not matches(name))
            raise BadDataset(f"{source}: the class {fitting[0][:60]} is {kind}, {other[:60]!r} is not; {_HELP}")
    if all(map(is_number, ordered)):
        return _numbered(ordered, source)
    if pair := _ambiguous_pair(ordered):
        first, second = (name[:60] for name in pair)
        raise BadDataset(f"{source}: as text the class {first!r} stands before {second!r}, by number after; {_HELP}")
    return ordered


_HELP = f"write {LISTS[0]} beside it, the name of a class in each line, in the order of labels from 0 on"


def _numbered(names: tuple[str, ...], source: Path) -> tuple[str, ...]:
    """Return whole numbers in their order; raises BadDataset where they are not 0, 1, 2, … in one way of writing."""
    ordered = tuple(sorted(names, key=int))
    is_padded = len({len(name) for name in ordered}) == 1
    zero_led = next((name for name in ordered if name != str(int(name))), None)
    if zero_led is not None and not is_padded:
        raise BadDataset(f"{source}: the class {zero_led[:60]} has a zero in front, others have none; {_HELP}")
    if [int(name) for name in ordered] != list(range(len(ordered))):
        raise BadDataset(
            f"{source}: {len(ordered):,} classes with numbers from {int(ordered[0])} to {int(ordered[-1])}, not 0 to "
            f"{len(ordered) - 1}: a number may be no label (ILSVRC's own 1 to 1000 are in another order); {_HELP}"
        )
    return ordered


def is_number(name: str) -> bool:
    """Return whether a name is a whole number that could be a label."""
    return name.isascii() and name.isdecimal() and len(name) <= 9


def _ambiguous_pair(names: tuple[str, ...]) -> tuple[str, str] | None:
    """Return two sorted neighbours that differ in numbers alone, which order them otherwise: class10 and class2."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub("[0-9]+", "0", name), []).append(name)
    pairs = (pair for group in groups.values() for pair in pairwise(group))
    return next(((a, b) for a, b in pairs if _numbers(a) > _numbers(b)), None)


def _numbers(name: str) -> list[tuple[int, str]]:
    digits = (number.lstrip("0") for number in re.findall("[0-9]+", name))
    return [(len(number), number) for number in digits]

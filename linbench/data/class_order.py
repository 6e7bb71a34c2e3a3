"""Which label a class has: as a list beside the images says, or as the names of the classes alone can say.

A wrong order is silent: each label is a valid one, and top-1 is that of chance. So an order is taken from names only
where they can be read in one way; all others need a list.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from linbench.data.contract import BadDataset
from linbench.data.listing import exists, lines_of

#: Lists in the order of labels, of which the first that is there counts: a name in each line of ``classes.txt``, a
#: name and a description in each line of the others.
LISTS = ("classes.txt", "synset_words.txt", "LOC_synset_mapping.txt")
IMAGENET_CLASSES = 1000
WORDNET_ID = re.compile(r"n\d{8}")
MOST_CLASSES = 2**17  # ImageNet-21k has 21,841


def list_of_classes(base: Path) -> Path | None:
    """The list in a set's folder, where there is one."""
    return next((base / name for name in LISTS if exists(base / name)), None)


def listed_classes(file: Path) -> tuple[str, ...]:
    """The names of classes in a list, in the order of labels.

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


def named_classes(names: Sequence[str], where: Path) -> tuple[str, ...]:
    """Names of classes in the order of labels: whole numbers are labels, WordNet ids and other text are sorted.

    where: The folder or list that the names are from.
    Raises BadDataset where another order is possible.
    """
    found = tuple(sorted(names))
    if len(found) < 2:
        raise BadDataset(f"{where}: {len(found)} class{'' if found else 'es'} ({''.join(found)[:60]}); {_HELP}")
    for kind, is_of in (("a whole number", is_number), ("a WordNet id", WORDNET_ID.fullmatch)):
        some = [name for name in found if is_of(name)]
        if some and len(some) < len(found):
            other = next(name for name in found if not is_of(name))
            raise BadDataset(f"{where}: the class {some[0][:60]} is {kind}, {other[:60]!r} is not; {_HELP}")
    if all(map(is_number, found)):
        return _numbered(found, where)
    if turned := _turned(found):
        first, second = (name[:60] for name in turned)
        raise BadDataset(f"{where}: as text the class {first!r} stands before {second!r}, by number after; {_HELP}")
    return found


_HELP = f"write {LISTS[0]} beside it, the name of a class in each line, in the order of labels from 0 on"


def _numbered(names: tuple[str, ...], where: Path) -> tuple[str, ...]:
    """Whole numbers in their order; raises BadDataset where they are not 0, 1, 2, … in one way of writing."""
    found = tuple(sorted(names, key=int))
    padded = len({len(name) for name in found}) == 1
    odd = next((name for name in found if name != str(int(name))), None)
    if odd is not None and not padded:
        raise BadDataset(f"{where}: the class {odd[:60]} has a zero in front, others have none; {_HELP}")
    if [int(name) for name in found] != list(range(len(found))):
        raise BadDataset(
            f"{where}: {len(found):,} classes with numbers from {int(found[0])} to {int(found[-1])}, not 0 to "
            f"{len(found) - 1}: a number may be no label (ILSVRC's own 1 to 1000 are in another order); {_HELP}"
        )
    return found


def is_number(name: str) -> bool:
    """Whether a name is a whole number that could be a label."""
    return name.isascii() and name.isdecimal() and len(name) <= 9


def _turned(names: tuple[str, ...]) -> tuple[str, str] | None:
    """Two neighbours of sorted names that differ in numbers alone, which turn them round: class10 and class2."""
    of: dict[str, list[str]] = {}
    for name in names:
        of.setdefault(re.sub("[0-9]+", "0", name), []).append(name)
    pairs = (pair for alike in of.values() for pair in pairwise(alike))
    return next(((a, b) for a, b in pairs if _numbers(a) > _numbers(b)), None)


def _numbers(name: str) -> list[tuple[int, str]]:
    digits = (found.lstrip("0") for found in re.findall("[0-9]+", name))
    return [(len(found), found) for found in digits]

"""Where a set lies below the root that holds all sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linbench.data.contract import BadDataset, dataset
from linbench.data.listing import exists


def home(name: str, root: Path, split: str) -> Path:
    """The folder of a set: its own below ``root``, or ``root`` where that is the folder.

    A reader registers ``homes``, the names its folder may have, and ``needs(base, split)``, the files and folders
    that must be in it: the first shows which folder it is. Raises BadDataset, with the layout, where one is missing,
    and for a split that the set has not.
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

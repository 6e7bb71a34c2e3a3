"""Where a set lies below the root that holds all sets."""

from collections.abc import Callable
from pathlib import Path

from linbench.data.contract import BadDataset, dataset


def home(name: str, root: Path, split: str, needed: Callable[[Path], Path]) -> Path:
    """What a split needs first, in the set's own folder below ``root``, or in ``root`` where that is the folder.

    needed: The file or folder that must be there, below the set's folder.
    Raises BadDataset, with the layout, where there is none, and for a split that the set has not.
    """
    facts = dataset[name].facts
    if split not in facts["splits"]:
        raise BadDataset(f"{facts['title']} has the splits {', '.join(facts['splits'])}, not {split!r}")
    tried = [needed(root / folder) for folder in (*facts["homes"], "")]
    for path in tried:
        if path.exists():
            return path
    layout = "; ".join(" ".join(line.split()) for line in facts["layout"].splitlines())
    raise BadDataset(f"{facts['title']} ({split}) is not below {root}: there is no {tried[0]}; expected is {layout}")

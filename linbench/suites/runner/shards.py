"""Parts of a plan for several machines: ``--shard 2/4`` runs the second of four.

Every cell is in exactly one shard. Cells that wait for the same search stay together, so that it runs once and all of
them are measured under the settings that it chose. The machine is left out of the order: shards that run on machines
of different names still make up the whole plan.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Entries of a key that differ between the machines that share a plan.
OF_MACHINE = ("device", "device_type", "threads")


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a plan; ``index`` runs from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def read_shard(text: str) -> Shard:
    """Return the shard that ``i/n`` means; raises ValueError."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if not match:
        raise ValueError(f"--shard {text}: write i/n, such as 1/4 for the first of four")
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count:
        last = max(count, 1)
        raise ValueError(f"--shard {text}: the first number runs from 1 to {last}, such as {last}/{last}")
    return Shard(index, count)


def cells_of_shard(planned: Sequence[tuple[str, Any]], shard: Shard) -> list[tuple[str, Any]]:
    """Return the cells of one shard, in the order of the plan.

    planned: The name of the suite and the ``Cell``.
    """
    groups: dict[str, list[int]] = {}
    for number, (_, cell) in enumerate(planned):
        search = cell.required_search
        groups.setdefault(_identity(search.record_key() if search else cell.key.to_json()), []).append(number)
    sizes = [0] * shard.count
    chosen: set[int] = set()
    for _, numbers in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(numbers)
        if smallest == shard.index - 1:
            chosen.update(numbers)
    return [entry for number, entry in enumerate(planned) if number in chosen]


def _identity(key: dict[str, Any]) -> str:
    """Return a key as text, without the machine."""
    return json.dumps({name: value for name, value in key.items() if name not in OF_MACHINE}, sort_keys=True)

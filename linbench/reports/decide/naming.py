"""How a comparison names its cells: the labels that differ between them, their order, and a cell on its own."""

from collections.abc import Sequence
from pathlib import Path

from linbench.reports.decide.comparable_cells import LABELS, ComparableCell
from linbench.reports.decide.compare import Comparison
from linbench.reports.latency.rows import SEARCHES

MOST_NAMED = 12
#: The labels that name a cell outside its table.
NAMING = (
    *("suite", "metric", "backbone", "op", "case", "direction", "part", "fusion", "size", "dataset", "dtype"),
    "preset",
)


def distinguishing(cells: Sequence[ComparableCell], comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the labels that differ between the lines, and a note with those that all share."""
    values = {name: list(dict.fromkeys(cell.labels[name] for cell in cells)) for name in LABELS}
    ignored: set[str] = set() if comparison.is_ranked else {"device", "threads"}
    if any(cell.labels["backbone"] in comparison.names for cell in cells):
        ignored |= {"backbone", "attention", "fusion", "options", "checkpoint", "fused"}
    if any(cell.labels["preset"] in SEARCHES for cell in cells):  # these differ only as each search chose its own
        ignored |= {"attention", "matmul", "allocator", "memory_format", "compile", "fused"}
        ignored |= {"engine", "engine_version"}
    names = [name for name, different in values.items() if len(different) > 1 and name not in ignored]
    shared = ", ".join(
        f"{name} {same[0]}" for name, same in values.items() if len(same) == 1 and same[0] not in ("", "none", "0")
    )
    return names, [f"All: {shared}."] if shared else []


def order(cell: ComparableCell, name: str) -> tuple[float, str]:
    """Return a sort key of a cell by one label: numbers by value, sizes by area, the rest by its text."""
    number = cell.key.get("height", 0) * cell.key.get("width", 0) if name == "size" else cell.key.get(name)
    return (number if isinstance(number, int) else 0, cell.labels[name])


def list_cells(title: str, cells: Sequence[ComparableCell]) -> str:
    """Return a note that counts and names cells."""
    names = list(dict.fromkeys(cell_name(cell) for cell in cells))
    hidden = len(names) - MOST_NAMED
    return f"{title} ({len(names)}): {'; '.join(names[:MOST_NAMED])}{f'; and {hidden} more' if hidden > 0 else ''}."


def cell_name(cell: ComparableCell) -> str:
    """Return the labels that name a cell outside its table."""
    left_out = "metric" if cell.is_timed else "suite"
    labels = [cell.labels[name] for name in NAMING if name != left_out]
    return " ".join(label for label in labels if label not in ("", "none"))


def side_names(first: Path, second: Path) -> tuple[str, str]:
    """Return names of two folders that differ, as short as they can be."""
    for names in ((first.name, second.name), (str(first), str(second))):
        if names[0] != names[1]:
            return names
    return "first", "second"

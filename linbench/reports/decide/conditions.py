"""The conditions that all cells of a recommendation must share, and the refusal to rank across them."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from linbench.reports.decide.comparable_cells import CHOSEN, ComparableCell
from linbench.reports.latency.rows import SEARCHES, VARIES

Size = tuple[int, int]  # height, width, px

#: Parts of a key that tell models apart and so are no condition; a score's device need not be that of the latency.
NO_CONDITION = {
    *VARIES,
    *(name for name in CHOSEN if name != "engine"),
    "impl",
    "checkpoint",
    "metric",
    "device_type",
    "box_checksum",
    "tf32",
}
NO_CONDITION_OF_SCORES = NO_CONDITION | {"threads", "dtype"}
FLAGS = {"part": "--part", "preset": "--preset", "dataset": "--dataset"}


class AmbiguousRequest(ValueError):
    """A request that must name more, or that the records cannot answer; its text tells what."""


def refuse_unknown(conditions: Mapping[str, str], cells: Sequence[ComparableCell]) -> None:
    """Raise AmbiguousRequest where a condition is no part of any key."""
    known = {name for cell in cells for name in cell.key}
    for name in conditions:
        if name not in known:
            near = get_close_matches(name, known, n=1) or sorted(known)
            raise AmbiguousRequest(f"--condition {name}: no record has it; nearest are {', '.join(near)}")


def select_device(cells: Sequence[ComparableCell], device: str | None) -> list[ComparableCell]:
    """Return the cells of one device, given by its name or a unique part of it; raise AmbiguousRequest."""
    names = sorted({cell.labels["device"] for cell in cells})
    matching = names if device is None else [name for name in names if device.lower() in name.lower()]
    if device in names:
        matching = [device]
    if len(matching) > 1:
        raise AmbiguousRequest(
            f"--device: name one, devices are never ranked together; there are {', '.join(matching)}"
        )
    if names and not matching:
        raise AmbiguousRequest(f"--device {device}: there are {', '.join(names)}")
    return [cell for cell in cells if cell.labels["device"] in matching]


def select(
    cells: Sequence[ComparableCell],
    sizes: Sequence[Size],
    conditions: Mapping[str, str],
    kind: str,
    required: set[str],
) -> tuple[list[ComparableCell], dict[str, str]]:
    """Return the cells of these sizes and conditions, and what they share; raise AmbiguousRequest where they differ.

    kind: "latencies" or "scores".
    required: Names of ``conditions`` that these cells must have; another name that they lack belongs to other cells.
    """
    selected = [cell for cell in cells if not sizes or (cell.key.get("height"), cell.key.get("width")) in sizes]
    if cells and not selected:
        raise AmbiguousRequest(f"--res: no {kind} of that size; there are {_values(cells, 'size')}")
    for name, value in conditions.items():
        having = [cell for cell in selected if name in cell.key]
        if selected and not having and name in required:
            raise AmbiguousRequest(f"{_flag(name, value)}: these {kind} have no {name}")
        matching = [cell for cell in having if str(cell.key[name]) == value]
        if having and not matching:
            raise AmbiguousRequest(f"{_flag(name, value)}: no such {kind}; there are {_values(having, name)}")
        selected = matching if having else selected
    newest = max((int(cell.key.get("suite_version", 0)) for cell in selected), default=0)
    selected = [cell for cell in selected if cell.key.get("suite_version", 0) == newest]
    return selected, _shared_conditions(selected, kind)


def _shared_conditions(cells: Sequence[ComparableCell], kind: str) -> dict[str, str]:
    ignored = NO_CONDITION_OF_SCORES if kind == "scores" else NO_CONDITION
    shared: dict[str, str] = {}
    for name in dict.fromkeys(name for cell in cells for name in cell.key if name not in ignored):
        values = list(dict.fromkeys(_condition(cell, name) for cell in cells))
        if len(values) > 1:
            example = "" if name in FLAGS else f", as {_flag(name, values[0])}"
            raise AmbiguousRequest(
                f"{FLAGS.get(name, '--condition')}: the {kind} differ in {name}, so they are not ranked together; "
                f"name one of {', '.join(values)}{example}"
            )
        shared[name] = values[0]
    return shared


def _condition(cell: ComparableCell, name: str) -> str:
    """Return a condition of a cell; the engine is none where a search chose it, among other settings."""
    is_chosen = name == "engine" and cell.key.get("preset") in SEARCHES
    return "chosen by search" if is_chosen else str(cell.key.get(name, "none"))


def _values(cells: Sequence[ComparableCell], name: str) -> str:
    ordered = sorted(cells, key=lambda cell: cell.key.get("height", 0) * cell.key.get("width", 0))
    return ", ".join(dict.fromkeys(cell.labels.get(name) or str(cell.key.get(name)) for cell in ordered))


def _flag(name: str, value: str) -> str:
    return f"{FLAGS[name]} {value}" if name in FLAGS else f"--condition {name}={value}"

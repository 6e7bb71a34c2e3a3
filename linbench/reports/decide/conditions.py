"""What all candidates of a choice must share, and the refusal to choose across it."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from linbench.reports.decide.comparable_cells import FOUND, Cell
from linbench.reports.latency.rows import VARIES

Size = tuple[int, int]  # height, width, px

#: What tells candidates apart, and so is no condition; a score's device need not be that of the latency.
OWN = {*VARIES, *FOUND, "impl", "checkpoint", "metric", "device_type", "box_checksum", "tf32"}
OF_SCORES = {"threads", "dtype"}
FLAGS = {"part": "--part", "preset": "--preset", "dataset": "--dataset"}


class Unclear(ValueError):
    """A question that must say more, or that the records cannot answer; its text says what."""


def refuse_unknown(asked: Mapping[str, str], cells: Sequence[Cell]) -> None:
    """Raise Unclear where a condition is no part of any key."""
    known = {name for cell in cells for name in cell.key}
    for name in asked:
        if name not in known:
            near = get_close_matches(name, known, n=1) or sorted(known)
            raise Unclear(f"--condition {name}: no record has that; nearest are {', '.join(near)}")


def one_device(cells: Sequence[Cell], asked: str | None) -> list[Cell]:
    """The cells of the device that is meant, by its name or a part that only its name has; raises Unclear."""
    names = sorted({cell.names["device"] for cell in cells})
    fitting = names if asked is None else [name for name in names if asked.lower() in name.lower()]
    if asked in names:
        fitting = [asked]
    if len(fitting) > 1:
        raise Unclear(f"--device: name one, devices are never ranked together; there are {', '.join(fitting)}")
    if names and not fitting:
        raise Unclear(f"--device {asked}: there are {', '.join(names)}")
    return [cell for cell in cells if cell.names["device"] in fitting]


def narrowed(
    cells: Sequence[Cell], sizes: Sequence[Size], asked: Mapping[str, str], what: str, strict: set[str]
) -> tuple[list[Cell], dict[str, str]]:
    """The cells of these sizes and values, and what all of them share; raises Unclear where they share too little.

    what: The cells in a word, for the refusal.
    strict: Names of ``asked`` that these cells must have; another name that they lack is a condition of others.
    """
    left = [cell for cell in cells if not sizes or (cell.key.get("height"), cell.key.get("width")) in sizes]
    if cells and not left:
        raise Unclear(f"--res: no {what} of that size; there are {_listed(cells, 'size')}")
    for name, value in asked.items():
        known = [cell for cell in left if name in cell.key]
        if left and not known and name in strict:
            raise Unclear(f"{_flag(name, value)}: these {what} have no {name}")
        kept = [cell for cell in known if str(cell.key[name]) == value]
        if known and not kept:
            raise Unclear(f"{_flag(name, value)}: no {what} of that; there are {_listed(known, name)}")
        left = kept if known else left
    newest = max((int(cell.key.get("suite_version", 0)) for cell in left), default=0)
    left = [cell for cell in left if cell.key.get("suite_version", 0) == newest]
    conditions = _conditions(left, OWN | OF_SCORES if what == "scores" else OWN)
    for name, values in conditions.items():
        if len(values) > 1:
            flag = FLAGS.get(name, "--condition")
            asking = f"{flag}: the {what} differ in {name}, so they are not ranked together; name one of "
            raise Unclear(asking + ", ".join(values) + ("" if name in FLAGS else f", as {_flag(name, values[0])}"))
    return left, {name: values[0] for name, values in conditions.items()}


def _conditions(cells: Sequence[Cell], own: set[str]) -> dict[str, list[str]]:
    """The values of each part of the keys that is a condition."""
    names = dict.fromkeys(name for cell in cells for name in cell.key if name not in own)
    return {name: list(dict.fromkeys(str(cell.key.get(name, "none")) for cell in cells)) for name in names}


def _listed(cells: Sequence[Cell], name: str) -> str:
    ordered = sorted(cells, key=lambda cell: cell.key.get("height", 0) * cell.key.get("width", 0))
    return ", ".join(dict.fromkeys(cell.names.get(name) or str(cell.key.get(name)) for cell in ordered))


def _flag(name: str, value: str) -> str:
    return f"{FLAGS[name]} {value}" if name in FLAGS else f"--condition {name}={value}"

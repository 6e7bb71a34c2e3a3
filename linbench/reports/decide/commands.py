"""The commands that measure what a recommendation or a comparison lacks."""

from collections.abc import Iterable, Mapping

from linbench.reports.decide.comparable_cells import ComparableCell


def with_resolutions(commands: Iterable[tuple[str, str]], folder: str = "") -> list[str]:
    """Return each command once, with all its resolutions; a kernel has none.

    commands: With the label of a size, such as ``1024²``.
    folder: Of the records, where it is not the default.
    """
    sizes: dict[str, set[str]] = {}
    for command, size in commands:
        sizes.setdefault(command, set()).add(size.rstrip("²").replace("×", "x"))
    results = f" --results {folder}" if folder else ""
    return [
        command + (f" --res {','.join(sorted(at, key=lambda size: (len(size), size)))}" if any(at) else "") + results
        for command, at in sizes.items()
    ]


def again(cells: Iterable[ComparableCell], folder: str = "") -> list[str]:
    """Return the commands that measure the times in doubt again."""
    doubtful = {id(cell): cell for cell in cells if cell.doubt}.values()
    return with_resolutions([(_again(cell), cell.labels["size"]) for cell in doubtful], folder)


def _again(cell: ComparableCell) -> str:
    if "op" not in cell.key:
        return timing(cell, cell.labels)
    names = [f" --{name} {cell.labels[name]}" for name in ("op", "case", "direction", "dtype") if cell.labels[name]]
    redo = _redo(cell)
    return f"linbench run --suite kernels{''.join(names)}{f' --redo {redo}' if redo else ''}"


def timing(cell: ComparableCell, conditions: Mapping[str, str]) -> str:
    """Return the command that measures the latency or throughput of a cell's model, again where it is measured.

    conditions: Of the times, by the names of a key; ``suite`` among them.
    """
    key = cell.key
    suite = conditions.get("suite", "latency")
    part = conditions.get("part", "backbone")
    options = f" --part {part}" if part != "backbone" else ""
    options += f" --fusion {key['fusion']}" if part in ("decoder", "end-to-end") and key["fusion"] != "none" else ""
    options += f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    options += f" --prompts {key['prompts']}" if key.get("prompts", 0) > 1 else ""
    options += f" --redo {redo}" if (redo := _redo(cell)) else ""
    command = "linbench run" + (f" --suite {suite}" if suite != "latency" else "")
    return f"{command} --backbone {key['backbone']} --preset {conditions.get('preset', 'best')}{options}"


def _redo(cell: ComparableCell) -> str:
    """Return the kind of records that ``linbench run`` must measure anew; empty where it adds the missing rounds."""
    if cell.quality is None:
        return ""
    if cell.quality.is_disturbed or cell.quality.is_throttled:
        return "disturbed"
    return "stale" if cell.is_stale else ""


def scoring(metric: str, latency: ComparableCell | None = None) -> str:
    """Return the command that measures a score, of the model of a latency."""
    suite = metric.partition("_")[0]
    if latency is None:
        return f"linbench run --suite {suite} --checkpoint CHECKPOINT --data DATA"
    key = latency.key
    options = f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    return f"linbench run --suite {suite} --backbone {key['backbone']} --checkpoint CHECKPOINT --data DATA{options}"

"""Tables of a profile: the tree of modules, and operators over all modules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from linbench.reports.profile.kinds import kind_of
from linbench.reports.profile.summary import in_ms, notes, title
from linbench.reports.profile.tree import Node, Work, grouped, joined, operator_works, read_tree
from linbench.reports.render.plain_text import clip
from linbench.reports.render.table import MISSING, Table

MODULE_HEADS = ("module", "ms", "%", "own\n%", "GFLOP", "GB", "roof\n%", "peak\nMiB")
OPERATOR_HEADS = ("operator", "n", "ms", "%", "GFLOP", "GB", "rate", "roof\n%")
LONGEST = {"module": 25, "operator": 23}  # characters, so that a table fits 80 columns
INDENT = "· "
OUTSIDE = "outside modules"
OVERHEAD = "Python, dispatch"
LEAST = 0.0005  # of the whole: operators below are one row


def module_table(document: Mapping[str, Any], depth: int | None, expand: bool) -> Table:
    """Return the tree of modules, down to ``depth`` levels below the model; None means all.

    expand: Whether repeated blocks and containers have rows of their own, so that each module has exactly one.
    """
    root = read_tree(document)
    root = root if expand else grouped(root)
    whole = document["whole_ms"]
    rows = [_module_row(level, node, whole) for level, node in root.walk() if depth is None or level <= depth]
    outside = _cells(document["outside_ms"], whole)
    rows.append((OUTSIDE, *outside, *[MISSING] * 5))
    remark = "Indented rows are part of the row above; own: without them."
    idle = "" if expand else _idle(document)
    return Table(title(document), MODULE_HEADS, tuple(rows), (remark + idle, *notes(document)))


def _idle(document: Mapping[str, Any]) -> str:
    """Return how many modules the joined rows leave out."""
    count = sum(not node.children and not node.has_run for _, node in read_tree(document).walk())
    return f" Modules that never ran by themselves are left out ({count}); --expand shows all." if count else ""


def _module_row(level: int, node: Node, whole: float) -> tuple[str, ...]:
    total = node.total
    return (
        clip(INDENT * level + node.label, LONGEST["module"]),
        *(_cells(total.ms, whole) if node.has_run else (MISSING, MISSING)),
        _percent(node.own.ms, whole) if node.has_run else MISSING,
        *_work(total),
        _percent(total.ideal_ms, total.ms) if total.ideal_ms else MISSING,
        MISSING if node.peak_bytes is None else f"{node.peak_bytes / 2**20:.1f}",
    )


def operator_table(document: Mapping[str, Any]) -> Table:
    """Return the operators over all modules, the longest first."""
    whole = document["whole_ms"]
    operators = joined(operator_works(document).values())
    ranked = sorted(operators.items(), key=lambda entry: (-entry[1].ms, entry[0]))
    shown = [(name, work) for name, work in ranked if work.ms >= LEAST * whole]
    rest = [work for name, work in ranked if work.ms < LEAST * whole]
    if rest:
        shown.append((f"{len(rest)} others", joined({"": work} for work in rest)[""]))
    rows = [_operator_row(name, work, whole, document["rates"]) for name, work in shown]
    between = whole - sum(work.ms for work in operators.values())
    rows.append((OVERHEAD, MISSING, *_cells(between, whole), *[MISSING] * 4))
    remark = "n: calls in one forward; rate: of FLOPs or of bytes, whichever bound the roofline sets."
    return Table(title(document), OPERATOR_HEADS, tuple(rows), (remark, *notes(document)))


def _operator_row(name: str, work: Work, whole: float, rates: Mapping[str, float]) -> tuple[str, ...]:
    return (
        clip(name.removeprefix("aten::").removeprefix("linbench::"), LONGEST["operator"]),
        str(work.calls),
        *_cells(work.ms, whole),
        *_work(work),
        _rate(work, rates),
        _percent(work.ideal_ms, work.ms) if work.ideal_ms else MISSING,
    )


def _rate(work: Work, rates: Mapping[str, float]) -> str:
    """Return the rate that the roofline bounds: FLOP/s above the ridge, B/s below it."""
    if not work.ms or not (work.flops or work.bytes):
        return MISSING
    if work.flops / rates["flops_per_s"] >= work.bytes / rates["bytes_per_s"]:
        return f"{work.flops / work.ms / 1e6:.3g} GFLOP/s"
    return f"{work.bytes / work.ms / 1e6:.3g} GB/s"


def _cells(ms: float, whole: float) -> tuple[str, str]:
    return in_ms(ms), _percent(ms, whole)


def _work(work: Work) -> tuple[str, str]:
    return _giga(work.flops), _giga(work.bytes)


def _giga(value: int) -> str:
    giga = value / 1e9
    if 0 < giga < 0.0005:
        return "<.001"
    digits = 0 if giga >= 100 else 1 if giga >= 10 else 2 if giga >= 1 else 3
    return f"{giga:.{digits}f}" if value else MISSING


def _percent(ms: float, whole: float) -> str:
    return f"{100 * ms / whole:.1f}" if whole else MISSING


def module_frame(document: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each module, by its whole name; times in ms."""
    root = replace(read_tree(document), label="")
    return pd.DataFrame(_records(root, "", document["whole_ms"]))


def _records(node: Node, above: str, whole: float) -> Sequence[Mapping[str, Any]]:
    name = f"{above}.{node.label}" if above else node.label
    row = {
        "module": name,
        "type": node.type,
        "calls": node.calls,
        "ms": node.total.ms,
        "own_ms": node.own.ms,
        "fraction": node.total.ms / whole,
        **_amounts(node.total),
        "parameters": sum(part.parameters for _, part in node.walk()),
        "peak_bytes": node.peak_bytes,
    }
    return [row, *(record for child in node.children for record in _records(child, name, whole))]


def operator_frame(document: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each operator over all modules, the longest first; times in ms."""
    operators = joined(operator_works(document).values())
    ranked = sorted(operators.items(), key=lambda entry: (-entry[1].ms, entry[0]))
    return pd.DataFrame(
        {
            "operator": name,
            "kind": str(kind_of(name)),
            "calls": work.calls,
            "ms": work.ms,
            "fraction": work.ms / document["whole_ms"],
            **_amounts(work),
        }
        for name, work in ranked
    )


def _amounts(work: Work) -> Mapping[str, Any]:
    """Return FLOPs, bytes, their rates per second, and the roofline's least time as a fraction of the time."""
    seconds = work.ms / 1e3
    return {
        "flops": work.flops,
        "bytes": work.bytes,
        "flops_per_s": work.flops / seconds if seconds else None,
        "bytes_per_s": work.bytes / seconds if seconds else None,
        "roofline_fraction": work.ideal_ms / work.ms if work.ms else None,
    }

"""Figure 1: rate against accuracy, parameters as area: the numbers of Table 3, quoted and measured apart."""

import math
from dataclasses import dataclass, replace

from linbench.reports.paper import faults, table3
from linbench.reports.paper.cell import Cell
from linbench.reports.paper.evidence import Evidence
from linbench.reports.paper.layout import Column, PaperTable

ACCURACY = "DIS mIoU"
MOST = 5  # panels beside the quoted one
SHOWN = ("#Param", "FPS", ACCURACY)
FAULTS = (
    faults.NECK_COUNT,
    faults.VIM_COUNT,
    faults.VRWKV_COUNT,
    faults.UNSAID_RATE,
    faults.OTHER_DEVICE,
    faults.MIXED_SAM,
    faults.PROTOCOLS,
)


@dataclass(frozen=True)
class Point:
    """A method: its rate, accuracy and parameters with what is known of their intervals."""

    method: str
    fps: float
    fps_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]
    parameters: float


@dataclass(frozen=True)
class Panel:
    """Points that may be compared.

    lacking: Methods that have no point, and what they lack.
    """

    head: str
    quoted: bool
    points: tuple[Point, ...]
    lacking: tuple[str, ...] = ()


def build(evidence: Evidence) -> PaperTable:
    """The numbers of the picture, quoted and measured."""
    whole = table3.build(evidence)
    shown = tuple(column for column in whole.columns if " ".join(column.head.split()).startswith(SHOWN))
    return replace(
        whole,
        name="figure-1",
        title="Figure 1, right: rate against accuracy, with parameters",
        columns=shown,
        faults=FAULTS,
    )


def panels(evidence: Evidence) -> list[Panel]:
    """The paper's points, and a panel for each rate that was measured under its own conditions, as many as fit.

    Panels without a point are left out where others have some.
    """
    table = table3.build(evidence)
    size = _column(table, "#Param alike")
    accuracy = _column(table, ACCURACY)
    quoted = [
        Point(
            row,
            _quoted(_column(table, "FPS").cells[row]),
            (math.nan, math.nan),
            _quoted(accuracy.cells[row]),
            (math.nan, math.nan),
            _quoted(_column(table, "#Param").cells[row]),
        )
        for row in table.rows
    ]
    found = [Panel("quoted, A100", True, tuple(quoted))]
    rates = (column for column in table.columns if column.head.startswith("FPS"))
    known = (column for column in rates if any(_ok(cell) for cell in column.cells.values()))
    measured = [_measured(table, rate, accuracy, size, evidence.device) for rate in known]
    return [*found, *([panel for panel in measured if panel.points] or measured)[:MOST]]


def _measured(table: PaperTable, rate: Column, accuracy: Column, size: Column, device: str) -> Panel:
    points, lacking = [], []
    for row in table.rows:
        parts = {"rate": rate.cells[row], "accuracy": accuracy.cells[row], "parameters": size.cells[row]}
        missing = [name for name, cell in parts.items() if not _ok(cell)]
        if missing:
            lacking.append(f"{row} ({', '.join(missing)})")
            continue
        fps, score, count = (cell.measured for cell in parts.values())
        assert fps and score and count, "what is ok was measured"
        points.append(Point(row, fps.value, (fps.low, fps.high), score.value, (score.low, score.high), count.value))
    words = rate.head.split("\n")[1:]
    return Panel(f"measured, {device}, {', '.join(words)}", False, tuple(points), tuple(lacking))


def _column(table: PaperTable, head: str) -> Column:
    return next(column for column in table.columns if " ".join(column.head.split()).startswith(head))


def _ok(cell: Cell) -> bool:
    return cell.measured is not None and cell.measured.status == "ok"


def _quoted(cell: Cell) -> float:
    assert cell.quoted is not None, "Table 3 has no gaps"
    return cell.quoted.value

"""The marks of the numbers in a comparison or a recommendation, their meaning, and the qualities as plain values."""

import math
from collections.abc import Iterable
from typing import Any

from linbench.records import as_number
from linbench.reports.decide.comparable_cells import ComparableCell
from linbench.reports.decide.speed import LATENCY, Speed
from linbench.reports.latency.rows import significant
from linbench.reports.statistics import quality
from linbench.reports.statistics.latency_summary import FEWEST_ROUNDS

DOUBTFUL = (quality.FEW_ROUNDS, quality.DISTURBED, quality.THROTTLED)
FEW_IMAGES = "ᵇ"
FEWEST_IMAGES = 30  # of a score without a mark


def marks(cell: ComparableCell) -> tuple[str, str]:
    """Return the marks before and after the number of a cell; empty where it has none."""
    if cell.quality is not None:
        return cell.quality.prefix, cell.quality.suffix
    if cell.is_timed or math.isnan(cell.value):
        return "", ""
    has_few_images = as_number(cell.key.get("images")) < FEWEST_IMAGES
    return "", FEW_IMAGES * has_few_images + quality.STALE * cell.is_stale


def format_value(cell: ComparableCell, unit: str = "", speed: Speed = LATENCY) -> str:
    """Return the number of a cell with its unit between its marks; the status where there is none.

    speed: As what a time is shown.
    """
    if math.isnan(cell.estimate):
        return cell.status
    before, after = marks(cell)
    number = significant(speed.value(cell)) if cell.is_timed else f"{cell.estimate:.2f}"
    return f"{before}{number}{unit and ' ' + unit}{after}"


def meanings(cells: Iterable[ComparableCell]) -> dict[str, str]:
    """Return the meaning of each mark on the numbers of ``cells``."""
    known = list(cells)
    present = {mark for cell in known for mark in "".join(marks(cell))}
    most = max(
        (cell.quality.others_share for cell in known if cell.quality and cell.quality.is_disturbed), default=0.0
    )
    texts = {
        quality.NOT_CONVERGED: "not converged: time ran out before the interval was within ±1 %",
        quality.FEW_ROUNDS: f"fewer than {FEWEST_ROUNDS} rounds",
        quality.DISTURBED: f"disturbed by other programs (up to {100 * most:.0f} % of the cores)",
        quality.THROTTLED: "the device throttled",
        FEW_IMAGES: f"fewer than {FEWEST_IMAGES} images",
        quality.STALE: "stale: the code that measured it has changed since",
    }
    return {mark: text for mark, text in texts.items() if mark in present}


def notes(cells: Iterable[ComparableCell]) -> list[str]:
    """Explain the marks on the numbers of ``cells``."""
    return [f"{mark} {meaning}." for mark, meaning in meanings(cells).items()]


def doubts(cells: Iterable[ComparableCell]) -> dict[str, str]:
    """Return the marks of ``cells`` that forbid to derive anything from a time, and their meanings."""
    return {mark: meaning for mark, meaning in meanings(cells).items() if mark in DOUBTFUL}


def headline(cells: Iterable[ComparableCell], noun: str = LATENCY.noun) -> str:
    """Return the warning that stands above all; empty where no time is disturbed."""
    return quality.headline((cell.quality for cell in cells if cell.quality), noun)


def as_json(cell: ComparableCell) -> dict[str, Any]:
    """Return the marks of a cell and the quality behind them as plain values."""
    values: dict[str, Any] = {"marks": "".join(marks(cell)), "stale": cell.is_stale}
    if cell.quality is None:
        return values
    others = cell.quality.others_share
    return {
        **values,
        "rounds": cell.quality.rounds,
        "others_share": None if math.isnan(others) else others,
        "converged": cell.quality.is_converged,
        "throttled": cell.quality.is_throttled,
        "doubt": cell.doubt,
    }

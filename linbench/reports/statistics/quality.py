"""What a measured time may support: its marks, and why nothing is derived from it (docs/measurement.md, 22 and 23).

A derived statement (an exponent, a crossover, a ratio, a ranking, a choice, "faster than") is made only where every
time behind it has ``FEWEST_ROUNDS`` undisturbed rounds. Elsewhere its reason stands, ``Quality.doubt``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from linbench.records import MOST_BY_OTHERS as MOST_BY_OTHERS  # for those that show it
from linbench.reports.statistics.latency_summary import FEWEST_ROUNDS

NOT_CONVERGED = "~"
FEW_ROUNDS = "ᵃ"
DISTURBED = "‡"
THROTTLED = "§"
STALE = "†"
#: The columns of a row that ``quality`` reads; frames of sixty columns are slow to turn into rows.
COLUMNS = ("rounds", "others_share", "converged", "throttled", "stale")


@dataclass(frozen=True)
class Quality:
    """How well one cell was measured.

    rounds: Fresh processes.
    others_share: What other programs used of the cores in the most disturbed round that counts, 0 to 1; NaN where
        the system does not tell.
    """

    rounds: int
    others_share: float = math.nan
    is_converged: bool = True
    is_throttled: bool = False
    is_stale: bool = False

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs used more than ``MOST_BY_OTHERS``; False where that is unknown."""
        return self.others_share > MOST_BY_OTHERS

    @property
    def has_few_rounds(self) -> bool:
        """Whether there are fewer than ``FEWEST_ROUNDS``: nothing is known of how processes differ."""
        return self.rounds < FEWEST_ROUNDS

    @property
    def doubt(self) -> str:
        """Why nothing may be derived from the time, in a few words; empty where it may."""
        if self.is_disturbed:
            return f"disturbed by other programs (up to {100 * self.others_share:.0f} % of the cores)"
        if self.is_throttled:
            return "the device throttled"
        return f"fewer than {FEWEST_ROUNDS} rounds" if self.has_few_rounds else ""

    @property
    def prefix(self) -> str:
        """The mark before the number."""
        return "" if self.is_converged else NOT_CONVERGED

    @property
    def suffix(self) -> str:
        """The marks after the number and its unit."""
        marks = {
            FEW_ROUNDS: self.has_few_rounds,
            DISTURBED: self.is_disturbed,
            THROTTLED: self.is_throttled,
            STALE: self.is_stale,
        }
        return "".join(mark for mark, is_set in marks.items() if is_set)


def quality(row: Mapping[Any, Any]) -> Quality:
    """Return the quality of a row of ``latency.rows`` or ``kernels.rows``."""
    return Quality(
        rounds=int(row["rounds"]),
        others_share=float(row["others_share"]),
        is_converged=bool(row["converged"]),
        is_throttled=bool(row["throttled"]),
        is_stale=bool(row["stale"]),
    )


def headline(qualities: Iterable[Quality], noun: str = "latencies") -> str:
    """Return the warning that stands above a table, a figure or a page; empty where no time is disturbed.

    noun: What is counted, in the plural.
    """
    cells = list(qualities)
    shares = [cell.others_share for cell in cells if cell.is_disturbed]
    if not shares:
        return ""
    was, them = ("was", "it") if len(shares) == 1 else ("were", "them")
    return (
        f"{len(shares)} of {len(cells)} {noun} {was} disturbed by other programs "
        f"(up to {100 * max(shares):.0f} % of the cores): do not compare {them}."
    )

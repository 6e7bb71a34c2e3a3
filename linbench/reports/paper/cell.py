"""One cell of a table of the paper: what is quoted, what was measured, how far apart they are, what that means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from linbench.published.numbers import Quoted
from linbench.reports.latency.rows import significant


class Verdict(StrEnum):
    """What became of a quoted number. A rate is judged on the paper's own device only."""

    REPRODUCED = "reproduced"
    DEVIATES = "deviates"
    OTHER_DEVICE = "other device"
    FAILED = "failed"
    NOT_MEASURED = "not measured"


SIGNS = {Verdict.REPRODUCED: "✓", Verdict.DEVIATES: "✗", Verdict.OTHER_DEVICE: "◇", Verdict.FAILED: "", "": ""}
PAPER_DEVICE = "A100"


@dataclass(frozen=True)
class Quantity:
    """What a column holds.

    name: Its head; a line break starts the second line.
    unit: Of the value.
    band: How far a reproduced value may be from the quoted one: in the unit, or as a share where ``share``; None for
        one unit of the last digit that the paper prints.
    digits: After the decimal point; None for three significant ones.
    of_device: Whether it is a rate, which belongs to a device.
    """

    name: str
    unit: str
    band: float | None
    share: bool = False
    digits: int | None = None
    of_device: bool = False

    def text(self, value: float) -> str:
        """A value of it."""
        return significant(value) if self.digits is None else f"{value:.{self.digits}f}"

    def band_text(self) -> str:
        """The band, in words."""
        if self.band is None:
            return "one unit of the last digit printed"
        if self.band == 0:
            return "equal"
        return f"±{100 * self.band:g} %" if self.share else f"±{self.band:g} {self.unit}"


@dataclass(frozen=True)
class Measured:
    """A number of ours.

    low, high: Its 95 % interval, or what ``interval`` says; NaN where there is none.
    interval: What they come from: ``images`` (bootstrap), ``rounds``, ``samples``, ``seeds`` (one standard
        deviation), ``none``.
    n: How many images, rounds or seeds; 0 for what is counted, not measured.
    status: ``ok``, or how the cell ended.
    device: Where it was measured.
    provenance: What it was measured with and under, by name.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    interval: str = "none"
    n: int = 0
    status: str = "ok"
    device: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """A quoted number beside the measured one.

    row, column: Where it stands.
    quantity: What it is of.
    quoted: None where the paper has no such number, as for parameters counted alike.
    measured: None where nothing was.
    command: What would measure it.
    """

    row: str
    column: str
    quantity: Quantity
    quoted: Quoted | None
    measured: Measured | None
    command: str

    @property
    def deviation(self) -> float:
        """Measured less quoted, as a share of the quoted where the quantity is judged so; NaN where there is none."""
        if self.quoted is None or self.measured is None or self.measured.status != "ok":
            return math.nan
        apart = self.measured.value - self.quoted.value
        return apart / self.quoted.value if self.quantity.share else apart

    @property
    def verdict(self) -> Verdict | None:
        """What became of the quoted number; None where nothing is quoted and something is measured."""
        if self.measured is None:
            return Verdict.NOT_MEASURED
        if self.measured.status != "ok":
            return Verdict.FAILED
        if self.quoted is None:
            return None
        if self.quantity.of_device and PAPER_DEVICE not in self.measured.device:
            return Verdict.OTHER_DEVICE
        band = self.quoted.unit_of_last_digit if self.quantity.band is None else self.quantity.band
        return Verdict.REPRODUCED if abs(self.deviation) <= band * (1 + 1e-9) else Verdict.DEVIATES

    def quoted_text(self) -> str:
        """The paper's digits, or nothing."""
        return "" if self.quoted is None else self.quoted.text

    def measured_text(self) -> str:
        """The measured number with the sign of its verdict, its status where it failed, or nothing."""
        if self.measured is None:
            return ""
        if self.measured.status != "ok":
            return self.measured.status
        sign = SIGNS[self.verdict or ""]
        return " ".join(filter(None, [self.quantity.text(self.measured.value), sign]))

    def interval_text(self) -> str:
        """From where to where the interval goes, and what it is of."""
        found = self.measured
        if found is None or found.interval == "none" or math.isnan(found.low):
            return ""
        return f"{self.quantity.text(found.low)} to {self.quantity.text(found.high)}"

    def deviation_text(self) -> str:
        """How far the measured number is from the quoted one, with its sign; times where rates are compared."""
        if math.isnan(self.deviation):
            return ""
        if self.quantity.of_device:
            return f"× {significant(1 + self.deviation)}"
        if self.quantity.share:
            return f"{100 * self.deviation:+.1f} %"
        if self.deviation == 0:
            return "0"
        return (
            f"{self.deviation:+.{2 if self.quantity.digits is None else self.quantity.digits}f} {self.quantity.unit}"
        )

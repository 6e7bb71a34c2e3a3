"""A cell of the paper's tables: the published number, the measured one, their deviation and the verdict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from linbench.published.numbers import PublishedNumber
from linbench.reports.latency.rows import significant
from linbench.reports.statistics.quality import Quality


class PaperVerdict(StrEnum):
    """The verdict on a published number.

    A rate is judged on the paper's own device only, and where its latency may support a statement.
    """

    REPRODUCED = "reproduced"
    DEVIATES = "deviates"
    OTHER_DEVICE = "other device"
    NOT_JUDGED = "not judged"
    FAILED = "failed"
    NOT_MEASURED = "not measured"


SIGNS = {PaperVerdict.REPRODUCED: "✓", PaperVerdict.DEVIATES: "✗", PaperVerdict.OTHER_DEVICE: "◇"}
PAPER_DEVICE = "A100"


@dataclass(frozen=True)
class Quantity:
    """What a column holds, and how near to the published number counts as reproduced.

    heading: A line break starts its second line.
    band: The largest deviation of a reproduced value, in ``unit`` or, where ``is_relative``, as a fraction of the
        published number; None for one unit of the last digit that the paper prints.
    digits: After the decimal point; None for three significant ones.
    is_rate: A rate belongs to a device.
    """

    heading: str
    unit: str
    band: float | None = None
    is_relative: bool = False
    digits: int | None = None
    is_rate: bool = False

    def format(self, value: float) -> str:
        """Format a value without its unit."""
        return significant(value) if self.digits is None else f"{value:.{self.digits}f}"

    def format_band(self) -> str:
        """Describe the band."""
        if self.band is None:
            return "one unit of the last digit printed"
        if self.band == 0:
            return "equal"
        return f"±{100 * self.band:g} %" if self.is_relative else f"±{self.band:g} {self.unit}"

    def format_deviation(self, deviation: float) -> str:
        """Format a deviation with its sign; as a factor where rates are compared."""
        if self.is_rate:
            return f"× {significant(1 + deviation)}"
        if self.is_relative:
            return f"{100 * deviation:+.1f} %"
        if deviation == 0:
            return "0"
        return f"{deviation:+.{2 if self.digits is None else self.digits}f} {self.unit}"


@dataclass(frozen=True)
class Measurement:
    """A measured or counted number.

    low, high: The 95 % interval, or what ``interval`` says; NaN where there is none.
    interval: What it comes from: ``images`` (bootstrap), ``rounds``, ``samples``, ``seeds`` (one standard deviation),
        ``none``.
    n: Images, rounds or seeds; 0 for what is counted, not measured.
    status: ``ok``, or how the measurement ended.
    conditions: What it has in common with others of its column.
    provenance: What it was measured with and under, by name.
    quality: Of a rate's latency; None where it is no rate.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    interval: str = "none"
    n: int = 0
    status: str = "ok"
    device: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    quality: Quality | None = None

    @property
    def doubt(self) -> str:
        """Say why nothing may be derived from the number; empty where it may."""
        return self.quality.doubt if self.quality and self.is_ok else ""

    @property
    def is_ok(self) -> bool:
        """Tell whether there is a value."""
        return self.status == "ok"


@dataclass(frozen=True)
class PaperCell:
    """A published number beside the measured one.

    published: None where the paper has no such number, as for comparable parameters.
    measured: None where nothing was measured.
    command: What would measure it.
    """

    row: str
    column: str
    quantity: Quantity
    published: PublishedNumber | None
    measured: Measurement | None
    command: str

    @property
    def deviation(self) -> float:
        """Return measured less published, as a fraction where the quantity is relative.

        NaN where one is missing or the measured one is in doubt.
        """
        if self.published is None or self.measured is None or not self.measured.is_ok or self.measured.doubt:
            return math.nan
        difference = self.measured.value - self.published.value
        return difference / self.published.value if self.quantity.is_relative else difference

    @property
    def verdict(self) -> PaperVerdict | None:
        """Return the verdict; None where something is measured and nothing published."""
        if self.measured is None:
            return PaperVerdict.NOT_MEASURED
        if not self.measured.is_ok:
            return PaperVerdict.FAILED
        if self.published is None:
            return None
        if self.measured.doubt:
            return PaperVerdict.NOT_JUDGED
        if self.quantity.is_rate and PAPER_DEVICE not in self.measured.device:
            return PaperVerdict.OTHER_DEVICE
        band = self.published.unit_of_last_digit if self.quantity.band is None else self.quantity.band
        is_within = abs(self.deviation) <= band * (1 + 1e-9)
        return PaperVerdict.REPRODUCED if is_within else PaperVerdict.DEVIATES

    def published_text(self) -> str:
        """Return the paper's digits, or nothing."""
        return "" if self.published is None else self.published.text

    def published_label(self) -> str:
        """Return the paper's digits, with ≈ before a count that ends in filling zeros: 600 M is a rounded number."""
        if self.published is None:
            return ""
        is_rounded = self.published.unit_of_last_digit > 1 and self.quantity.band != 0 and not self.quantity.is_rate
        return f"≈ {self.published.text}" if is_rounded else self.published.text

    def value_text(self) -> str:
        """Format the measured number with the marks of its quality; its status where it failed, or nothing."""
        if self.measured is None:
            return ""
        if not self.measured.is_ok:
            return self.measured.status
        quality = self.measured.quality
        text = self.quantity.format(self.measured.value)
        return f"{quality.prefix}{text}{quality.suffix}" if quality else text

    def measured_text(self) -> str:
        """Format the measured number with the sign of its verdict."""
        sign = SIGNS.get(self.verdict, "") if self.verdict else ""
        return f"{self.value_text()} {sign}".rstrip()

    def interval_text(self) -> str:
        """Format the ends of the interval, or nothing."""
        measured = self.measured
        if measured is None or measured.interval == "none" or math.isnan(measured.low):
            return ""
        return f"{self.quantity.format(measured.low)} to {self.quantity.format(measured.high)}"

    def deviation_text(self) -> str:
        """Format the deviation, or nothing."""
        return "" if math.isnan(self.deviation) else self.quantity.format_deviation(self.deviation)

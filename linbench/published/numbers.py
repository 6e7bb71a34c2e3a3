"""The paper's own numbers, read from the tables beside this file; each keeps the digits that were printed."""

import csv
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files

PAPER = "Yuan et al., arXiv 2406.19369"
#: Files beside this one, by what they are called here.
TABLES = {
    "table 1": "table1_variants",
    "table 2": "table2_training_data",
    "table 3": "table3_sam",
    "table 4": "table4_imagenet",
    "table 5": "table5_ade20k",
    "table 6 encoder": "table6_encoder",
    "table 6 fusion": "table6_fusion",
    "table 7": "table7_distillation",
    "figure 3": "figure3_latency",
}


@dataclass(frozen=True)
class Quoted:
    """A number as the paper prints it.

    text: Its digits.
    source: The table or figure that it stands in.
    """

    text: str
    source: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def unit_of_last_digit(self) -> float:
        """What one more in the last digit that is not a filling zero would add: 0.1 for 22.4, 100 for 600."""
        number = Decimal(self.text)
        if number == 0 or "." in self.text:
            return float(Decimal(1).scaleb(_exponent(number)))
        return float(Decimal(1).scaleb(_exponent(number.normalize())))


def lines(table: str) -> list[dict[str, str]]:
    """The lines of one of TABLES, by column."""
    text = (files(__package__) / "paper" / f"{TABLES[table]}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "the paper prints no infinity"
    return exponent

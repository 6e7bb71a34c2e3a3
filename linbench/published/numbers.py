"""Read published tables and keep the digits that were printed."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

PAPER = "Yuan et al., arXiv 2406.19369"


@dataclass(frozen=True)
class PublishedNumber:
    """A number as it was printed.

    text: Its digits.
    source: The table or figure that it stands in.
    publication: The paper, or the repository.
    """

    text: str
    source: str
    publication: str = PAPER

    @property
    def citation(self) -> str:
        """Return the publication and the place in it."""
        return f"{self.publication}, {self.source}"

    @property
    def value(self) -> float:
        """Return the number itself."""
        return float(self.text)

    @property
    def unit_of_last_digit(self) -> float:
        """Return the step of the last digit that is not a filling zero: 0.1 for 22.4, 100 for 600."""
        number = Decimal(self.text)
        exact = number if number == 0 or "." in self.text else number.normalize()
        exponent = exact.as_tuple().exponent
        assert isinstance(exponent, int), "the paper prints no infinity"
        return float(Decimal(1).scaleb(exponent))


@dataclass(frozen=True)
class PublishedTable:
    """A table or figure as printed: rows of texts by column.

    source, publication: How its numbers are cited.
    """

    source: str
    rows: tuple[Mapping[str, str], ...]
    publication: str = PAPER

    @property
    def citation(self) -> str:
        """Return the publication and the place in it."""
        return f"{self.publication}, {self.source}"

    def text(self, where: Mapping[str, str], column: str) -> str:
        """Return the text of a column in the rows that have the values ``where``.

        Raises KeyError unless there are such rows and all have the same text.
        """
        texts = {row[column] for row in self.rows if where.items() <= row.items()}
        if len(texts) != 1:
            raise KeyError(f"{self.source}: {len(texts)} values of {column} where {dict(where)}")
        return texts.pop()

    def number(self, where: Mapping[str, str], column: str) -> PublishedNumber:
        """Return the number that ``text`` finds."""
        return PublishedNumber(self.text(where, column), self.source, self.publication)


@cache
def published_table(name: str, source: str, publication: str = PAPER) -> PublishedTable:
    """Read ``paper/NAME.csv`` of this package."""
    text = (files(__package__) / "paper" / f"{name}.csv").read_text(encoding="utf-8")
    return PublishedTable(source, tuple(csv.DictReader(text.splitlines())), publication)

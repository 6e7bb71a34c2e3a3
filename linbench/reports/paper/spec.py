"""Read ``tables.toml`` and ``errata.toml``: which tables of the paper linbench lays out, and how."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from linbench.published.numbers import PAPER, PublishedTable, published_table
from linbench.reports.paper.cell import Quantity


class Measure(StrEnum):
    """The source of a column's numbers.

    Parameters are counted as the paper counts them; comparable ones are those of the backbone without head, built for
    the size of its row.
    """

    PARAMETERS = "parameters"
    COMPARABLE_PARAMETERS = "comparable parameters"
    WIDTH = "width"
    STAGE = "stage"
    DATASET = "dataset"
    RATE = "rate"
    SCORE = "score"


@dataclass(frozen=True)
class CountedModel:
    """A model whose parameters are counted: a backbone built for a size, with a 1000-class head or without."""

    backbone: str
    size: int
    head: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options)
        return f"{self.backbone}{options} at {self.size}², {'with' if self.head else 'without'} head"


@dataclass(frozen=True)
class ColumnSpec:
    """A column that tables can have.

    name: As tables name it; of a score also the metric, suite first.
    published: The column of the published table; empty where the paper has no such number.
    size: px of the input where it is not that of the row.
    part: Of a segmenter, whose rate it is.
    """

    name: str
    quantity: Quantity
    measure: Measure
    published: str
    size: int | None = None
    part: str = "backbone"

    @property
    def suite(self) -> str:
        """Return the accuracy suite of a metric."""
        return self.name.split("_")[0]


@dataclass(frozen=True)
class RowSpec:
    """A row of a table: a method, a stage of a backbone or a training set.

    where: The columns of the published table by which its row is known, and their values.
    counted: What the paper's parameters count, as far as arithmetic tells.
    size: px of the input.
    dataset: The reader of a training set.
    stage: From 1; None for a whole backbone.
    model: As accuracy records name it.
    recipe: The recipe or pipeline that trains it; empty for published weights, whose file is ``weights``.
    fusion: The only design of the decoder's fusion that its scores may have; empty for ``conv`` or none.
    """

    label: str
    where: Mapping[str, str]
    backbone: str
    counted: CountedModel
    size: int
    dataset: str = ""
    stage: int | None = None
    model: str = ""
    recipe: str = ""
    weights: str = ""
    fusion: str = ""

    @property
    def comparable(self) -> CountedModel:
        """Return the model whose parameters compare with those of other rows."""
        return CountedModel(self.backbone, self.size, options=self.counted.options)


@dataclass(frozen=True)
class Erratum:
    """What is wrong or unsaid in the paper, as a footnote with the reasoning.

    rows, columns: The labels and the beginnings of headings that it hangs on.
    """

    text: str
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """A table or the numbers of a figure.

    name: Of its files: ``table-3``, ``table-6-encoder``, ``figure-1``.
    descriptions: Columns of the published table that are shown as they are.
    """

    name: str
    title: str
    published: PublishedTable
    columns: tuple[ColumnSpec, ...]
    rows: tuple[RowSpec, ...]
    descriptions: tuple[str, ...] = ()
    errata: tuple[Erratum, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """Return the number that the paper gives it."""
        return self.name.split("-")[1]

    @property
    def is_figure(self) -> bool:
        """Tell whether the paper draws it."""
        return self.name.startswith("figure-")


@cache
def table_specs() -> Mapping[str, TableSpec]:
    """Return the tables and figures by name, in their order."""
    errata = {name: _erratum(**entry) for name, entry in _document("errata").items()}
    entries = {entry["name"]: entry for entry in _document("tables")["tables"]}
    specs = {}
    for name, entry in entries.items():
        entry = {**entries.get(entry.get("rows_of", ""), {}), "notes": (), "descriptions": (), **entry}
        specs[name] = TableSpec(
            name,
            entry["title"],
            published_table(entry["published"], entry["source"], entry.get("publication", PAPER)),
            columns=tuple(column_specs()[column] for column in entry["columns"]),
            rows=tuple(_row(entry, **entry.get("defaults", {}) | row) for row in entry["rows"]),
            descriptions=tuple(entry["descriptions"]),
            errata=tuple(errata[erratum] for erratum in entry["errata"]),
            notes=tuple(entry["notes"]),
        )
    return specs


@cache
def column_specs() -> Mapping[str, ColumnSpec]:
    """Return every column that a table can have, by name."""
    return {name: _column(name, **entry) for name, entry in _document("tables")["columns"].items()}


def metrics(suite: str = "") -> list[str]:
    """Return the metrics of all accuracy suites, or of one."""
    scores = [column for column in column_specs().values() if column.measure is Measure.SCORE]
    return [column.name for column in scores if not suite or column.suite == suite]


@cache
def image_counts() -> Mapping[str, tuple[int, int]]:
    """Return the fewest and the most images of the paper's evaluation sets, by suite."""
    return {suite: (fewest, most) for suite, (fewest, most) in _document("tables")["images"].items()}


def counted_models(specs: Sequence[TableSpec]) -> list[CountedModel]:
    """Return every model whose parameters these tables show."""
    models: list[CountedModel] = []
    for column, row in ((column, row) for spec in specs for column in spec.columns for row in spec.rows):
        if column.measure in (Measure.PARAMETERS, Measure.WIDTH):
            models.append(row.counted)
        if column.measure is Measure.COMPARABLE_PARAMETERS:
            models.append(row.comparable)
    return list(dict.fromkeys(models))


def staged_backbones(specs: Sequence[TableSpec]) -> list[str]:
    """Return every backbone whose stages these tables show."""
    return list(dict.fromkeys(row.backbone for spec in specs for row in spec.rows if row.stage is not None))


def _document(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def _column(name: str, measure: str, **entry: Any) -> ColumnSpec:
    """Read a column; it has its name in the published table too unless it says otherwise."""
    kind = Measure(measure)
    origin = {"published": name} | {key: entry.pop(key) for key in ("published", "size", "part") if key in entry}
    return ColumnSpec(name, Quantity(is_rate=kind is Measure.RATE, **entry), kind, **origin)


def _row(table: Mapping[str, Any], label: str, counted: Mapping[str, Any] | None = None, **entry: Any) -> RowSpec:
    """Read a row; it is known by its label and has the table's size unless it says otherwise."""
    where = entry.pop("where", None) or {table["key"]: label}
    size, backbone = entry.pop("size", table.get("size", 0)), entry.pop("backbone", "")
    counted = {"size": size, **(counted or {})}
    counted["options"] = tuple(counted.get("options", {}).items())
    entry.setdefault("model", backbone)
    return RowSpec(label, where, backbone, CountedModel(backbone, **counted), size, **entry)


def _erratum(text: str, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> Erratum:
    return Erratum(text, tuple(rows), tuple(columns))

"""Build a table of the paper from its specification and the evidence of one device."""

from linbench.published.numbers import PAPER
from linbench.reports.paper import commands
from linbench.reports.paper.cell import Measurement
from linbench.reports.paper.evidence import PRESETS, Evidence
from linbench.reports.paper.layout import PaperColumn, PaperTable, RowNumbers, columns_by_conditions
from linbench.reports.paper.spec import ColumnSpec, Measure, RowSpec, TableSpec

#: A rate has a column for each preset, also where nothing was measured.
RATE_COLUMNS = tuple({"preset": preset} for preset in PRESETS)


def build(spec: TableSpec, evidence: Evidence) -> PaperTable:
    """Set the published numbers of a table beside what the evidence has for them."""
    return PaperTable(
        spec.name,
        spec.title,
        tuple(row.label for row in spec.rows),
        tuple(column for part in spec.columns for column in _columns(spec, part, evidence)),
        descriptions=tuple(
            (name, {row.label: spec.published.text(row.where, name) for row in spec.rows})
            for name in spec.descriptions
        ),
        errata=spec.errata,
        notes=spec.notes,
        device=evidence.device,
        citation="" if spec.published.publication == PAPER else spec.published.citation,
    )


def _columns(spec: TableSpec, column: ColumnSpec, evidence: Evidence) -> list[PaperColumn]:
    """Return the columns of one quantity; the rows of stages have other quantities than those of backbones."""
    numbers = []
    for row in spec.rows:
        if (column.measure is Measure.STAGE) == (row.stage is not None):
            published = spec.published.number(row.where, column.published) if column.published else None
            numbers.append(RowNumbers(row.label, published, *_measurements(column, row, evidence)))
    always = RATE_COLUMNS if column.measure is Measure.RATE else ()
    return columns_by_conditions(column.quantity, numbers, always)


def _measurements(column: ColumnSpec, row: RowSpec, evidence: Evidence) -> tuple[list[Measurement], str]:
    """Return what is known of a row's quantity, and the command that would measure it."""
    size = column.size or row.size
    match column.measure:
        case Measure.PARAMETERS:
            return evidence.parameters(row.counted), commands.count_parameters(row.counted)
        case Measure.COMPARABLE_PARAMETERS:
            return evidence.parameters(row.comparable), commands.count_parameters(row.comparable)
        case Measure.WIDTH:
            return evidence.width(row.counted), commands.count_parameters(row.counted)
        case Measure.STAGE:
            stage = evidence.stage(row.backbone, row.stage or 0, column.name)
            return stage, commands.count_parameters(row.counted)
        case Measure.DATASET:
            return evidence.dataset(row.dataset, column.name), commands.count_dataset(row.dataset)
        case Measure.RATE:
            request = (row.backbone, size, column.part, row.fusion if column.part != "backbone" else "none")
            return evidence.rates(*request), commands.measure_rate(*request)
        case Measure.SCORE:
            return evidence.scores_of(row, column.name, size), commands.evaluate(row, column.suite, size)

"""Table 1: settings of the variants of the backbone, computed from the models."""

from linbench.published.numbers import Quoted, lines
from linbench.reports.paper import commands, faults
from linbench.reports.paper.cell import Measured, Quantity
from linbench.reports.paper.evidence import Count, Evidence, Found
from linbench.reports.paper.layout import Entry, PaperTable, columns
from linbench.reports.paper.quantities import BLOCKS, CHANNELS, PARAMETERS, STRIDE

TITLE = "Table 1"
COUNTS = {name: Count(name, 1024) for name in ("rwkv-sam-t", "rwkv-sam-s", "rwkv-sam-b")}
SHAPE: tuple[tuple[Quantity, str], ...] = ((STRIDE, "stride"), (BLOCKS, "blocks"), (CHANNELS, "channels"))


def build(evidence: Evidence) -> PaperTable:
    """A line for each stage, and one for each variant's parameters."""
    found = lines("table 1")
    stages = []
    for quantity, name in SHAPE:
        entries = []
        for line in found:
            command = commands.count(COUNTS[line["variant"]])
            entries.append(Entry(_row(line), Quoted(line[name], TITLE), _stage(line, name, evidence), command))
        stages += columns(quantity, entries)
    whole = {line["variant"]: line["params_m"] for line in found}
    counts = [
        Entry(name, Quoted(text, TITLE), evidence.parameters(COUNTS[name]), commands.count(COUNTS[name]))
        for name, text in whole.items()
    ]
    rows = [row for name in whole for row in (*(_row(line) for line in found if line["variant"] == name), name)]
    return PaperTable(
        "table-1",
        "Table 1: settings of the variants of the backbone",
        tuple(rows),
        (*stages, *columns(PARAMETERS, counts)),
        faults=(faults.TABLE_1_COUNT,),
        device=evidence.device,
    )


def _row(line: dict[str, str]) -> str:
    return f"{line['variant']}, stage {line['stage']}"


def _stage(line: dict[str, str], name: str, evidence: Evidence) -> list[Found]:
    stages = evidence.stages.get(line["variant"])
    if stages is None:
        return []
    value = getattr(stages[int(line["stage"]) - 1], name)
    return [Found({}, Measured(value, provenance={"counted": f"{line['variant']} as built"}))]

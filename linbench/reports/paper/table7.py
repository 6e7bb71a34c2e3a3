"""Table 7: what the distillation of the backbone is worth."""

from linbench.published.numbers import lines
from linbench.reports.paper import faults
from linbench.reports.paper.evidence import Count, Evidence
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.methods import Line, Source, metric

SIZE = 1024
NAME = "rwkv-sam-s"
LINES = (
    Line("RWKV-SAM", "RWKV-SAM", NAME, Count(NAME, SIZE), "paper", fusions=("conv",)),
    Line(
        "RWKV-SAM, no distillation",
        "RWKV-SAM (no distillation)",
        NAME,
        Count(NAME, SIZE),
        "no-distillation",
        fusions=("conv",),
    ),
)
SETS = ("dis_miou", "coift_miou", "hrsod_miou")


def build(evidence: Evidence) -> PaperTable:
    """With and without the first session."""
    quoted = Source("Table 7", {line["method"]: line for line in lines("table 7")})
    return PaperTable(
        "table-7",
        "Table 7: with and without distillation of the backbone",
        tuple(line.row for line in LINES),
        tuple(column for name in SETS for column in metric(name, name, LINES, quoted, evidence, SIZE)),
        faults=(faults.LEARNING_RATE, faults.MIX),
        device=evidence.device,
    )

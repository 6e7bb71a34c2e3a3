"""Table 4: top-1 accuracy on ImageNet."""

from linbench.published.numbers import Quoted, lines
from linbench.reports.paper import commands, faults
from linbench.reports.paper.cell import Measured
from linbench.reports.paper.evidence import Count, Evidence, Found
from linbench.reports.paper.layout import Entry, PaperTable, columns
from linbench.reports.paper.methods import Line, Source, metric, parameters
from linbench.reports.paper.quantities import WIDTH

SIZE = 224
LINES = tuple(
    Line(name, name, backbone, Count(backbone, size, head), "imagenet", fusions=("none",))
    for name, backbone, size, head in (
        ("VRWKV-T", "vrwkv-t", SIZE, False),
        ("Vim-T", "vim-t", 1024, True),
        ("RWKV-SAM-T", "rwkv-sam-t", SIZE, False),
        ("Vim-S", "vim-s", 1024, True),
        ("VRWKV-S", "vrwkv-s", SIZE, False),
        ("RWKV-SAM-S", "rwkv-sam-s", SIZE, False),
        ("VRWKV-B", "vrwkv-b", SIZE, True),
        ("RWKV-SAM-B", "rwkv-sam-b", SIZE, False),
    )
)


def build(evidence: Evidence) -> PaperTable:
    """A line for each method."""
    quoted = Source("Table 4", {line["method"]: line for line in lines("table 4")})
    widths = [
        Entry(
            line.row,
            Quoted(quoted.lines[line.name]["embed_dim"], quoted.title),
            _width(line, evidence),
            commands.count(line.counted),
        )
        for line in LINES
    ]
    return PaperTable(
        "table-4",
        "Table 4: top-1 accuracy on ImageNet",
        tuple(line.row for line in LINES),
        (
            *columns(WIDTH, widths),
            *parameters(LINES, quoted, evidence, SIZE),
            *metric("imagenet_top1", "top1", LINES, quoted, evidence, SIZE),
        ),
        words=(("block", {line.row: quoted.lines[line.name]["block"] for line in LINES}),),
        faults=(
            faults.VIM_COUNT,
            faults.VRWKV_COUNT,
            faults.EPOCHS,
            faults.EARLIER_EPOCHS,
            faults.DECAY,
        ),
        device=evidence.device,
    )


def _width(line: Line, evidence: Evidence) -> list[Found]:
    if line.counted not in evidence.counts:
        return []
    return [
        Found({}, Measured(evidence.counts[line.counted].width, provenance={"counted": f"{line.backbone} as built"}))
    ]

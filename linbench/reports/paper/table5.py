"""Table 5: semantic segmentation on ADE20K under UperNet."""

from linbench.published.numbers import lines
from linbench.reports.paper import faults
from linbench.reports.paper.evidence import Count, Evidence
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.methods import Line, Source, metric, parameters

SIZE = 512
PYRAMID = (("stride32", True),)


def _line(name: str, backbone: str, counted: Count) -> Line:
    return Line(name, name, backbone, counted, "ade20k", fusions=("none",))


LINES = (
    _line("DeiT-T", "vit-t", Count("vit-t", SIZE)),
    _line("Vim-T", "vim-t", Count("vim-t", 1024, head=True)),
    _line("RWKV-SAM-T", "rwkv-sam-t", Count("rwkv-sam-t", SIZE, options=PYRAMID)),
    _line("DeiT-S", "vit-s", Count("vit-s", SIZE)),
    _line("Vim-S", "vim-s", Count("vim-s", 1024, head=True)),
    _line("RWKV-SAM-S", "rwkv-sam-s", Count("rwkv-sam-s", SIZE, options=PYRAMID)),
)


def build(evidence: Evidence) -> PaperTable:
    """A line for each backbone."""
    quoted = Source("Table 5", {line["backbone"]: line for line in lines("table 5")})
    return PaperTable(
        "table-5",
        "Table 5: semantic segmentation on ADE20K, UperNet",
        tuple(line.row for line in LINES),
        (
            *parameters(LINES, quoted, evidence, SIZE),
            *metric("ade20k_miou", "miou", LINES, quoted, evidence, SIZE),
        ),
        faults=(faults.DEIT_COUNT, faults.VIM_COUNT, faults.PYRAMID, faults.EPOCHS, faults.DECAY),
        device=evidence.device,
    )

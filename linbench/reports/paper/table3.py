"""Table 3: SAM-like models, their size, rate and accuracy on COCO, DIS, COIFT and HRSOD."""

from linbench.published.numbers import lines
from linbench.reports.paper import faults
from linbench.reports.paper.evidence import Count, Evidence
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.methods import Line, Source, metric, parameters, rates

SIZE = 1024
LINES = (
    Line("SAM (ViT-H)", "SAM (ViT-H)", "sam-vit-h", Count("sam-vit-h", SIZE), "", weights="sam_vit_h_4b8939.pth"),
    Line(
        "EfficientSAM",
        "EfficientSAM",
        "efficientsam-s",
        Count("efficientsam-s", SIZE),
        "",
        weights="efficient_sam_vits.pt",
    ),
    Line("HQ-SAM", "HQ-SAM", "sam-vit-l", Count("sam-vit-l", SIZE), "", model="hq-sam-l", weights="sam_hq_vit_l.pth"),
    Line("VMamba-S + SAM", "VMamba-S + SAM", "vmamba-s", Count("vmamba-s", SIZE)),
    Line("VRWKV-S + SAM", "VRWKV-S + SAM", "vrwkv-s", Count("vrwkv-s", 224)),
    Line("Vim-S + SAM", "Vim-S + SAM", "vim-s", Count("vim-s", SIZE, head=True)),
    Line("RWKV-SAM", "RWKV-SAM", "rwkv-sam-s", Count("rwkv-sam-s", SIZE)),
)
METRICS = tuple(
    f"{suite}_{name}"
    for suite, names in (
        ("coco", ("map", "mbap")),
        ("dis", ("miou", "mbiou")),
        ("coift", ("miou", "mbiou")),
        ("hrsod", ("miou", "mbiou")),
    )
    for name in names
)


def source() -> Source:
    """The quoted table."""
    return Source("Table 3", {line["method"]: line for line in lines("table 3")})


def build(evidence: Evidence) -> PaperTable:
    """A line for each method."""
    quoted = source()
    scores = [column for name in METRICS for column in metric(name, name, LINES, quoted, evidence, SIZE)]
    return PaperTable(
        "table-3",
        "Table 3: SAM-like models at 1024²",
        tuple(line.row for line in LINES),
        (*parameters(LINES, quoted, evidence, SIZE), *rates(LINES, quoted, evidence), *scores),
        faults=(
            faults.NECK_COUNT,
            faults.VIM_COUNT,
            faults.VRWKV_COUNT,
            faults.UNSAID_RATE,
            faults.OTHER_DEVICE,
            faults.MIXED_SAM,
            faults.PROTOCOLS,
            faults.BOUNDARY_AP,
            faults.DECAY,
            faults.EPOCHS,
            faults.LEARNING_RATE,
            faults.MIX,
        ),
        device=evidence.device,
    )

"""Table 6: ablations, the encoder's stages on its right half and the decoder's fusion on its left."""

from linbench.published.numbers import lines
from linbench.reports.paper import faults
from linbench.reports.paper.evidence import Count, Evidence
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.methods import Line, Source, metric, parameters, rates

SIZE = 1024
ENCODERS = tuple(
    Line(name, name, backbone, Count(backbone, SIZE), "imagenet", fusions=("none",))
    for name, backbone in (
        ("RWKV-SAM-S", "rwkv-sam-s"),
        ("RWKV-SAM-S (1-1)", "rwkv-sam-s-1-1"),
        ("RWKV-SAM-S (2-2)", "rwkv-sam-s-2-2"),
        ("RWKV-SAM-S (3-3)", "rwkv-sam-s-3-3"),
    )
)
FUSIONS = tuple(
    Line(f"RWKV-SAM + {word} fusion", fusion, "rwkv-sam-s", Count("rwkv-sam-s", SIZE), fusions=(fusion,))
    for fusion, word in (("conv", "conv"), ("mamba", "Mamba"), ("rwkv", "RWKV"), ("dcn", "DCN"))
)
SETS = ("dis_miou", "coift_miou", "hrsod_miou")


def encoder(evidence: Evidence) -> PaperTable:
    """The right half: RWKV blocks in the first two stages."""
    quoted = Source("Table 6 right", {line["encoder"]: line for line in lines("table 6 encoder")})
    return PaperTable(
        "table-6-encoder",
        "Table 6, right: RWKV blocks in the first stages of the encoder",
        tuple(line.row for line in ENCODERS),
        (
            *rates(ENCODERS, quoted, evidence),
            *parameters(ENCODERS, quoted, evidence, SIZE),
            *metric("imagenet_top1", "top1", ENCODERS, quoted, evidence, 224),
        ),
        faults=(faults.STAGES, faults.UNSAID_RATE, faults.OTHER_DEVICE, faults.EPOCHS),
        device=evidence.device,
    )


def fusion(evidence: Evidence) -> PaperTable:
    """The left half: the decoder's fusion; its rate is of encoder and decoder with one box."""
    quoted = Source("Table 6 left", {line["fusion"]: line for line in lines("table 6 fusion")})
    scores = [column for name in SETS for column in metric(name, name, FUSIONS, quoted, evidence, SIZE)]
    return PaperTable(
        "table-6-fusion",
        "Table 6, left: the fusion of feature maps in the decoder",
        tuple(line.row for line in FUSIONS),
        (*rates(FUSIONS, quoted, evidence, "end-to-end"), *scores),
        faults=(faults.REFINEMENT, faults.UNSAID_RATE, faults.OTHER_DEVICE, faults.LEARNING_RATE, faults.MIX),
        notes=("A rate is of the whole model, encoder and decoder, with one box prompt.",),
        device=evidence.device,
    )

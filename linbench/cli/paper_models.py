"""What the paper's tables count of the models: parameters, widths, stages; built without data."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linbench.reports.paper.evidence import Count, Counted, Stage


@cache
def count(of: "Count") -> "Counted":
    """A count, from the model that it names."""
    import torch

    from linbench.backbones import build_backbone
    from linbench.models import build_classifier
    from linbench.reports.paper.evidence import Counted

    build = build_classifier if of.head else build_backbone
    with torch.device("meta"):
        model: Any = build(of.backbone, image_size=of.size, **dict(of.options))
    backbone = getattr(model, "backbone", model)
    width = max(w for stride, w in zip(backbone.strides, backbone.widths, strict=True) if stride <= 16)
    return Counted(sum(parameter.numel() for parameter in model.parameters()), width)


def stages(names: Iterable[str]) -> "Mapping[str, Sequence[Stage]]":
    """The stages of RWKV-SAM's variants."""
    import torch

    from linbench.backbones import build_backbone
    from linbench.reports.paper.evidence import Stage

    found = {}
    for name in names:
        with torch.device("meta"):
            model: Any = build_backbone(name, image_size=224)
        convs = [*(len(stage) for stage in model.convs), 0]
        blocks = [conv + len(stage) for conv, stage in zip(convs, model.blocks, strict=True)]
        found[name] = [Stage(*part) for part in zip(model.strides, blocks, model.widths, strict=True)]
    return found


def recipes() -> dict[str, str]:
    """The hash of each recipe as it stands."""
    from linbench.recipes.contract import recipe

    return {name: entry.build().hash for name, entry in recipe.items()}
